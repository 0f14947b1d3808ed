"""Metrics of labelled rows by buckets of event time, each kept until a label of its days changes."""

from __future__ import annotations

import sqlite3
from collections import defaultdict

import msgspec

from appliance.monitoring.answers import Answers
from appliance.monitoring.day_counts import DAY_HOURS
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.quality import join, measure
from appliance.monitoring.spans import Span
from appliance.monitoring.windows import HOUR_US
from storage.figures import stamp_of
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import snapshot


class BucketFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The labelled rows of a bucket, of all versions that know the same classes as the one with most labels.

    Attributes:
        versions: Those whose rows were taken; empty where no bundle of any can be read.
    """

    labelled: int
    versions: tuple[int, ...]
    metrics: dict[str, float]


_Stamps = list[tuple[int, int, int]]
"""Day, version and stamp."""


def read_buckets(
    connection: sqlite3.Connection, versions: KnownVersions, span: Span, *, hours: int, version: int | None
) -> dict[int, BucketFigures]:
    """``hour // hours`` to its figures, ascending, of the buckets that have labelled rows; a bucket is cut to the span.

    Args:
        connection: The state database.
        versions: For the schemas.
        span: The hours; its version does not restrict.
        hours: Of a bucket.
        version: Of this version alone; None: of all, as they served.
    """
    found = {}
    with snapshot(connection):
        answers = Answers(versions.figures(span.model) / f"buckets-{hours}-{version or 'all'}.answers")
        for bucket, stamps in _stamps(connection, span, hours, version).items():
            part = Span(
                model=span.model, version=span.version, first_hour=max(span.first_hour, bucket * hours),
                last_hour=min(span.last_hour, (bucket + 1) * hours),
            )  # fmt: skip
            known = {
                one: answered
                for one in sorted({stamped[1] for stamped in stamps})
                if (answered := versions.find(span.model, one)) is not None
            }
            key = f"{part.first_hour}-{part.last_hour}"
            stamp = stamp_of(stamps, [one.bundle for one in known.values()])
            figures = answers.find(key, stamp, BucketFigures)
            if figures is None:
                figures = _work_out(connection, known, part)
                answers.put(key, stamp, figures)
            if figures.labelled:
                found[bucket] = figures
    answers.save()
    return found


def _stamps(connection: sqlite3.Connection, span: Span, hours: int, version: int | None) -> dict[int, _Stamps]:
    """Bucket to the stamps of the days that it touches."""
    touched = span.first_hour // DAY_HOURS, (span.last_hour - 1) // DAY_HOURS
    days = read_stamps(connection, Stamped.LABELS, span.model, first=touched[0], last=touched[1])
    first, last = span.first_hour // hours, (span.last_hour - 1) // hours
    found: dict[int, _Stamps] = defaultdict(list)
    for (day, one), stamp in days.items():
        if version in (None, one):
            begin = day * DAY_HOURS
            for bucket in range(max(first, begin // hours), min(last, (begin + DAY_HOURS - 1) // hours) + 1):
                found[bucket].append((day, one, stamp))
    return dict(sorted(found.items()))


def _work_out(connection: sqlite3.Connection, known: dict[int, KnownVersion], part: Span) -> BucketFigures:
    first_us, last_us = part.first_hour * HOUR_US, part.last_hour * HOUR_US
    rows = {
        version: found
        for version, one in known.items()
        if len(found := one.rows.read(connection, first_us=first_us, last_us=last_us))
    }
    if not rows:
        return BucketFigures(labelled=0, versions=(), metrics={})
    main = known[max(rows, key=lambda version: len(rows[version]))].schema
    alike = tuple(
        version
        for version in rows
        if (known[version].schema.task, known[version].schema.classes) == (main.task, main.classes)
    )
    labelled = join([rows[version] for version in alike])
    return BucketFigures(labelled=len(labelled), versions=alike, metrics=measure(main, labelled))

"""The counted hours of one version added up by day, each day kept until an hour of it is counted again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from appliance.monitoring.bins import Floats
from appliance.monitoring.known import KnownVersion
from appliance.monitoring.spans import Span
from appliance.monitoring.windows import WindowCounts, add_up, parse_counts
from storage.figures import keep, read_kept, stamp_of
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import snapshot
from storage.window_rows import scan_hours

DAY_HOURS = 24
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Predictions, and the sums of what is expected of them (``Estimator``)."""

    rows: int
    sums: Floats

    def __add__(self, other: Expected) -> Expected:
        return Expected(rows=self.rows + other.rows, sums=self.sums + other.sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Hours of a version's own traffic.

    Attributes:
        counts: The sum of those that were counted over the version's bins; without what is expected.
        expected: The sum of those that say what is expected, over the version's own bins of it; None without any.
    """

    counts: WindowCounts
    expected: Expected | None


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """Columns as little-endian bytes: int64, float64, float64."""

    rows: int
    cells: bytes
    sums: bytes
    expected_rows: int
    expected: bytes


def read_days(connection: sqlite3.Connection, known: KnownVersion, span: Span) -> dict[int, Counted]:
    """Day since 1970 to its hours within the span, ascending, of the days that have some."""
    found = {}
    with snapshot(connection):
        first, last = span.first_hour // DAY_HOURS, (span.last_hour - 1) // DAY_HOURS
        stamps = read_stamps(connection, Stamped.INPUTS, span.model, first=first, last=last)
        for (day, version), stamp in stamps.items():
            if version != span.version:
                continue
            begin, end = day * DAY_HOURS, (day + 1) * DAY_HOURS
            if span.first_hour <= begin and end <= span.last_hour:
                found[day] = _whole_day(connection, known, Span(
                    model=span.model, version=version, first_hour=begin, last_hour=end
                ), stamp)  # fmt: skip
            else:
                found[day] = add_hours(known, (counts for _, counts in scan_counts(connection, Span(
                    model=span.model, version=version, first_hour=max(begin, span.first_hour),
                    last_hour=min(end, span.last_hour),
                ))))  # fmt: skip
    return found


def scan_counts(connection: sqlite3.Connection, span: Span) -> Iterator[tuple[int, WindowCounts]]:
    """``(hour, counts)`` of the span's own traffic."""
    stored = scan_hours(
        connection, span.model, span.version, first_hour=span.first_hour, last_hour=span.last_hour
    )  # fmt: skip
    return ((hour, parse_counts(content)) for hour, content in stored)


def add_hours(known: KnownVersion, windows: Iterator[WindowCounts]) -> Counted:
    """The sum of windows; what was counted over other bins, before the version was trained again, is left out."""
    found = list(windows)
    width = known.estimator.width if known.estimator else 0
    expected = [one for one in found if width and one.expected.size == width]
    total = add_up(known.counter.empty(), (one for one in found if known.counter.fits(one)))
    return Counted(
        counts=WindowCounts(rows=total.rows, cells=total.cells, sums=total.sums),
        expected=Expected(
            rows=sum(one.rows for one in expected), sums=np.sum([one.expected for one in expected], axis=0)
        )
        if expected
        else None,
    )


def _whole_day(connection: sqlite3.Connection, known: KnownVersion, day: Span, stamp: int) -> Counted:
    path = known.figures / f"{day.first_hour // DAY_HOURS}.counts"
    width = known.estimator.width if known.estimator else 0
    made_of = stamp_of(_FORMAT, known.bundle, width, stamp)
    kept = read_kept(path, made_of)
    if kept is not None:
        return _unpack(kept)
    counted = add_hours(known, (counts for _, counts in scan_counts(connection, day)))
    _keep(path, made_of, counted)
    return counted


def _keep(path: Path, made_of: bytes, counted: Counted) -> None:
    counts, expected = counted.counts, counted.expected
    packed = _Kept(
        counts.rows, counts.cells.astype("<i8").tobytes(), counts.sums.astype("<f8").tobytes(),
        expected.rows if expected else 0, expected.sums.astype("<f8").tobytes() if expected else b"",
    )  # fmt: skip
    keep(path, made_of, msgspec.msgpack.encode(packed))


def _unpack(kept: bytes | memoryview) -> Counted:
    packed = msgspec.msgpack.decode(kept, type=_Kept)
    counts = WindowCounts(
        rows=packed.rows, cells=np.frombuffer(packed.cells, "<i8"), sums=np.frombuffer(packed.sums, "<f8")
    )
    sums = np.frombuffer(packed.expected, "<f8")
    return Counted(counts=counts, expected=Expected(rows=packed.expected_rows, sums=sums) if sums.size else None)

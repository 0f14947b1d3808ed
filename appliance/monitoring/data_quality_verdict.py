"""The verdict on data quality, by the drift rule over two bins, odd or not; pure but for the two readers at the end."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from appliance.monitoring.alerts import SEVERITY
from appliance.monitoring.bins import Ints, LevelBins
from appliance.monitoring.data_quality import DataQualityCounts, add_quality, parse_quality
from appliance.monitoring.data_quality_report import ColumnQuality, DataQualityReport, Oddity, Share, UnknownColumn
from appliance.monitoring.drift import held_counts, judge, noise_floor, population_stability_index
from appliance.monitoring.judged import read_counts
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.reference import ColumnReference
from appliance.monitoring.spans import Pair, Span, State
from appliance.schema import FeatureSchema, Kind
from storage.data_quality_rows import scan_data_quality
from storage.window_rows import predictions_by_bucket

NAMED = 3
"""Sentences that the verdict quotes."""
_FINGERPRINT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _Part:
    """So many odd ones of so many."""

    odd: int
    rows: int

    @property
    def share(self) -> float:
        return self.odd / self.rows if self.rows else 0.0

    @property
    def bins(self) -> Ints:
        return np.array((self.rows - self.odd, self.odd), np.int64)


def judge_parts(before: tuple[int, int], now: tuple[int, int]) -> State:
    """Whether a share changed: ``(odd, rows)`` of the training and of the window, by the drift rule over two bins."""
    was, current = _Part(*before), _Part(*now)
    if was.rows == 0 or current.rows == 0:
        return State.NOT_ENOUGH_DATA
    psi = population_stability_index(was.bins, current.bins)
    return judge(
        psi, noise_floor(was.bins, current.bins), reference_rows=was.rows, current_rows=current.rows
    )  # fmt: skip


def judge_columns(
    cells: list[tuple[ColumnReference, Ints, float]], found: DataQualityCounts
) -> tuple[ColumnQuality, ...]:
    """Every input column.

    Args:
        cells: Of the window, as ``Counter.split`` gives them, the prediction last.
        found: What no bin holds.
    """
    return tuple(_judge_column(column, counts, found) for column, counts, _ in cells[:-1])


def _judge_column(column: ColumnReference, cells: Ints, found: DataQualityCounts) -> ColumnQuality:
    before, rows = np.asarray(column.counts, np.int64), int(cells.sum())
    n = int(before.sum())
    parts = {Oddity.MISSING: (_Part(int(before[-1]), n), _Part(int(cells[-1]), rows))}
    unseen = 0
    if isinstance(column.bins, LevelBins):
        at = column.bins.unseen
        parts[Oddity.UNSEEN] = (_Part(int(before[at]), n), _Part(int(cells[at]), rows))
        unseen = int(held_counts(column, cells)[at])  # rows of the training, sent again, lack nothing it has
    has_range = column.kind is Kind.NUMBER and column.summary is not None
    if has_range:
        parts[Oddity.OUTSIDE] = (_Part(0, n), _Part(found.outside[column.name], found.rows))
    refused = found.refused[column.name]
    parts[Oddity.REFUSED] = (_Part(0, n), _Part(refused, found.rows + refused))
    parts[Oddity.TYPE] = (_Part(0, n), _Part(found.mistyped[column.name], found.rows + refused))
    shares = {
        oddity: Share(
            oddity=oddity, share=Pair(reference=was.share, current=now.share), count=now.odd,
            state=judge_parts(((unseen if oddity is Oddity.UNSEEN else was.odd), was.rows), (now.odd, now.rows)),
        )
        for oddity, (was, now) in parts.items()
    }  # fmt: skip
    moved = [share for share in shares.values() if share.state in SEVERITY[1:]]
    return ColumnQuality(
        name=column.name, kind=column.kind.value, shares=shares,
        low=column.summary.minimum if has_range and column.summary else None,
        high=column.summary.maximum if has_range and column.summary else None,
        state=worst([share.state for share in shares.values()]),
        sentence=" ".join(filter(None, (_sentence(column, share, shares) for share in moved)))
        or f"`{column.name}`: nothing beyond chance.",
    )  # fmt: skip


def judge_unknown(
    found: DataQualityCounts, *, training_rows: int, others: Mapping[int, FeatureSchema]
) -> tuple[UnknownColumn, ...]:
    """Every column that callers sent and the version does not know, the most frequent first.

    Args:
        found: Counts of the window.
        training_rows: Of which none had it.
        others: Other versions of the model.
    """
    taken = {version: {column.name for column in schema.columns} for version, schema in others.items()}
    return tuple(
        UnknownColumn(
            name=name, rows=rows, share=min(1.0, rows / found.rows) if found.rows else 0.0,
            versions=tuple(version for version, names in sorted(taken.items()) if name in names),
            state=judge_parts((0, training_rows), (min(rows, found.rows), found.rows)),
        )
        for name, rows in found.unknown.most_common()
    )  # fmt: skip


def worst(states: list[State]) -> State:
    """The worst state that is known; not enough data when none is."""
    judged = [state for state in states if state is not State.NOT_ENOUGH_DATA]
    return max(judged, key=SEVERITY.index) if judged else State.NOT_ENOUGH_DATA


def fingerprint(schema: FeatureSchema) -> str:
    """Of the rows that a version takes: names, kinds and whole numbers, in any order; 12 hex digits of a SHA-256."""
    columns = sorted((column.name, column.kind.value, column.integer) for column in schema.columns)
    return hashlib.sha256(msgspec.json.encode(columns)).hexdigest()[:_FINGERPRINT_DIGITS]


def judge_data_quality(
    connection: sqlite3.Connection, versions: KnownVersions, known: KnownVersion, span: Span, *, refused_until: int = 0
) -> DataQualityReport:
    """A span of one version's rows against its training.

    Args:
        connection: The state database.
        versions: Of which the others are looked up that callers may have been made for.
        known: The version.
        span: The hours judged.
        refused_until: The hour at which the refusals counted end, in place of the span's end: they have no event time,
            so where events are replayed, or all requests are refused, they lie in other hours than the rows.
    """
    found = read_data_quality(connection, span)
    if refused_until:
        first = refused_until - (span.last_hour - span.first_hour)
        arrived = read_data_quality(connection, replace(span, first_hour=first, last_hour=refused_until))
        found = replace(found, refused=arrived.refused, mistyped=arrived.mistyped)
    columns = judge_columns(known.counter.split(read_counts(connection, known, span)), found)
    schemas = _schemas_beside(connection, versions, span)
    unknown = judge_unknown(found, training_rows=known.reference.rows, others=schemas)
    state = worst([*(column.state for column in columns), *(column.state for column in unknown)])
    return DataQualityReport(
        model=span.model, version=span.version, window=span.window, rows=found.rows, refused=found.refused.total(),
        schema=fingerprint(known.schema),
        schemas={span.version: fingerprint(known.schema)}
        | {version: fingerprint(schema) for version, schema in schemas.items()},
        columns=columns, unknown=unknown, duplicate_share=found.sample.duplicate_share, state=state,
        sentence=_verdict(columns, unknown, state),
    )  # fmt: skip


def read_data_quality(connection: sqlite3.Connection, span: Span) -> DataQualityCounts:
    """The sum of the span's hours."""
    stored = scan_data_quality(
        connection, span.model, span.version, first_hour=span.first_hour, last_hour=span.last_hour
    )
    return add_quality(map(parse_quality, stored))


def _schemas_beside(connection: sqlite3.Connection, versions: KnownVersions, span: Span) -> dict[int, FeatureSchema]:
    """The other versions that answered, and the neighbours in number: what a caller may have been made for."""
    answered = predictions_by_bucket(
        connection, span.model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=24
    )
    near = {version for _, version in answered} | {span.version - 1, span.version + 1}
    found = {version: versions.find(span.model, version) for version in sorted(near - {span.version}) if version > 0}
    return {version: one.schema for version, one in found.items() if one is not None}


def _sentence(column: ColumnReference, share: Share, beside: Mapping[Oddity, Share]) -> str:
    was, now = _percent(share.share.reference), _percent(share.share.current)
    verb = "rose" if share.share.current > share.share.reference else "fell"
    match share.oddity:
        case Oddity.MISSING:
            return f"`{column.name}`: missing values {verb} from {was} to {now} of the rows."
        case Oddity.UNSEEN:
            return f"`{column.name}`: categories that training never saw {verb} from {was} to {now} of the rows."
        case Oddity.OUTSIDE:
            limits = f"{column.summary.minimum:.6g} to {column.summary.maximum:.6g}" if column.summary else ""
            return f"`{column.name}`: {now} of the values lie outside of {limits}, the training's range."
        case Oddity.REFUSED:
            mistyped = beside[Oddity.TYPE].count
            told = f"{mistyped:,} with a value of another type, {share.count - mistyped:,} without it"
            return f"`{column.name}`: {share.count:,} requests were refused for it ({now}): {told}."
        case Oddity.TYPE:
            return ""  # they are among the refused, whose sentence tells them


def _verdict(columns: tuple[ColumnQuality, ...], unknown: tuple[UnknownColumn, ...], state: State) -> str:
    if state is State.NOT_ENOUGH_DATA:
        return "Too few rows to tell; 50 are needed."
    moved = [column for column in columns if column.state in SEVERITY[1:]]
    moved.sort(key=lambda column: -SEVERITY.index(column.state))
    sentences = [column.sentence for column in moved]
    for column in unknown:
        if column.state in SEVERITY[1:]:
            known_to = f", a column of version {', '.join(map(str, column.versions))}" if column.versions else ""
            named = f"`{column.name}`{known_to}," if column.name else "Further columns"
            sentences.append(f"{named} came with {_percent(column.share)} of the rows and was ignored.")
    if not sentences:
        return "The rows are as at training."
    more = f" And {len(sentences) - NAMED} more." if len(sentences) > NAMED else ""
    return " ".join(sentences[:NAMED]) + more


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")

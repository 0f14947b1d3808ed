"""Tallies: what one chunk of the event log adds to the windows, worked out before anything is written."""

from __future__ import annotations

import base64
import binascii
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np

from appliance.errors import BundleRefused
from appliance.events import PredictionEvent, StatsEvent
from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.data_quality import DataQualityCounts
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.reference import watched_outputs
from appliance.monitoring.service import MINUTE_US, ServiceCounts, bucket_of
from appliance.monitoring.windows import HOUR_US, WindowCounts
from storage.data_quality_rows import DataQualityKey
from storage.window_rows import FeatureKey, ServiceKey

DAY_US = 24 * HOUR_US
Event = TypeVar("Event")
Values: TypeAlias = list[float | None] | Floats
"""Encoded rows, one after the other; null is None or NaN."""


class Fault(StrEnum):
    """Why something of the log is in no window, or not where it said."""

    TORN = "torn"
    UNRECORDED = "unrecorded"
    UNDECODABLE = "undecodable"
    BUNDLE_MISSING = "bundle_missing"
    MALFORMED = "malformed"
    FUTURE_TIME = "future_time"
    LABEL_UNMATCHED = "label_unmatched"
    LABEL_INVALID = "label_invalid"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a chunk adds.

    Attributes:
        predictions: Rows of the decodable prediction events, also of those in no window.
        errors: Requests refused, by the stats events.
        shadows: What shadows scored: a label may have come before.
        held: Rows by the version whose bundle cannot be read: they are in no window.
    """

    features: dict[FeatureKey, WindowCounts] = field(default_factory=dict)
    service: dict[ServiceKey, ServiceCounts] = field(default_factory=dict)
    quality: dict[DataQualityKey, DataQualityCounts] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    predictions: int = 0
    errors: int = 0
    shadows: list[PredictionEvent] = field(default_factory=list)
    held: Counter[tuple[str, int]] = field(default_factory=Counter)


def tally_predictions(lines: Sequence[bytes], versions: KnownVersions) -> Tally:
    """Count prediction events; an event without a readable bundle still counts for the service."""
    tally = Tally()
    groups: dict[tuple[str, int, str], list[PredictionEvent]] = defaultdict(list)
    for event in decode(lines, _PREDICTION, tally.faults):
        tally.predictions += event.n
        _serve(tally, event)
        if event.r == "shadow":
            tally.shadows.append(event)
        groups[event.m, event.v, event.r].append(event)
    for (model, version, variant), events in groups.items():
        known = versions.find(model, version)
        if known is None:
            tally.held[model, version] += sum(event.n for event in events)
        else:
            _add_rows(tally, known, variant, events)
    return tally


def tally_held(lines: Sequence[bytes], known: KnownVersion) -> Tally:
    """Count what ``tally_predictions`` left out of one version, and nothing that it counted."""
    tally = Tally()
    wanted = known.schema.model, known.schema.version
    groups: dict[str, list[PredictionEvent]] = defaultdict(list)
    for event in decode(lines, _PREDICTION, Counter()):
        if (event.m, event.v) == wanted:
            groups[event.r].append(event)
    for variant, events in groups.items():
        _add_rows(tally, known, variant, events)
    tally.shadows = groups.get("shadow", [])
    return tally


def tally_stats(lines: Sequence[bytes]) -> Tally:
    """Count the refusals that serving processes report."""
    tally = Tally()
    for event in decode(lines, _STATS, tally.faults):
        for model, version, status, count in event.errors:
            window = _service_window(tally, model, version, event.at)
            window.errors[status] += count
            tally.errors += count
        for model, version, column, count in event.fields:
            refused = DataQualityCounts(refused=Counter({column: count}))
            _add_quality(tally, model, version, event.at // HOUR_US, refused)
        for model, version, column, count in event.types:
            mistyped = DataQualityCounts(mistyped=Counter({column: count}))
            _add_quality(tally, model, version, event.at // HOUR_US, mistyped)
        tally.faults[Fault.UNRECORDED] += sum(count for _, _, count in event.lost)
    return tally


def event_time_us(event: PredictionEvent) -> int:
    """The event's own time, or its arrival when it claims to come from more than a day ahead."""
    return event.at if event.t > event.at + DAY_US else event.t


def read_inputs(event: PredictionEvent) -> Floats | None:
    """The encoded rows of an event, shape ``(n, columns)``, NaN for null; None when they cannot be read."""
    values = np.asarray(read_values(event), np.float64)
    if event.n == 0 or len(values) == 0 or len(values) % event.n:
        return None
    return values.reshape(event.n, -1)


def decode(lines: Sequence[bytes], decoder: msgspec.json.Decoder[Event], faults: Counter[str]) -> list[Event]:
    """The records that can be decoded; the others are counted as faults."""
    events = []
    for line in lines:
        try:
            events.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            faults[Fault.UNDECODABLE] += 1
    return events


_PREDICTION = msgspec.json.Decoder(PredictionEvent)
_STATS = msgspec.json.Decoder(StatsEvent)


def _add_rows(tally: Tally, known: KnownVersion, variant: str, events: list[PredictionEvent]) -> None:
    """Count the rows of one version in one role."""
    model, version = events[0].m, events[0].v
    rows = _read_rows(events, known, tally.faults)
    if rows is None:
        return
    for hour, counts in _count(rows, known).items():
        tally.features[FeatureKey(model=model, version=version, variant=variant, hour=hour)] = counts
    if variant != "shadow":  # it scores rows that were counted with the answer
        for hour, found in known.checker.count(rows.matrix, rows.hours).items():
            _add_quality(tally, model, version, hour, found)
        for hour, names in rows.unknown.items():
            _add_quality(tally, model, version, hour, DataQualityCounts(unknown=names))


def _serve(tally: Tally, event: PredictionEvent) -> None:
    # Nobody waited for a shadow: its times are counted apart.
    key = ServiceKey(model=event.m, version=event.v, minute=event.at // MINUTE_US, shadow=event.r == "shadow")
    window = tally.service.get(key) or ServiceCounts()
    window.buckets[bucket_of(event.us)] += 1
    tally.service[key] = ServiceCounts(
        requests=window.requests + 1, rows=window.rows + event.n, max_us=max(window.max_us, event.us),
        buckets=window.buckets, errors=window.errors,
    )  # fmt: skip


def _service_window(tally: Tally, model: str, version: int, at_us: int) -> ServiceCounts:
    key = ServiceKey(model=model, version=version, minute=at_us // MINUTE_US)
    return tally.service.setdefault(key, ServiceCounts())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The rows of one version's events that can be counted.

    Attributes:
        matrix: Encoded, shape ``(n, inputs)``.
        given: Outputs, flat.
        hours: Of event time since 1970, shape ``(n,)``.
        unknown: Hour to the names of columns that the model does not know, and the rows that had them.
    """

    matrix: Floats
    given: Floats
    hours: Ints
    unknown: dict[int, Counter[str]]


def _read_rows(events: list[PredictionEvent], known: KnownVersion, faults: Counter[str]) -> _Rows | None:
    inputs, outputs = known.counter.inputs, known.schema.outputs
    rows: list[Values] = []
    answers: list[list[float]] = []
    sizes: list[int] = []
    hours: list[int] = []
    unknown: dict[int, Counter[str]] = defaultdict(Counter)
    for event in events:
        values = read_values(event)
        if len(values) != event.n * inputs or len(event.y) != event.n * outputs or event.n == 0:
            faults[Fault.MALFORMED] += 1
            continue
        moment = event_time_us(event)
        faults[Fault.FUTURE_TIME] += moment != event.t
        rows.append(values)
        answers.append(event.y)
        sizes.append(event.n)
        hours.append(moment // HOUR_US)
        if event.i:
            unknown[moment // HOUR_US].update(event.i)
    if not rows:
        return None
    return _Rows(
        matrix=to_matrix(rows, inputs), given=np.array(list(chain.from_iterable(answers)), np.float64),
        hours=np.repeat(np.array(hours, np.int64), sizes), unknown=unknown,
    )  # fmt: skip


def _count(rows: _Rows, known: KnownVersion) -> dict[int, WindowCounts]:
    counted = known.counter.count(rows.matrix, watched_outputs(rows.given, known.schema), rows.hours)
    return _with_expected(counted, rows, known)


def _add_quality(tally: Tally, model: str, version: int, hour: int, counts: DataQualityCounts) -> None:
    key = DataQualityKey(model=model, version=version, hour=hour)
    before = tally.quality.get(key)
    tally.quality[key] = counts if before is None else before + counts


def _with_expected(counted: dict[int, WindowCounts], rows: _Rows, known: KnownVersion) -> dict[int, WindowCounts]:
    """The hours with what is expected of their rows' labels."""
    if known.estimator is None:
        return counted
    distinct, group = np.unique(rows.hours, return_inverse=True)
    try:
        sums = known.estimator.count(rows.given, group, len(distinct), encoded=rows.matrix)
    except BundleRefused:  # a damaged file of the bundle, which serving refuses and an alert names
        return counted
    return {one: replace(counted[one], expected=sums[i]) for i, one in enumerate(distinct.tolist())}


def to_matrix(rows: list[Values], inputs: int) -> Floats:
    """All rows as one matrix; None becomes NaN."""
    parts = [
        np.array(list(chain.from_iterable(part)), np.float64) if isinstance(part, list) else part
        for part in _runs(rows)
    ]
    return np.concatenate(parts).reshape(-1, inputs)


def _runs(rows: list[Values]) -> list[list[list[float | None]] | Floats]:
    """Neighbouring lists together, so that numpy converts them at once."""
    runs: list[list[list[float | None]] | Floats] = []
    for values in rows:
        if isinstance(values, np.ndarray):
            runs.append(values)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(values)
        else:
            runs.append([values])
    return runs


def read_values(event: PredictionEvent) -> Values:
    """The encoded rows; empty when they cannot be read."""
    if isinstance(event.x, list):
        return event.x
    try:
        return np.frombuffer(base64.b64decode(event.x, validate=True), "<f8")
    except (binascii.Error, ValueError):
        return []

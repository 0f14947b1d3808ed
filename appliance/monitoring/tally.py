"""Tallies: what one chunk of the event log adds to the windows, worked out before anything is written."""

from __future__ import annotations

import base64
import binascii
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import TypeVar

import msgspec
import numpy as np

from appliance.events import PredictionEvent, StatsEvent
from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.reference import predicted
from appliance.monitoring.service import MINUTE_US, ServiceCounts, bucket_of
from appliance.monitoring.windows import HOUR_US, WindowCounts
from storage.window_rows import FeatureKey, ServiceKey

DAY_US = 24 * HOUR_US
Event = TypeVar("Event")


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
    """

    features: dict[FeatureKey, WindowCounts] = field(default_factory=dict)
    service: dict[ServiceKey, ServiceCounts] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    predictions: int = 0
    errors: int = 0
    shadows: list[PredictionEvent] = field(default_factory=list)


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
            tally.faults[Fault.BUNDLE_MISSING] += sum(event.n for event in events)
            continue
        for hour, counts in _count(events, known, tally.faults).items():
            tally.features[FeatureKey(model=model, version=version, variant=variant, hour=hour)] = counts
    return tally


def tally_stats(lines: Sequence[bytes]) -> Tally:
    """Count the refusals that serving processes report."""
    tally = Tally()
    for event in decode(lines, _STATS, tally.faults):
        for model, version, status, count in event.errors:
            window = _service_window(tally, model, version, event.at)
            window.errors[status] += count
            tally.errors += count
        tally.faults[Fault.UNRECORDED] += sum(count for _, _, count in event.lost)
    return tally


def event_time_us(event: PredictionEvent) -> int:
    """The event's own time, or its arrival when it claims to come from more than a day ahead."""
    return event.at if event.t > event.at + DAY_US else event.t


def read_inputs(event: PredictionEvent) -> Floats | None:
    """The encoded rows of an event, shape ``(n, columns)``, NaN for null; None when they cannot be read."""
    values = np.asarray(_values(event), np.float64)
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


def _count(events: list[PredictionEvent], known: KnownVersion, faults: Counter[str]) -> dict[int, WindowCounts]:
    inputs, outputs = known.counter.inputs, known.schema.outputs
    rows: list[list[float | None] | Floats] = []
    answers: list[list[float]] = []
    sizes: list[int] = []
    hours: list[int] = []
    for event in events:
        values = _values(event)
        if len(values) != event.n * inputs or len(event.y) != event.n * outputs or event.n == 0:
            faults[Fault.MALFORMED] += 1
            continue
        moment = event_time_us(event)
        faults[Fault.FUTURE_TIME] += moment != event.t
        rows.append(values)
        answers.append(event.y)
        sizes.append(event.n)
        hours.append(moment // HOUR_US)
    if not rows:
        return {}
    given = np.array(list(chain.from_iterable(answers)), np.float64)
    hour = np.repeat(np.array(hours, np.int64), sizes)
    counted = known.counter.count(_matrix(rows, inputs), predicted(given, known.schema), hour)
    return _with_expected(counted, given, hour, known)


def _with_expected(
    counted: dict[int, WindowCounts], given: Floats, hour: Ints, known: KnownVersion
) -> dict[int, WindowCounts]:
    """The hours with what is expected of their rows' labels."""
    if known.estimator is None:
        return counted
    distinct, group = np.unique(hour, return_inverse=True)
    sums = known.estimator.count(given, group, len(distinct))
    return {one: replace(counted[one], expected=sums[i]) for i, one in enumerate(distinct.tolist())}


def _matrix(rows: list[list[float | None] | Floats], inputs: int) -> Floats:
    """All rows as one matrix; None becomes NaN."""
    parts = [
        np.array(list(chain.from_iterable(part)), np.float64) if isinstance(part, list) else part
        for part in _runs(rows)
    ]
    return np.concatenate(parts).reshape(-1, inputs)


def _runs(rows: list[list[float | None] | Floats]) -> list[list[list[float | None]] | Floats]:
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


def _values(event: PredictionEvent) -> list[float | None] | Floats:
    """The encoded rows; empty when they cannot be read."""
    if isinstance(event.x, list):
        return event.x
    try:
        return np.frombuffer(base64.b64decode(event.x, validate=True), "<f8")
    except (binascii.Error, ValueError):
        return []

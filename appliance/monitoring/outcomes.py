"""Outcomes: labels joined to the predictions they are about, by prediction id, straight from the event log."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.events import LabelEvent, PredictionEvent
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.tally import Fault, decode, event_time_us
from appliance.schema import FeatureSchema, Task
from storage.eventlog import list_segments, scan_ids, segments_at
from storage.outcome_rows import Outcome

_HEX_DIGITS = 12
"""A token begins with a UUIDv7, whose first 48 bits are milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The labels of a chunk that found their prediction, in the order they came, and the faults of the others."""

    outcomes: list[Outcome]
    faults: Counter[str]


def join_labels(lines: Sequence[bytes], predictions: Path, versions: KnownVersions) -> Joined:
    """Find the prediction of every label.

    Args:
        lines: Label events.
        predictions: The directory of the prediction events.
        versions: For the classes and the number of outputs.
    """
    faults: Counter[str] = Counter()
    labels: dict[str, list[LabelEvent]] = defaultdict(list)
    events = decode(lines, _LABEL, faults)
    for event in events:
        labels[event.id.rpartition(".")[0]].append(event)
    found = _find_predictions(predictions, labels)
    outcomes = []
    for label in events:
        prediction = found.get(label.id.rpartition(".")[0])
        outcome = _outcome(label, prediction, versions, faults)
        if outcome is not None:
            outcomes.append(outcome)
    return Joined(outcomes=outcomes, faults=faults)


def label_text(label: float | str, schema: FeatureSchema) -> str | None:
    """The label as it is kept: a finite number for regression, else one of the classes; None when it is neither."""
    if schema.task is Task.REGRESSION:
        return repr(float(label)) if not isinstance(label, str) and math.isfinite(label) else None
    text = label
    if not isinstance(text, str):
        text = str(int(text)) if math.isfinite(text) and float(text).is_integer() else repr(text)
    return text if text in schema.classes else None


_LABEL = msgspec.json.Decoder(LabelEvent)
_PREDICTION = msgspec.json.Decoder(PredictionEvent)
_NUMBERS = msgspec.json.Encoder()


def _find_predictions(directory: Path, tokens: Iterable[str]) -> dict[str, PredictionEvent]:
    """The prediction events of the tokens; first where their time says, then, for those not there, everywhere."""
    wanted = {token.encode() for token in tokens if token}
    moments = [moment for token in wanted if (moment := _moment(token)) is not None]
    likely = segments_at(directory, moments)
    found = _decoded(scan_ids(directory, wanted, segments=likely)) if likely else {}
    missing = wanted - {token.encode() for token in found}
    rest = [path for path in list_segments(directory) if path not in set(likely)] if missing else []
    return found | _decoded(scan_ids(directory, missing, segments=rest)) if rest else found


def _moment(token: bytes) -> float | None:
    try:
        return int(token[:_HEX_DIGITS], 16) / 1000
    except ValueError:
        return None


def _decoded(records: Iterable[bytes]) -> dict[str, PredictionEvent]:
    # A record that cannot be decoded was counted when its own segment was.
    return {event.id: event for event in decode(list(records), _PREDICTION, Counter())}


def _outcome(
    label: LabelEvent, prediction: PredictionEvent | None, versions: KnownVersions, faults: Counter[str]
) -> Outcome | None:
    row = label.id.rpartition(".")[2]
    if prediction is None or prediction.m != label.m or not row.isdecimal() or int(row) >= prediction.n:
        faults[Fault.LABEL_UNMATCHED] += 1
        return None
    known = versions.find(prediction.m, prediction.v)
    if known is None:
        faults[Fault.BUNDLE_MISSING] += 1
        return None
    text = label_text(label.l, known.schema)
    outputs = known.schema.outputs
    if text is None or len(prediction.y) != prediction.n * outputs:
        faults[Fault.LABEL_INVALID] += 1
        return None
    return Outcome(
        id=label.id,
        model=prediction.m,
        version=prediction.v,
        variant=prediction.r,
        event_us=event_time_us(prediction),
        output=_NUMBERS.encode(prediction.y[int(row) * outputs : (int(row) + 1) * outputs]).decode(),
        label=text,
        label_us=label.t,
        arrived_us=label.at,
    )

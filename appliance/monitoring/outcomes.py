"""Outcomes: labels joined to the predictions they are about, by prediction id, from the event log and its history.

A label is about an answer; what a shadow said of the same rows is joined to it, too, so that a version's quality is
known before it is promoted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import msgspec
import numpy as np
from msgspec.structs import replace

from appliance.events import SHADOW_SUFFIX, LabelEvent, PredictionEvent
from appliance.history import find_records, read_records
from appliance.monitoring.bins import Ints
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.tally import Fault, Values, decode, event_time_us, read_values, to_matrix
from appliance.protected import encode_group
from appliance.schema import FeatureSchema, Task
from storage.layout import Layout
from storage.outcome_rows import Outcome

UNTOLD = 255
"""The bin of a protected column that the caller did not send; no column has so many bins."""
TOGETHER = 1_000
"""So many requests' labels are worked out at once: a chunk may have forty times as many, whose decoded predictions
would fall out of the processor's cache before they are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The labels of a chunk that found their prediction, a prediction's in the order they came, and the others' faults.

    Attributes:
        held: Labels by the version, of the answer or of a shadow, whose bundle cannot be read.
    """

    outcomes: list[Outcome]
    faults: Counter[str]
    held: Counter[tuple[str, int]]


def join_labels(
    lines: Sequence[bytes], layout: Layout, versions: KnownVersions, *, only: tuple[str, int] | None = None
) -> Joined:
    """Find the prediction of every label.

    Args:
        lines: Label events.
        layout: Where the predictions are, in the event log and its history.
        versions: For the classes and the number of outputs.
        only: Labels of what this version answered or scored as a shadow; the others were seen to.
    """
    joined = Joined(outcomes=[], faults=Counter(), held=Counter())
    labels: Labels = defaultdict(list)
    for label in decode(lines, _LABEL, joined.faults):
        labels[label.id.rpartition(".")[0]].append(label)
    models = {label.m for some in labels.values() for label in some}
    records = find_records(layout, models, labels.keys(), shadows=True)
    if only is not None:
        joined.faults.clear()
    rest = iter(labels.items())
    while some := dict(islice(rest, TOGETHER)):
        found = read_records(records, (id_ for token in some for id_ in (token, token + SHADOW_SUFFIX)))
        if only is not None:
            concerned = {id_.removesuffix(SHADOW_SUFFIX) for id_, one in found.items() if (one.m, one.v) == only}
            some = {token: told for token, told in some.items() if token in concerned}
        _join(joined, some, found, versions)
    return joined


def _join(joined: Joined, labels: Labels, found: Mapping[str, PredictionEvent], versions: KnownVersions) -> None:
    cells = _cells(labels, found, versions)
    for token, told in labels.items():
        answer, shadow = found.get(token), found.get(token + SHADOW_SUFFIX)
        known = None if answer is None else versions.find(answer.m, answer.v)
        for label in told:
            if answer is not None and answer.m == label.m and known is None:
                joined.held[answer.m, answer.v] += 1
                continue
            outcome = _outcome(label, answer, known, cells.get(label.id, b""), joined.faults)
            if outcome is None:
                continue
            joined.outcomes.append(outcome)
            if shadow is not None:
                if versions.find(shadow.m, shadow.v) is None:
                    joined.held[shadow.m, shadow.v] += 1
                joined.outcomes.extend(join_shadow(shadow, [outcome], versions))


def join_shadow(shadow: PredictionEvent, answered: Iterable[Outcome], versions: KnownVersions) -> list[Outcome]:
    """What a shadow said of rows whose answers have a label.

    A class that the shadow does not know is no fault of the label: the row is left out, as the coverage shows.

    Args:
        shadow: Its event.
        answered: Outcomes of the answer's rows, all or some.
        versions: For the shadow's classes and its number of outputs.
    """
    known = versions.find(shadow.m, shadow.v)
    if known is None or len(shadow.y) != shadow.n * known.schema.outputs:
        return []
    found = []
    for outcome in answered:
        row = outcome.id.rpartition(".")[2]
        regression = known.schema.task is Task.REGRESSION
        text = outcome.label if regression else label_text(outcome.label, known.schema)
        if text is not None and int(row) < shadow.n:
            output = _output(shadow, int(row), known.schema.outputs)
            found.append(
                replace(
                    outcome,
                    id=f"{shadow.id}.{row}",
                    version=shadow.v,
                    variant=shadow.r,
                    output=output,
                    label=text,
                    cells=b"",
                )
            )
    return found


def _cells(labels: Labels, found: Mapping[str, PredictionEvent], versions: KnownVersions) -> dict[str, bytes]:
    """Prediction id to the bins its inputs lie in, worked out a column at a time; what cannot be read is left out."""
    wanted: dict[tuple[str, int], dict[str, _Row]] = defaultdict(dict)
    for token, told in labels.items():
        event = found.get(token)
        known = None if event is None else versions.find(event.m, event.v)
        if event is None or known is None:
            continue
        values, texts, inputs = read_values(event), _texts(event), known.counter.inputs
        if len(values) != event.n * inputs:
            continue
        rows = wanted[event.m, event.v]
        for label in told:
            row = _row_of(label, event)
            if row is not None:
                rows[label.id] = values[row * inputs : (row + 1) * inputs], texts.get(row, {})
    cells: dict[str, bytes] = {}
    for (model, version), rows in wanted.items():
        known = versions.find(model, version)
        if known is None or not rows:
            continue
        matrix = to_matrix([values for values, _ in rows.values()], known.counter.inputs)
        columns = [one.bins.index(matrix[:, i]) for i, one in enumerate(known.reference.columns)]
        columns += _group_cells([texts for _, texts in rows.values()], known)
        flat, width = np.stack(columns, axis=1).astype(np.uint8).tobytes(), len(columns)
        cells |= {id_: flat[i * width : (i + 1) * width] for i, id_ in enumerate(rows)}
    return cells


def _row_of(label: LabelEvent, event: PredictionEvent) -> int | None:
    """Which row of a request the label is about; None when the request has no such row."""
    row = label.id.rpartition(".")[2]
    return int(row) if row.isdecimal() and int(row) < event.n else None


def _texts(prediction: PredictionEvent) -> dict[int, dict[int, str]]:
    """Row to column index to what the encoded row cannot hold."""
    texts: dict[int, dict[int, str]] = defaultdict(dict)
    for row, column, text in prediction.u:
        texts[row][column] = text
    return texts


def _group_cells(rows: Sequence[Mapping[int, str]], known: KnownVersion) -> list[Ints]:
    """The bin of each row, by protected column that is no input."""
    found = []
    protected = zip(known.schema.protected, known.reference.protected, strict=False)
    for place, (column, reference) in enumerate(protected, known.counter.inputs):
        values = [encode_group(texts[place], column) if place in texts else None for texts in rows]
        told = np.array([value is not None for value in values])
        index = reference.bins.index(np.array([np.nan if value is None else value for value in values], np.float64))
        found.append(np.where(told, index, UNTOLD))
    return found


def label_text(label: float | str, schema: FeatureSchema) -> str | None:
    """The label as it is kept: a finite number for regression, else one of the classes; None when it is neither."""
    if schema.task is Task.REGRESSION:
        return repr(float(label)) if not isinstance(label, str) and math.isfinite(label) else None
    text = label
    if not isinstance(text, str):
        text = str(int(text)) if math.isfinite(text) and float(text).is_integer() else repr(text)
    return next((name for name in (text, *_SAME_CLASS.get(text, ())) if name in schema.classes), None)


Labels: TypeAlias = dict[str, list[LabelEvent]]
"""Token to the labels of its rows, in the order they came."""
_Row: TypeAlias = tuple[Values, Mapping[int, str]]
"""An encoded row, and what it cannot hold by column index."""

_YES, _NO = ("true", "True", "1"), ("false", "False", "0")
_SAME_CLASS = {**dict.fromkeys(_YES, _YES), **dict.fromkeys(_NO, _NO)}
"""How versions of one model may write one class, whose column was read as booleans once and as numbers later."""

_LABEL = msgspec.json.Decoder(LabelEvent)
_NUMBERS = msgspec.json.Encoder()


def _outcome(
    label: LabelEvent, prediction: PredictionEvent | None, known: KnownVersion | None, cells: bytes,
    faults: Counter[str],
) -> Outcome | None:  # fmt: skip
    row = None if prediction is None or prediction.m != label.m else _row_of(label, prediction)
    if prediction is None or row is None:
        faults[Fault.LABEL_UNMATCHED] += 1
        return None
    if known is None:  # held by the caller
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
        output=_output(prediction, row, outputs),
        label=text,
        label_us=label.t,
        arrived_us=label.at,
        cells=cells,
    )


def _output(event: PredictionEvent, row: int, outputs: int) -> str:
    return _NUMBERS.encode(event.y[row * outputs : (row + 1) * outputs]).decode()

"""References of choice: traffic held against another window, or another dataset version, instead of its training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from msgspec.structs import replace

from appliance.errors import BadInput
from appliance.monitoring.bins import Ints
from appliance.monitoring.known import KnownVersion
from appliance.monitoring.reference import ColumnReference, Reference
from appliance.monitoring.windows import WindowCounts
from appliance.training.encode import encode_frame

TRAINING, PREVIOUS = "training", "previous"
ACCEPTED = "training, previous, dataset:VERSION, or FROM/TO as dates or times, such as 2026-01-01/2026-02-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The window of the same length that ends where the judged one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A window of event time, whole hours since 1970, the last excluded."""

    first_hour: int
    last_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """A version of the dataset that the model version was trained on."""

    version: int


Against = Previous | Between | DatasetVersion | None
"""None: the training."""


def parse_against(text: str) -> Against:
    """Read a reference of choice.

    Raises:
        BadInput: It is none.
    """
    if text == TRAINING:
        return None
    if text == PREVIOUS:
        return Previous()
    if found := re.fullmatch(r"dataset:([1-9][0-9]{0,8})", text):
        return DatasetVersion(version=int(found[1]))
    start, slash, end = text.partition("/")
    if not slash:
        raise BadInput(f"reference {text!r}: accepted: {ACCEPTED}")
    first, last = _hour(start, text), -(-_seconds(end, text) // 3600)
    if last <= first:
        raise BadInput(f"reference {text!r} ends before it begins")
    return Between(first_hour=first, last_hour=last)


def with_window(known: KnownVersion, counts: WindowCounts) -> Reference:
    """The version's reference with a window's counts in place of the training's; the label stays the training's."""
    columns = [_with_counts(column, cells, total) for column, cells, total in known.counter.split(counts)]
    return replace(known.reference, rows=counts.rows, columns=tuple(columns[:-1]), prediction=columns[-1])


def with_rows(known: KnownVersion, frame: pl.DataFrame) -> Reference:
    """The version's reference with the rows of another table; prediction and label stay the training's.

    Raises:
        BadTable: A column of the model is missing or of another kind.
    """
    encoded = encode_frame(frame, known.schema)
    columns = []
    for index, column in enumerate(known.reference.columns):
        values = encoded[f"f{index}"].to_numpy()
        cells = np.bincount(column.bins.index(values), minlength=column.bins.size)
        columns.append(_with_counts(column, cells, float(np.nansum(values))))
    return replace(known.reference, rows=frame.height, columns=tuple(columns))


def _with_counts(column: ColumnReference, cells: Ints, total: float) -> ColumnReference:
    """Counts and mean of other rows; the spread, which norms the Wasserstein distance, stays the training's."""
    summary = column.summary
    present = int(cells[:-1].sum())
    if summary is not None and present:
        summary = replace(summary, mean=total / present)
    return replace(column, counts=tuple(np.asarray(cells).tolist()), summary=summary)


def _hour(text: str, whole: str) -> int:
    return _seconds(text, whole) // 3600


def _seconds(text: str, whole: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise BadInput(f"reference {whole!r}: {text!r} is no date or time; accepted: {ACCEPTED}") from exc
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

"""References of choice: traffic held against another window, or another dataset version, instead of its training."""

from __future__ import annotations

import dataclasses
import math
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl
from msgspec.structs import replace

from appliance.errors import BadInput, BadTable, NotFound
from appliance.monitoring.bins import Floats, Ints, LevelBins, level_counts
from appliance.monitoring.judged import read_counts
from appliance.monitoring.known import KnownVersion
from appliance.monitoring.reference import ColumnReference, Reference
from appliance.monitoring.spans import Span
from appliance.monitoring.windows import WindowCounts
from appliance.training.encode import encode_named
from storage.errors import DatasetNotFound, SnapshotNotFound
from storage.layout import Layout
from storage.model_rows import find_version

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What traffic is held against.

    Attributes:
        reference: Over the version's own bins.
        faults: Column name to why it cannot be counted there.
    """

    reference: Reference
    faults: Mapping[str, str] = field(default_factory=dict)


def find_held(
    layout: Layout, connection: sqlite3.Connection, known: KnownVersion, span: Span, wanted: Against
) -> Held:  # fmt: skip
    """The reference of choice of a span.

    Raises:
        NotFound: There is no such dataset version, or the model version is not registered.
    """
    if wanted is None:
        return Held(reference=known.reference)
    if isinstance(wanted, DatasetVersion):
        row = find_version(connection, span.model, span.version)
        if row is None:
            raise NotFound(f"version {span.version} of {span.model!r} is not registered, so its dataset is unknown")
        from storage.datasets import scan_snapshot  # noqa: PLC0415  (deltalake is heavy)

        try:
            rows = scan_snapshot(layout, row.dataset, wanted.version)
        except (DatasetNotFound, SnapshotNotFound) as exc:
            raise NotFound(str(exc)) from exc
        there = set(rows.collect_schema().names())
        wanted_columns = [column.name for column in known.schema.columns if column.name in there]
        return with_rows(known, rows.select(wanted_columns).collect())
    first, last = (
        (2 * span.first_hour - span.last_hour, span.first_hour)
        if isinstance(wanted, Previous)
        else (wanted.first_hour, wanted.last_hour)
    )
    before = dataclasses.replace(span, first_hour=first, last_hour=last)
    return with_window(known, read_counts(connection, known, before))


def with_window(known: KnownVersion, counts: WindowCounts) -> Held:
    """The version's reference with a window's counts in place of the training's; the label stays the training's."""
    columns = [_with_counts(column, cells, total) for column, cells, total in known.counter.split(counts)]
    other = known.counter.split_other(counts)
    reference = replace(
        known.reference, rows=counts.rows, columns=tuple(columns[:-1]), prediction=columns[-1],
        other_output=None if other is None else _with_counts(*other),
    )  # fmt: skip
    return Held(reference=reference)


def with_rows(known: KnownVersion, frame: pl.DataFrame) -> Held:
    """The version's reference with the rows of another table; outputs and label stay the training's.

    A column that the table lacks, or holds as another kind, has no rows there, and the others are judged all the same.
    """
    columns, faults = [], {}
    for column, reference in zip(known.schema.columns, known.reference.columns, strict=True):
        try:
            values = encode_named(frame, column)
        except (BadTable, pl.exceptions.PolarsError) as exc:
            faults[column.name] = f"the reference cannot be counted: {str(exc).splitlines()[0]}"
            columns.append(replace(reference, counts=(0,) * reference.bins.size))
            continue
        cells, supposed = _count_rows(reference, values)
        with np.errstate(over="ignore", invalid="ignore"):
            columns.append(_with_counts(reference, cells, float(np.nansum(values)), supposed))
    return Held(reference=replace(known.reference, rows=frame.height, columns=tuple(columns)), faults=faults)


def _count_rows(reference: ColumnReference, values: Floats) -> tuple[Ints, int]:
    """Rows a bin, and how many of the unseen are supposed: the table may be the training's own, or share its rows."""
    if isinstance(reference.bins, LevelBins):
        return level_counts(reference.bins, values)
    return np.bincount(reference.bins.index(values), minlength=reference.bins.size), 0


def _with_counts(column: ColumnReference, cells: Ints, total: float, supposed: int = 0) -> ColumnReference:
    """Counts and mean of other rows; the spread, which norms the Wasserstein distance, stays the training's."""
    summary = column.summary
    present = int(cells[:-1].sum())
    if summary is not None and present and math.isfinite(total):
        summary = replace(summary, mean=total / present)
    return replace(column, counts=tuple(np.asarray(cells).tolist()), summary=summary, supposed=supposed)


def _hour(text: str, whole: str) -> int:
    return _seconds(text, whole) // 3600


def _seconds(text: str, whole: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise BadInput(f"reference {whole!r}: {text!r} is no date or time; accepted: {ACCEPTED}") from exc
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

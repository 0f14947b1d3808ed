"""The two samples a study compares: rows of the dataset version that trained a model version, and rows it answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.history import scan_predictions
from appliance.monitoring.known import KnownVersion
from appliance.monitoring.spans import Span
from appliance.monitoring.tally import event_time_us, read_inputs
from appliance.monitoring.windows import HOUR_US
from appliance.training.encode import encode_frame
from storage.datasets import scan_snapshot
from storage.layout import Layout

Floats = NDArray[np.float64]

MOST_ROWS = 5_000
"""Rows of each side; more tell nothing that a person would act on, and cost minutes."""


GROUP_ROWS = 131_072
"""Rows that are read at once; a dataset's files have groups of as many."""
READ_CELLS = 4_000_000
"""Cells that are read at once: 32 MB of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Encoded rows of both sides, shape ``(n, columns)``: category codes, -1 for unseen, NaN for null."""

    reference: Floats
    current: Floats


def sample_dataset(layout: Layout, known: KnownVersion, dataset: str, version: int, *, seed: int = 0) -> Floats:
    """Rows of a dataset version, drawn at random with a fixed seed; what is read of the others is never held.

    Raises:
        DatasetNotFound: It is gone.
        SnapshotNotFound: It has no such version.
        BadTable: It lacks a column of the model.
    """
    rows = scan_snapshot(layout, dataset, version)
    there = set(rows.collect_schema().names())
    wanted = [column.name for column in known.schema.columns if column.name in there]
    height = int(rows.select(pl.len()).collect().item())
    drawing = np.random.default_rng(seed)
    places = np.sort(drawing.choice(height, min(MOST_ROWS, height), replace=False))
    frame = _pick(rows, wanted, places, height)
    encoded: Floats = encode_frame(frame, known.schema).to_numpy()
    shuffled: Floats = encoded[drawing.permutation(len(encoded))]  # a study may halve them
    return shuffled


def _pick(rows: pl.LazyFrame, names: Sequence[str], places: NDArray[np.int64], height: int) -> pl.DataFrame:
    """The rows at those places, ascending; read a part of the file after the other, each of bounded size."""
    if not names:
        return pl.DataFrame(height=len(places))
    width = max(1, READ_CELLS // GROUP_ROWS)
    parts = []
    for first in range(0, len(names), width):
        some = rows.select(names[first : first + width])
        found = []
        for start in range(0, max(1, height), GROUP_ROWS):
            inside = places[(places >= start) & (places < start + GROUP_ROWS)]
            if len(inside) or start == 0:  # the first one tells the types where there is no row at all
                found.append(some.slice(start, GROUP_ROWS).collect()[inside - start])
        parts.append(pl.concat(found))
    return pl.concat(parts, how="horizontal")


def sample_answers(layout: Layout, span: Span, *, rows: int, columns: int) -> Floats:
    """About ``MOST_ROWS`` of the rows that a version answered in a span, chosen by their request's id.

    Args:
        layout: The state.
        span: The version and the hours of event time.
        rows: How many it answered, of which the share to take follows.
        columns: Of a row.
    """
    share = min(1.0, 1.2 * MOST_ROWS / max(1, rows))
    found: list[Floats] = []
    taken = 0
    for matrix in _answers(layout, span, share, columns):
        found.append(matrix)
        taken += len(matrix)
        if taken >= 4 * MOST_ROWS:
            break
    if not found:
        return np.zeros((0, columns))
    together = np.concatenate(found)
    if len(together) <= MOST_ROWS:
        return together
    return together[np.sort(np.random.default_rng(0).permutation(len(together))[:MOST_ROWS])]


def _answers(layout: Layout, span: Span, share: float, columns: int) -> Iterator[Floats]:
    first, last = span.first_hour * HOUR_US, span.last_hour * HOUR_US
    for event in scan_predictions(layout, span.model, first_us=first, last_us=last, share=share):
        if event.v != span.version or event.r == "shadow" or not first <= event_time_us(event) < last:
            continue
        matrix = read_inputs(event)
        if matrix is not None and matrix.shape[1] == columns:
            yield matrix

"""The two samples a study compares: rows of the dataset version that trained a model version, and rows it answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Encoded rows of both sides, shape ``(n, columns)``: category codes, -1 for unseen, NaN for null."""

    reference: Floats
    current: Floats


def sample_dataset(layout: Layout, known: KnownVersion, dataset: str, version: int, *, seed: int = 0) -> Floats:
    """Rows of a dataset version, drawn at random with a fixed seed, in memory a column at a time.

    Raises:
        DatasetNotFound: It is gone.
        SnapshotNotFound: It has no such version.
        BadTable: It lacks a column of the model.
    """
    rows = scan_snapshot(layout, dataset, version)
    there = set(rows.collect_schema().names())
    wanted = [column.name for column in known.schema.columns if column.name in there]
    frame = rows.select(wanted).collect(engine="streaming")
    frame = frame.sample(min(MOST_ROWS, frame.height), seed=seed, shuffle=True)
    encoded: Floats = encode_frame(frame, known.schema).to_numpy()
    return encoded


def sample_answers(layout: Layout, span: Span, *, rows: int, columns: int) -> Floats:
    """About ``MOST_ROWS`` of the rows that a version answered in a span, chosen by their request's id.

    Args:
        layout: The state.
        span: The version and the hours of event time.
        rows: How many it answered, of which the share to take follows.
        columns: Of a row.
    """
    share = min(1.0, 1.2 * MOST_ROWS / max(1, rows))
    found: dict[str, Floats] = {}
    taken = 0
    for event_id, matrix in _answers(layout, span, share, columns):
        if event_id not in found:  # a record may be met in the log and in its history
            found[event_id] = matrix
            taken += len(matrix)
        if taken >= 4 * MOST_ROWS:
            break
    if not found:
        return np.zeros((0, columns))
    together = np.concatenate(list(found.values()))
    if len(together) <= MOST_ROWS:
        return together
    return together[np.sort(np.random.default_rng(0).permutation(len(together))[:MOST_ROWS])]


def _answers(layout: Layout, span: Span, share: float, columns: int) -> Iterator[tuple[str, Floats]]:
    first, last = span.first_hour * HOUR_US, span.last_hour * HOUR_US
    for event in scan_predictions(layout, span.model, first_us=first, last_us=last, share=share):
        if event.v != span.version or event.r == "shadow" or not first <= event_time_us(event) < last:
            continue
        matrix = read_inputs(event)
        if matrix is not None and matrix.shape[1] == columns:
            yield event.id, matrix

"""Logged predictions back to the raw values of their requests, column by column."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from appliance.events import PredictionEvent
from appliance.protected import read_group
from appliance.schema import Column, FeatureSchema, Kind

Raw = str | int | float | bool | datetime | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_row(event: PredictionEvent, row: int, schema: FeatureSchema) -> dict[str, Raw] | None:
    """One row's raw values by column; a category that training never saw is restored as it was sent.

    Protected columns that are no inputs are there too, None where they were not sent.

    Args:
        event: The answered request.
        row: Which of its rows, from 0.
        schema: Of the version that answered.

    Returns:
        None when the event has no such row or other columns than the schema.
    """
    width = len(schema.columns)
    matrix = _matrix(event)
    if matrix is None or matrix.size != event.n * width or not 0 <= row < event.n:
        return None
    unseen = {column: value for at, column, value in event.u if at == row}
    values = matrix[row * width : (row + 1) * width]
    inputs: dict[str, Raw] = {
        column.name: unseen.get(index, _raw(value, column))
        for index, (column, value) in enumerate(zip(schema.columns, values.tolist(), strict=True))
    }
    return inputs | {column.name: _group(unseen.get(at), column) for at, column in enumerate(schema.protected, width)}


def _matrix(event: PredictionEvent) -> NDArray[np.float64] | None:
    if isinstance(event.x, str):
        try:
            return np.frombuffer(base64.b64decode(event.x, validate=True), "<f8")
        except (binascii.Error, ValueError):
            return None
    return _floats(event.x)


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _group(text: str | None, column: Column) -> Raw:
    value = None if text is None else read_group(text, column)
    is_time = column.kind is Kind.DATETIME and isinstance(value, float)
    return _EPOCH + timedelta(seconds=value) if is_time else value  # type: ignore[arg-type]


def _raw(value: float, column: Column) -> Raw:
    if np.isnan(value):
        return None
    match column.kind:
        case Kind.BOOLEAN:
            return value != 0.0
        case Kind.CATEGORY:
            code = int(value)
            return column.levels[code] if 0 <= code < len(column.levels) else None
        case Kind.DATETIME:
            return _EPOCH + timedelta(seconds=value)
        case Kind.NUMBER:
            return value

"""Which calendar parts of the column that orders the rows a model can learn from: those that came back in the rows."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.features import CALENDAR, derive
from appliance.schema import Feature, Kind, Part
from appliance.training.columns import as_kind

Floats = NDArray[np.float64]

_DAY_S = 86_400
_CYCLE_S = {
    Part.HOUR: _DAY_S, Part.WEEKDAY: 7 * _DAY_S, Part.DAY: 31 * _DAY_S, Part.DAY_OF_YEAR: 366 * _DAY_S,
    Part.MONTH: 366 * _DAY_S,
}  # fmt: skip

TELLING = (Part.HOUR, Part.WEEKDAY, Part.MONTH)
"""Parts that are worth an input of their own."""

LEAST_CYCLES = 2
"""Rows that span fewer cannot tell what a part does: each of its values came once, as one stretch of time."""


def varying_parts(seconds: Floats) -> tuple[Part, ...]:
    """The parts that differ between rows.

    Args:
        seconds: Since 1970, UTC, a row; NaN is missing.
    """
    known = seconds[~np.isnan(seconds)]
    return tuple(part for part in CALENDAR if len(known) and _varies(derive(known, Feature(column=0, part=part))))


def recurring_parts(seconds: Floats) -> tuple[Part, ...]:
    """Those of them whose cycle the rows went through twice."""
    parts = varying_parts(seconds)
    span = float(np.nanmax(seconds) - np.nanmin(seconds)) if parts else 0.0
    return tuple(part for part in parts if span >= LEAST_CYCLES * _CYCLE_S[part])


def untold_parts(frame: pl.DataFrame, time: str) -> tuple[Part, ...]:
    """The telling parts that came back and that no other column says already, as ``hr`` beside a timestamp does.

    Args:
        frame: The rows, raw.
        time: A column of dates or times, or of such texts.
    """
    times = as_kind(frame[time], Kind.DATETIME)
    seconds = times.dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / 1e6
    others = [column for column in frame.iter_columns() if column.name != time]
    return tuple(
        part for part in recurring_parts(seconds) if part in TELLING and not _is_told(_part(seconds, part), others)
    )


def _varies(values: Floats) -> bool:
    return bool((values != values[0]).any())


def _part(seconds: Floats, part: Part) -> pl.Series:
    return pl.Series("part", derive(seconds, Feature(column=0, part=part)))


def _is_told(part: pl.Series, columns: list[pl.Series]) -> bool:
    """Whether the known values of some column are those of the part by other names."""
    values = part.n_unique()
    return any(_says(column, part, values) for column in columns if not column.dtype.is_nested())


def _says(column: pl.Series, part: pl.Series, values: int) -> bool:
    if column.drop_nulls().n_unique() != values:
        return False
    return pl.DataFrame([part, column.alias("column")]).drop_nulls().n_unique() == values

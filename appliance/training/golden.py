"""Golden rows: raw inputs and the outputs LightGBM itself gave them; a serving process proves itself on them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from appliance.schema import Column, FeatureSchema, Golden, Kind, Raw
from appliance.training.columns import as_kind
from appliance.training.encode import encode_frame
from appliance.training.fit import Scorer
from appliance.training.intervals import predict_interval
from appliance.training.table import Table

REAL_ROWS = 100
"""Replayed over HTTP after each deployment; the rows of nulls and of unseen categories come on top."""


def real_rows(table: Table) -> Table:
    """At most 100 rows, evenly spaced."""
    return table.pick(np.unique(np.linspace(0, len(table) - 1, num=min(REAL_ROWS, len(table)), dtype=np.int64)))


def golden_rows(
    picked: Table | pl.DataFrame, schema: FeatureSchema, scorer: Scorer, ends: tuple[Scorer, ...] = ()
) -> Golden:
    """The rows picked, one of nulls only, and one of categories nobody ever saw."""
    raw = [raw_values(picked[column.name], column) for column in schema.columns]
    names = [column.name for column in schema.columns]
    rows: list[dict[str, Raw]] = [dict(zip(names, values, strict=True)) for values in zip(*raw, strict=True)]
    rows.append(dict.fromkeys(names))
    if any(column.kind is Kind.CATEGORY for column in schema.columns):
        unseen = {column.name: _unseen(column) for column in schema.columns if column.kind is Kind.CATEGORY}
        rows.append({**rows[0], **unseen})
    encoded = encode_frame(_as_frame(rows, schema), schema)
    intervals: list[list[float]] = []
    if ends:
        low, high = ends
        intervals = np.column_stack(predict_interval(low, high, encoded)).tolist()
    return Golden(rows=rows, outputs=scorer.predict(encoded).tolist(), intervals=intervals)


def raw_values(series: pl.Series, column: Column) -> list[Raw]:
    """One column's values as a request would carry them; missing and infinite is None, a date is ISO 8601 in UTC."""
    if column.kind is Kind.DATETIME:
        dates = as_kind(series, column.kind).cast(pl.Datetime("us", "UTC"))
        return [None if value is None else value.astimezone(UTC).isoformat() for value in dates.to_list()]
    if column.kind is Kind.CATEGORY:
        return _raw_categories(series)
    if column.kind is Kind.BOOLEAN:
        return series.to_list()
    numbers = as_kind(series, column.kind)
    if numbers.dtype.is_integer():
        return numbers.to_list()
    numbers = numbers.cast(pl.Float64)
    return numbers.set(numbers.is_nan() | numbers.is_infinite(), None).to_list()


def _raw_categories(series: pl.Series) -> list[Raw]:
    if series.dtype.is_float():
        series = series.set(series.is_nan() | series.is_infinite(), None)
    return (series.cast(pl.Int64) if series.dtype.is_numeric() else series.cast(pl.String)).to_list()


def _unseen(column: Column) -> str:
    text = "never seen"
    while text in column.levels:
        text += "!"
    return text


def _as_frame(rows: list[dict[str, Raw]], schema: FeatureSchema) -> pl.DataFrame:
    """The rows as typed columns, so that the frame's encoder reads what the serving process will read."""
    return pl.DataFrame([_as_series([row[column.name] for row in rows], column) for column in schema.columns])


def _as_series(values: list[Raw], column: Column) -> pl.Series:
    match column.kind:
        case Kind.CATEGORY:
            texts = [None if value is None else str(value) for value in values]
            return pl.Series(column.name, texts, dtype=pl.String)
        case Kind.DATETIME:
            dates = [None if value is None else datetime.fromisoformat(str(value)) for value in values]
            return pl.Series(column.name, dates, dtype=pl.Datetime("us", "UTC"))
        case Kind.BOOLEAN:
            return pl.Series(column.name, values, dtype=pl.Boolean)
        case Kind.NUMBER:
            return pl.Series(
                column.name, [None if value is None else float(value) for value in values], dtype=pl.Float64
            )

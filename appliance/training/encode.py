"""Frames as float64 columns for LightGBM, value for value equal to what the serving process encodes row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.schema import Column, FeatureSchema, Kind
from appliance.training.columns import as_kind, is_finite, seconds_of
from appliance.training.kinds import told_type
from appliance.training.rows import ColumnStore, EncodedRows
from appliance.training.table import RawRows


def encode_frame(frame: pl.DataFrame, schema: FeatureSchema) -> pl.DataFrame:
    """Encode the schema's columns by ``appliance.schema.Kind``.

    Args:
        frame: Raw columns; further ones are ignored.
        schema: Which columns, and how.

    Returns:
        Float64 columns ``f0 … fN`` in model order; missing is NaN, an unseen category is -1. Infinity counts as
        missing, since serving refuses it.

    Raises:
        BadTable: A column is missing or has a type that the schema's kind cannot hold.
    """
    _require_columns(frame, schema)
    return pl.DataFrame(
        [encode_column(frame[column.name], column).alias(f"f{i}") for i, column in enumerate(schema.columns)]
    )


def encode_rows(table: RawRows, schema: FeatureSchema, *, scratch: Path | None) -> EncodedRows:
    """The same, a column after the other: never more than one in memory where there is a place for a file.

    Args:
        table: Raw columns; further ones are ignored.
        schema: Which columns, and how.
        scratch: Where the file may lie; None: in memory.

    Raises:
        BadTable: As ``encode_frame``.
        OSError: The disk is full.
    """
    _require_columns(table, schema)
    store = ColumnStore(table.height, scratch=scratch)
    for column in schema.columns:
        store.append(encode_column(table[column.name], column).to_numpy())
    return EncodedRows(store)


class KeptRows:
    """Raw values of some rows, evenly spaced, kept while the columns were read; for rows that are shown or replayed."""

    def __init__(self, rows: int, count: int) -> None:
        """Of a table of ``rows`` rows, at most ``count``."""
        self.places = np.unique(np.linspace(0, rows - 1, num=min(count, rows), dtype=np.int64))
        self._columns: dict[str, pl.Series] = {}

    def keep(self, series: pl.Series) -> None:
        """One more column of the table, whole."""
        self._columns[series.name] = series.gather(self.places)

    def pick(self, places: NDArray[np.int64], count: int) -> pl.DataFrame | None:
        """Of the rows at those ascending places, ``count`` that were kept; None where fewer were."""
        inside = np.flatnonzero(np.isin(self.places, places, assume_unique=True))
        if len(inside) < count:
            return None
        return pl.DataFrame(self._columns)[inside[np.linspace(0, len(inside) - 1, num=count, dtype=np.int64)]]


def _require_columns(table: RawRows, schema: FeatureSchema) -> None:
    there = set(table.columns)
    if missing := [column.name for column in schema.columns if column.name not in there]:
        raise BadTable(
            f"the table lacks the model's column(s) {', '.join(map(repr, missing))}; add them, empty if need be"
        )


def unseen_counts(frame: pl.DataFrame, schema: FeatureSchema) -> dict[str, int]:
    """Rows a category column holds a level that training never saw; columns without any are left out."""
    counts = {
        column.name: int((encode_column(frame[column.name], column) == -1.0).sum())
        for column in schema.columns if column.kind is Kind.CATEGORY
    }  # fmt: skip
    return {name: count for name, count in counts.items() if count}


def encode_named(frame: pl.DataFrame, column: Column) -> NDArray[np.float64]:
    """One column of a frame, shape ``(rows,)``, as ``encode_frame`` encodes it.

    Raises:
        BadTable: It is missing or has a type that its kind cannot hold.
    """
    if column.name not in frame.columns:
        raise BadTable(f"the table lacks the column {column.name!r}")
    return encode_column(frame[column.name], column).to_numpy()


def encode_column(series: pl.Series, column: Column) -> pl.Series:
    """One column, as ``encode_frame`` encodes it."""
    if series.null_count() == len(series):  # whatever its type: a file's column without values reads as text
        return pl.repeat(float("nan"), len(series), dtype=pl.Float64, eager=True).alias(series.name)
    match column.kind:
        case Kind.CATEGORY:
            encoded = _codes(series, column)
        case Kind.DATETIME:
            encoded = _seconds(series, column)
        case Kind.BOOLEAN if series.dtype == pl.Boolean or series.dtype.is_numeric():
            encoded = _zero_or_one(series)
        case Kind.NUMBER if series.dtype.is_numeric() or isinstance(series.dtype, pl.String):
            encoded = _read_text(series, column).cast(pl.Float64)
            if not is_finite(encoded) and (infinite := encoded.is_infinite()).any():
                encoded = encoded.set(infinite, None)
        case _:
            raise _mismatch(series, column)
    # A column of numbers that needs no change stays the very same memory.
    return encoded.fill_null(float("nan")) if encoded.null_count() else encoded


def _zero_or_one(series: pl.Series) -> pl.Series:
    """Booleans, and the numbers that serving takes for them."""
    encoded = series.cast(pl.Float64).fill_nan(None)
    wrong = encoded.filter(~encoded.is_in([0.0, 1.0]))  # null is neither
    if len(wrong):
        raise BadTable(
            f"column {series.name!r} holds the number {wrong[0]:g}, but the model takes it as a boolean: write true or "
            "false, 1 or 0, or nothing"
        )
    return encoded


def _codes(series: pl.Series, column: Column) -> pl.Series:
    if series.dtype.is_float():
        series = series.set(series.is_nan() | series.is_infinite(), None)
        whole = series.drop_nulls().round(0).eq(series.drop_nulls()).all()
        text = series.cast(pl.Int64).cast(pl.String) if whole else series.cast(pl.String)
    elif (
        series.dtype == pl.Boolean  # a file with true and false alone, of a column that has a third word
        or series.dtype.is_integer()
        or isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum)
    ):
        text = series.cast(pl.String)
    else:
        raise _mismatch(series, column)
    codes = {level: float(code) for code, level in enumerate(column.levels)}
    encoded = text.replace_strict(codes, default=-1.0, return_dtype=pl.Float64)
    return encoded.set(text.is_null(), None)


def _seconds(series: pl.Series, column: Column) -> pl.Series:
    dates = _read_text(series, column)
    if not isinstance(dates.dtype, pl.Date | pl.Datetime):
        raise _mismatch(series, column)
    return seconds_of(dates)


def _read_text(series: pl.Series, column: Column) -> pl.Series:
    """Text as numbers or dates, when all of it is."""
    found = as_kind(series, column.kind)
    if lost := found.null_count() - series.null_count():
        first = str(series.filter(found.is_null() & series.is_not_null())[0])[:40]
        values = "1 of its values is" if lost == 1 else f"{lost} of its values are"
        raise BadTable(
            f"column {series.name!r} is text, and {values} no {column.kind.value}, such as {first!r}; "
            "mend them, or leave them empty where nothing is known"
        )
    return found


def _mismatch(series: pl.Series, column: Column) -> BadTable:
    told = told_type(series.dtype)
    return BadTable(f"column {series.name!r} is {told}, but the model takes it as a {column.kind.value}")

"""The column types of a dataset: few, so that everybody above can handle all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Dtype(StrEnum):
    """What a column holds; every type of a source becomes one of these at ingest.

    int64: every whole number. float64: floats and decimals; what it would round beyond 2**53 is refused or kept as
    text, but among a CSV's fractions and inside JSON's objects. datetime: UTC,
    in microseconds; naive times are read as UTC. string: text, and everything else as text (nested values as JSON,
    bytes as base64). In Polars: Boolean, Int64, Float64, String, Date, Datetime("us", "UTC").
    """

    BOOL = "bool"
    INT = "int64"
    FLOAT = "float64"
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"

    @property
    def words(self) -> str:
        """What it is called where people read it, as on the dashboard; the value is what they write."""
        return _WORDS[self]


_WORDS = {
    Dtype.BOOL: "yes or no", Dtype.INT: "whole number", Dtype.FLOAT: "number", Dtype.STRING: "text",
    Dtype.DATE: "date", Dtype.DATETIME: "date and time",
}  # fmt: skip


SQL_TYPE = {
    Dtype.BOOL: "BOOLEAN", Dtype.INT: "BIGINT", Dtype.FLOAT: "DOUBLE", Dtype.STRING: "VARCHAR", Dtype.DATE: "DATE",
    Dtype.DATETIME: "TIMESTAMPTZ",
}  # fmt: skip
"""How DuckDB calls each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """A column of a dataset, under the name it had in its source."""

    name: str
    dtype: Dtype

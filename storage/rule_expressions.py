"""A dataset's rules as Polars expressions: a value as the rule's type, and why a row breaks a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import polars as pl

from storage.columns import ColumnInfo, Dtype
from storage.csv_checks import NULL_WORDS
from storage.rules import ColumnRules, Rules, bound

SHOWN = 5
"""How many of the allowed values a reason names."""

_POLARS = {
    Dtype.BOOL: pl.Boolean(), Dtype.INT: pl.Int64(), Dtype.FLOAT: pl.Float64(), Dtype.STRING: pl.String(),
    Dtype.DATE: pl.Date(), Dtype.DATETIME: pl.Datetime("us", "UTC"),
}  # fmt: skip
_ISO = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def rule_of(rules: Rules, name: str) -> ColumnRules:
    """The rules of a column; none where nothing was said."""
    return rules.columns.get(name, ColumnRules())


def typed_name(name: str) -> str:
    """The column beside a source's column that has its values as the rules' type."""
    return f"\x00typed {name}"


def repeat_name(name: str) -> str:
    """The column that says of a unique column where a value stands in an earlier row."""
    return f"\x00repeated {name}"


def reasons_of(column: ColumnInfo, rules: ColumnRules) -> Iterator[pl.Expr]:
    """One expression a rule: the reason in words, null where the row keeps it.

    They read the source's column, and beside it ``typed_name`` and, of a unique column, ``repeat_name``.
    """
    name, dtype = column.name, rules.type or column.dtype
    raw, value = pl.col(name), pl.col(typed_name(name))
    if rules.type is not None and rules.type is not column.dtype:
        lost = value.is_null() & _is_present(raw, column.dtype)
        told = " is neither true nor false" if rules.type is Dtype.BOOL else f" is no {rules.type.words}"
        yield _reason(name, lost, raw.cast(pl.String), told)
    if rules.required:
        yield _reason(name, value.is_null(), pl.lit(""), "missing")
    if rules.min is not None:
        yield _reason(name, value < _limit(name, rules.min, dtype), value, f" is below {rules.min}")
    if rules.max is not None:
        yield _reason(name, value > _limit(name, rules.max, dtype), value, f" is above {rules.max}")
    if rules.values:
        known = value.is_in(_set(rules.values, dtype).implode())
        some = ", ".join(map(str, rules.values[:SHOWN])) + (" …" if len(rules.values) > SHOWN else "")
        yield _reason(name, value.is_not_null() & ~known, value, f" is none of {some}")
    if rules.regex is not None:
        matches = value.str.contains(f"^(?:{rules.regex})$")
        yield _reason(name, ~matches, value, f" does not match {rules.regex}")
    if rules.unique:
        yield _reason(name, pl.col(repeat_name(name)), value, " stands in an earlier row")


def _reason(name: str, is_broken: pl.Expr, of: pl.Expr, words: str) -> pl.Expr:
    return pl.when(is_broken).then(pl.concat_str(pl.lit(f"{name}: "), of.cast(pl.String), pl.lit(words)))


def _is_present(raw: pl.Expr, dtype: Dtype) -> pl.Expr:
    return (
        ~raw.str.strip_chars().is_in(list(NULL_WORDS)) & raw.is_not_null()
        if dtype is Dtype.STRING
        else raw.is_not_null()
    )


def _limit(name: str, value: float | str, dtype: Dtype) -> pl.Expr:
    limit = bound(name, value)
    if dtype is Dtype.DATETIME and isinstance(limit, date):
        moment = limit if isinstance(limit, datetime) else datetime(limit.year, limit.month, limit.day, tzinfo=UTC)
        return pl.lit(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).cast(_POLARS[dtype])
    if dtype is Dtype.DATE and isinstance(limit, datetime):
        limit = limit.date()
    return pl.lit(limit)


def _set(values: Sequence[object], dtype: Dtype) -> pl.Series:
    if dtype is Dtype.STRING:
        return pl.Series([str(value) for value in values], dtype=pl.String)
    return pl.Series([str(value).lower() for value in values]).to_frame("v").select(
        _from_text(pl.col("v"), dtype)
    ).to_series()  # fmt: skip


def cast_of(column: ColumnInfo, rules: ColumnRules) -> pl.Expr:
    """The column as the rules' type; null where a value is none."""
    raw, had, wanted = pl.col(column.name), column.dtype, rules.type
    if wanted is None or wanted is had:
        return raw
    if had is Dtype.STRING:
        return _from_text(raw.str.strip_chars(), wanted)
    if (had, wanted) == (Dtype.FLOAT, Dtype.INT):
        whole = raw.cast(pl.Int64, strict=False)
        return pl.when(whole.cast(pl.Float64) == raw).then(whole)
    if wanted is Dtype.BOOL:
        return pl.when(raw == 1).then(statement=True).when(raw == 0).then(statement=False)
    return raw.cast(_POLARS[wanted], strict=False)


def _from_text(text: pl.Expr, wanted: Dtype) -> pl.Expr:
    if wanted is Dtype.BOOL:
        words = text.str.to_lowercase()
        return (
            pl.when(words.is_in(["true", "1"])).then(statement=True)
            .when(words.is_in(["false", "0"])).then(statement=False)
        )  # fmt: skip
    if wanted is Dtype.DATE:
        return text.str.to_date("%Y-%m-%d", strict=False)
    if wanted is Dtype.DATETIME:
        plain = text.str.strip_suffix("Z")
        read = [plain.str.to_datetime(form, strict=False, time_unit="us") for form in _ISO]
        return pl.coalesce(read).dt.replace_time_zone("UTC")
    return text.cast(_POLARS[wanted], strict=False)

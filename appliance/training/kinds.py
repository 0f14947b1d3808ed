"""What is said of the kinds that the inputs were read as."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from appliance.model_card import Warn
from appliance.schema import Column, Kind
from storage.columns import Dtype

MOST_NAMED = 5
"""Columns of a kind that a sentence names."""

TOGETHER = 4
"""So many columns, or more, that have the same are told together."""

CODE = "numbers_as_text"
DECLARE = "declare it a number"

MOSTLY = 0.9
"""A text of which at least this share reads as numbers was meant as numbers."""

HALF, FEW_WORDS = 0.5, 5
"""Nor is one with so many numbers and so few different words, which may mean missing, meant as a category."""

LOOKED_AT = 10_000
"""Values of a text that are read, evenly spaced."""

_SIGN = r"(?:[$€£¥₹]|EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN)"
_WITH_MARK = r"(?:\d{1,3}(?:[.,']\d{3})+(?:[.,]\d+)?|\d*[.,]\d+)(?:[eE][-+]?\d+)?"
_AMOUNT = rf"^\(?[-+]?\s*(?:{_WITH_MARK}|{_SIGN}\s*[-+]?(?:{_WITH_MARK}|\d+)|(?:{_WITH_MARK}|\d+)\s*(?:{_SIGN}|%))\)?$"
"""A number with a decimal mark, thousands set apart, or a sign of money or percent: ids have none of these."""

_WORDS = {
    Kind.NUMBER: ("number", "numbers"), Kind.CATEGORY: ("category", "categories"),
    Kind.BOOLEAN: ("boolean", "booleans"), Kind.DATETIME: ("date or time", "dates or times"),
}  # fmt: skip


def told_type(dtype: pl.DataType) -> str:
    """A column's type in the words of a dataset's; one that no dataset has as Polars calls it."""
    is_it = {
        Dtype.BOOL: dtype == pl.Boolean, Dtype.INT: dtype.is_integer(), Dtype.FLOAT: dtype.is_numeric(),
        Dtype.STRING: isinstance(dtype, pl.String | pl.Categorical | pl.Enum), Dtype.DATE: dtype == pl.Date,
        Dtype.DATETIME: dtype == pl.Datetime,
    }  # fmt: skip
    return next((known.words for known, so in is_it.items() if so), str(dtype))


def say_kinds(columns: Sequence[Column]) -> str:
    """One sentence: how many inputs are of which kind, and which they are where they are few."""
    parts = []
    for kind, (one, many) in _WORDS.items():
        names = [column.name for column in columns if column.kind is kind]
        if not names:
            continue
        told = ", ".join(map(repr, names[:MOST_NAMED])) + (", …" if len(names) > MOST_NAMED else "")
        parts.append(f"{len(names)} {one if len(names) == 1 else many} ({told})")
    return f"the inputs were read as {'; '.join(parts)}; declare another kind under [columns]"


def numbers_as_text(series: pl.Series) -> Warn | None:
    """A text column that is numbers but for some words, which trains as a category; None for any other."""
    if not isinstance(series.dtype, pl.String):
        return None
    known = series.drop_nulls()
    known = known.gather_every(max(1, len(known) // LOOKED_AT)).str.strip_chars()
    if known.is_empty():
        return None
    read = known.cast(pl.Float64, strict=False)
    share = 1.0 - read.null_count() / len(read)
    if share < MOSTLY and are_amounts(series):
        message = (
            f"{series.name!r} is numbers with signs or commas as text, like {first_amount(known)!r}; it trains as a "
            f"category. To use its size, {way_to_numbers(series)}"
        )
        return Warn(column=series.name, code=CODE, message=message)
    words = known.filter(read.is_null()).unique(maintain_order=True)
    if share < MOSTLY and not (share >= HALF and len(words) <= FEW_WORDS < read.n_unique()):
        return None
    others = words.head(3 if share >= MOSTLY else FEW_WORDS).to_list()
    but = f", but for {', '.join(map(repr, others))}" if others else ""
    way = f"make these empty with a query, and declare {series.name!r} a number" if others else DECLARE
    message = f"{series.name!r} is text that reads as numbers{but}; it trains as a category. To use its size, {way}"
    return Warn(column=series.name, code=CODE, message=message)


def told_together(warnings: Sequence[Warn]) -> tuple[Warn, ...]:
    """The warnings, with those of ``TOGETHER`` columns or more that read as numbers throughout as one, at the first."""
    alike = [one for one in warnings if one.code == CODE and one.message.endswith(DECLARE)]
    if len(alike) < TOGETHER:
        return tuple(warnings)
    named = ", ".join(repr(one.column) for one in alike[:MOST_NAMED])
    more = f" and {len(alike) - MOST_NAMED} more" if len(alike) > MOST_NAMED else ""
    told = Warn(
        column=None, code=CODE,
        message=f"{len(alike)} columns are text that reads as numbers: {named}{more}; they train as categories. To use "
        "the size of those that are no codes, declare them numbers under [columns]",
    )  # fmt: skip
    return tuple(told if one is alike[0] else one for one in warnings if one is alike[0] or one not in alike)


def are_amounts(series: pl.Series) -> bool:
    """Whether a text column is measures, such as prices, written as text: however much they differ, they name no rows.

    They are numbers, mostly with a decimal mark or a sign; digits alone may be ids.
    """
    known = series.drop_nulls()
    known = known.gather_every(max(1, len(known) // LOOKED_AT)).str.strip_chars()
    if known.is_empty():
        return False
    amounts = known.str.contains(_AMOUNT)
    numbers = amounts | known.str.contains(r"^[-+]?\d+$")
    return float(amounts.sum()) >= len(known) / 2 and float(numbers.sum()) >= MOSTLY * len(known)


def first_amount(series: pl.Series) -> str:
    """The first number of a text column of which ``are_amounts`` is true."""
    known = series.drop_nulls().str.strip_chars()
    return str(known.filter(known.str.contains(_AMOUNT))[0])


def way_to_numbers(series: pl.Series) -> str:
    """How to have the amounts of a text column as numbers."""
    if series.str.strip_chars().cast(pl.Float64, strict=False).null_count() == series.null_count():
        return f"declare {series.name!r} a number under [columns]"
    return "make numbers of them with --prepare, as the note on the dataset's column says"

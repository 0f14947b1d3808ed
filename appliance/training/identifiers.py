"""Columns that name rows, or what rows are about, instead of describing them: told by their names and values."""

from __future__ import annotations

import re

import polars as pl

from appliance.texts import is_prose
from appliance.training.kinds import are_amounts, way_to_numbers

ID_LIKE_SHARE = 0.9
"""A column with at least this share of distinct values names rows, it does not describe them."""

FEWEST_ROWS = 20
"""In fewer rows distinct values say nothing about a column."""

FIRST_ROWS = 1000
"""They tell most columns by themselves, so that the millions behind them are not looked at."""

PROSE_ROWS = 100
"""They tell whether texts are sentences."""

_ID = r"id|uuid|guid"
_NUMBER = r"no|nr|num|number|key"
_WHO = (
    "account|client|customer|driver|employee|household|member|participant|patient|person|policyholder|respondent|"
    "student|subject|user"
)

_ENTITY = re.compile(rf"(?:^|[_\s.-])(?:{_ID})$|^(?:{_WHO})(?:[_\s.-]?(?:{_NUMBER}))?$", re.IGNORECASE)
_KEY = re.compile(rf"(?:^|[_\s.-])(?:{_ID}|{_NUMBER})$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z0-9](?:Id|ID|Uuid|UUID|Guid|GUID)$")
_CAMEL_KEY = re.compile(r"[a-z0-9](?:No|Nr|Num|Number|Key)$")


def is_entity_name(name: str) -> bool:
    """Whether a column of this name says which entity a row is about: ``user_id``, ``customerId``, ``patient_no``."""
    return bool(_ENTITY.search(name) or _CAMEL_ID.search(name))


def is_key_name(name: str) -> bool:
    """Whether a column of this name may tell rows apart: an entity's, or ``account_number``, ``orderNo``, ``key``."""
    return bool(is_entity_name(name) or _KEY.search(name) or _CAMEL_KEY.search(name))


def why_no_input(series: pl.Series) -> tuple[str, str]:
    """Code and reason why a column of numbers or text names rows; two empty strings where it does not.

    Args:
        series: Of any type, whose kind was not declared.
    """
    code, why = "", ""
    if isinstance(series.dtype, pl.String):
        if _is_distinct(series):
            code, why = _why_no_categories(series)
    elif not series.dtype.is_numeric():
        pass
    elif _counts_up(series):
        code, why = "row_number", "rises by itself from row to row, like a row number"
    elif _is_permutation(series):
        rows = f"{len(series) - series.null_count()} rows" + (" that have a value" if series.null_count() else "")
        code, why = "row_number", f"numbers each of the {rows} once, without a gap, like a row number"
    elif is_key_name(series.name) and is_whole(series) and _is_distinct(series):
        code, why = "id_like", "is called like an id and names nearly every row differently"
    return code, why


def _why_no_categories(series: pl.Series) -> tuple[str, str]:
    """Code and reason why texts that differ in nearly every row are no input."""
    if are_amounts(series):
        why = f"holds numbers as text, another in nearly every row, which are no categories ({way_to_numbers(series)})"
        return "numbers_as_text", why
    if is_prose(tuple(series.drop_nulls().head(PROSE_ROWS))):
        return "id_like", "is prose, another in nearly every row"
    return "id_like", "names nearly every row differently, like an id"


def _is_distinct(series: pl.Series) -> bool:
    known = series.drop_nulls()
    return known.n_unique() >= max(ID_LIKE_SHARE * len(known), FEWEST_ROWS)


def _counts_up(series: pl.Series) -> bool:
    """Every row's number is larger than the one before; trees could only learn where a row lies."""
    if not series.dtype.is_integer():
        return False
    known = _numbered(series)
    # Compared, not subtracted: the difference of unsigned numbers is never below 0.
    return len(known) > 2 and bool((known.slice(1) > known.head(len(known) - 1)).all())


def _is_permutation(series: pl.Series) -> bool:
    """Whole numbers from the lowest to the highest, each once, in any order."""
    known = _numbered(series)
    if len(known) < FEWEST_ROWS or not is_whole(known.head(FIRST_ROWS)):
        return False
    low, high = known.min(), known.max()
    # The bounds tell nearly always; to count distinct values costs a second for ten million.
    if not isinstance(low, int | float) or not isinstance(high, int | float) or high - low != len(known) - 1:
        return False
    return is_whole(known) and known.n_unique() == len(known)


def _numbered(series: pl.Series) -> pl.Series:
    """The values that are there: rows collected from traffic have no row number. None where they are too few to tell.

    What numbers the smaller part of the rows says which those are, such as the ranks of those who reached a final.
    """
    if not series.null_count():
        return series
    known = series.drop_nulls()
    return known if len(known) >= max(FEWEST_ROWS, len(series) / 2) else known.clear()


def is_whole(series: pl.Series) -> bool:
    """Whether no number of a column has a fraction; mostly the first rows tell."""
    if series.dtype.is_integer():
        return True
    parts = (series.head(FIRST_ROWS).drop_nulls(), series.drop_nulls())
    return all(bool((part.round(0) == part).all()) for part in parts)

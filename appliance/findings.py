"""What was found about a table, and how: what many columns have in common is told once, with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.texts import prepare_option, replace_sql

MANY = 4
"""So many columns, or more, that have the same are told together."""
NAMED = 3
"""How many of them a sentence names."""
MOST_IN_SQL = 200
"""SQL for more columns is written for one of them: it would be pages."""


class Code(StrEnum):
    """What was found."""

    DUPLICATE_ROWS = "duplicate_rows"
    DUPLICATE_COLUMNS = "duplicate_columns"
    MISSING = "missing"
    CONSTANT = "constant"
    ID_LIKE = "id_like"
    PROSE = "prose"
    NESTED = "nested"
    NUMBERS_AS_TEXT = "numbers_as_text"
    SIGNED_NUMBERS = "signed_numbers"
    DATES_AS_TEXT = "dates_as_text"
    DATES_AS_NUMBERS = "dates_as_numbers"
    MIXED_DATES = "mixed_dates"
    PADDED = "padded"
    SENTINEL = "sentinel"
    UNSORTED_TIME = "unsorted_time"
    LEAK = "leak"
    LEAK_SUSPECT = "leak_suspect"
    INFINITE = "infinite"
    READER = "reader"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something suspicious.

    Attributes:
        column: The column's name; None when it is about the whole table, or about several columns.
        message: One sentence: what was found and what to do.
        columns: The several columns that it is about, in their order; else empty.
    """

    column: str | None
    code: Code
    message: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spotted:
    """Something suspicious about one column, which others may have as well.

    Attributes:
        message: The sentence, where it is told alone.
        together: The sentence on all that have it: with ``{count}``, ``{names}`` and, where there is an ``expression``,
            ``{prepare}``, the option with SQL. Those with equal ones are told together.
        detail: What is told in parentheses behind the column's name there.
        expression: SQL that mends the column ``{c}``.
    """

    column: str
    code: Code
    message: str
    together: str
    detail: str = ""
    expression: str | None = None


def told_together(spotted: Iterable[Spotted]) -> list[Finding]:
    """One finding for what ``MANY`` columns or more have in common, at the place of the first; the others alone."""
    groups: dict[tuple[Code, str], list[Spotted]] = {}
    found: list[Spotted] = []
    for one in spotted:
        found.append(one)
        groups.setdefault((one.code, one.together), []).append(one)
    told = []
    for one in found:
        group = groups[one.code, one.together]
        if len(group) < MANY:
            told.append(Finding(column=one.column, code=one.code, message=one.message))
        elif one is group[0]:
            told.append(_of_many(group))
    return told


def _of_many(group: Sequence[Spotted]) -> Finding:
    first = group[0]
    names = [repr(one.column) + (f" ({one.detail})" if one.detail else "") for one in group[:NAMED]]
    message = first.together.format(
        count=len(group), names=f"{', '.join(names)} and {len(group) - NAMED} more", prepare=_prepare(group)
    )
    return Finding(column=None, code=first.code, message=message, columns=tuple(one.column for one in group))


def _prepare(group: Sequence[Spotted]) -> str:
    pairs = [(one.column, one.expression) for one in group if one.expression is not None]
    if len(pairs) <= MOST_IN_SQL:
        return prepare_option(replace_sql(*pairs)) if pairs else ""
    return f"{prepare_option(replace_sql(pairs[0]))} for the first, and the others likewise"

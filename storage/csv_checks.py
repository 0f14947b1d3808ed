"""SQL that takes a text column of a CSV file as a type, and ends in an error where a value is none.

DuckDB's own reading is laxer once it is told a type: ``1.5`` becomes the whole number 2, ``yes`` becomes true, and what
follows a date is cut off. A type that was found in a file's first rows must not change those behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from storage.duck import sql_list, sql_text

NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")
"""Read as missing where that turns a column of text into numbers, dates or booleans; otherwise they are text."""

KEPT_DIGITS = "Kept as text, since a number cannot hold so many digits exactly"
"""Begins a note; the columns' names follow."""

CHECKED: Mapping[str, Callable[[str], tuple[str, str]]] = {
    # Whatever is written otherwise, like 007 or 1e3, is for a look at the whole file to decide.
    "BIGINT": lambda column: (f"CAST(CAST({column} AS BIGINT) AS VARCHAR) = {column}", f"CAST({column} AS BIGINT)"),
    "BOOLEAN": lambda column: (f"lower({column}) IN ('true', 'false')", f"lower({column}) = 'true'"),
    "DATE": lambda column: (f"length({column}) = 10", f"CAST({column} AS DATE)"),
    "TIMESTAMP": lambda column: (
        f"length({column}) BETWEEN 16 AND 29 AND {column}[11] IN (' ', 'T') AND NOT regexp_matches({column}[12:], "
        "'[-+Zz]')",
        f"CAST({column} AS TIMESTAMP)",
    ),
}
"""By type: whether a value is one, and the value as one."""

EXACT = frozenset({"VARCHAR", "DOUBLE", "TIMESTAMP WITH TIME ZONE"})
"""Types that DuckDB reads without a surprise."""

TIMES = (
    ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"),
    *(
        tuple(f"{day} {clock}" for clock in clocks)
        for clocks in (("%H:%M:%S", "%H:%M"), ("%I:%M:%S %p", "%I:%M %p"))
        for day in ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y")
    ),
)  # fmt: skip
"""Formats of times that DuckDB does not look for: days with and without a time, days without seconds, months first.

Those of one group may stand in one column; of several that fit, the first is taken, with the day before the month as
DuckDB does for dates.
"""


class Writing(StrEnum):
    """How the numbers of a column are written that DuckDB would not read as what they are."""

    COMMA = "comma"
    THOUSANDS = "thousands"
    DIGITS = "digits"


WRITTEN: Mapping[Writing, str] = {
    Writing.COMMA: r"[-+]?((\d+|\d{1,3}(\.\d{3})+)(,\d+)?|,\d+)([eE][-+]?\d{1,2})?",
    Writing.THOUSANDS: r"[-+]?([1-9]\d{0,2}(\.\d{3}){1,5}|\d{1,3})",
    Writing.DIGITS: r"[-+]?\d+",
}
"""What a value matches as a whole: 1,5 and 1.234,5; 1.234; whole numbers of any length."""


BECOMES: Mapping[Writing, str] = {Writing.COMMA: "DOUBLE", Writing.THOUSANDS: "BIGINT", Writing.DIGITS: "VARCHAR"}
"""DuckDB's type of what they become; whole numbers beyond 64 bits stay text."""


def number_sql(column: str, how: Writing) -> str:
    """An expression that is the column as what it becomes; an error where a value is written otherwise."""
    value = {
        Writing.COMMA: f"CAST(replace(replace({column}, '.', ''), ',', '.') AS DOUBLE)",
        Writing.THOUSANDS: f"CAST(replace({column}, '.', '') AS BIGINT)",
        Writing.DIGITS: column,
    }[how]
    wrong = f"error('a value that is no number with {how}')"
    fits = f"regexp_full_match({column}, {sql_text(WRITTEN[how])})"
    return f"CASE WHEN {column} IS NULL THEN NULL WHEN {fits} THEN {value} ELSE {wrong} END"


def is_checked(type_: str, *, formats: Mapping[str, str | None]) -> bool:
    """Whether a type is read as text first; one with a format is read by the format and nothing else."""
    return type_ in CHECKED and not formats.get(type_)


def checked_sql(column: str, type_: str) -> str:
    """An expression that is a text as the type, missing where it is missing; an error where it does not fit."""
    fits, value = CHECKED[type_](column)
    wrong = f"error('a value that is no {type_}')"
    return f"CASE WHEN {column} IS NULL THEN NULL WHEN {fits} THEN {value} ELSE {wrong} END"


def time_sql(column: str, formats: tuple[str, ...]) -> str:
    """An expression that is the column as a time by one of the formats; an error where none fits."""
    return f"strptime({column}, {sql_list(formats)})"

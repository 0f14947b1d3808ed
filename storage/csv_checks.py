"""SQL that takes a text column of a CSV file as a type, and ends in an error where a value is none.

DuckDB's own reading is laxer once it is told a type: ``1.5`` becomes the whole number 2, ``yes`` becomes true, and what
follows a date is cut off. A type that was found in a file's first rows must not change those behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.duck import sql_list, sql_name

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


def is_checked(type_: str, *, formats: Mapping[str, str | None]) -> bool:
    """Whether a type is read as text first; one with a format is read by the format and nothing else."""
    return type_ in CHECKED and not formats.get(type_)


def checked_sql(name: str, type_: str) -> str:
    """An expression that is the column as the type, missing where it is missing; an error where it does not fit."""
    column = sql_name(name)
    fits, value = CHECKED[type_](column)
    wrong = f"error('a value that is no {type_}')"
    return f"CASE WHEN {column} IS NULL THEN NULL WHEN {fits} THEN {value} ELSE {wrong} END AS {column}"


def time_sql(name: str, formats: tuple[str, ...]) -> str:
    """An expression that is the column as a time by one of the formats; an error where none fits."""
    return f"strptime({sql_name(name)}, {sql_list(formats)}) AS {sql_name(name)}"

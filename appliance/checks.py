"""What is suspicious about a table, before anybody trains on it; findings warn, they refuse nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from storage.columns import Dtype
from storage.profile import ColumnProfile, TableProfile

MISSING_SHARE = 0.5
ONE_VALUE_SHARE = 0.99
ID_DISTINCT_SHARE = 0.95
ID_MIN_ROWS = 50
"""Fewer rows than this have distinct values by chance."""
NUMERIC_TEXT_SHARE = 0.9


class Code(StrEnum):
    """What was found."""

    DUPLICATE_ROWS = "duplicate_rows"
    DUPLICATE_COLUMNS = "duplicate_columns"
    MISSING = "missing"
    CONSTANT = "constant"
    ID_LIKE = "id_like"
    NUMBERS_AS_TEXT = "numbers_as_text"
    INFINITE = "infinite"
    READER = "reader"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something suspicious.

    Attributes:
        column: The column's name; None when it is about the whole table.
        message: One sentence: what was found and what to do.
    """

    column: str | None
    code: Code
    message: str


def check_table(profile: TableProfile) -> list[Finding]:
    """Everything suspicious about a table: the table first, then its columns in their order."""
    findings = []
    if profile.duplicate_rows:
        share = profile.duplicate_rows / profile.rows
        findings.append(
            Finding(
                column=None,
                code=Code.DUPLICATE_ROWS,
                message=f"{profile.duplicate_rows} rows ({share:.1%}) repeat an earlier row; "
                "drop them if they are not separate events",
            )
        )
    twins = _twins(profile.columns)
    for column in profile.columns:
        findings += _check_column(column)
        if (twin := twins.get(column.name)) is not None:
            findings.append(
                Finding(
                    column=column.name,
                    code=Code.DUPLICATE_COLUMNS,
                    message=f"{column.name!r} has the same values as {twin!r}, as often; exclude one if they are equal",
                )
            )
    return findings


def _check_column(column: ColumnProfile) -> Iterator[Finding]:
    present = column.rows - column.missing
    name = column.name
    if column.missing > MISSING_SHARE * column.rows:
        share = column.missing / column.rows
        yield Finding(
            column=name,
            code=Code.MISSING,
            message=f"{share:.1%} of {name!r} are missing; exclude it or fill it upstream",
        )
    if present and column.top and column.top[0][1] >= ONE_VALUE_SHARE * column.rows:
        share = column.top[0][1] / column.rows
        yield Finding(
            column=name,
            code=Code.CONSTANT,
            message=f"{share:.1%} of {name!r} are {_short(column.top[0][0])}; it tells a model next to nothing",
        )
    if _is_id_like(column, present):
        yield Finding(
            column=name,
            code=Code.ID_LIKE,
            message=f"{name!r} has {column.distinct} distinct values in {present} rows, like an id; exclude it",
        )
    if column.dtype is Dtype.STRING and present and column.numeric_text >= NUMERIC_TEXT_SHARE * present:
        yield Finding(
            column=name,
            code=Code.NUMBERS_AS_TEXT,
            message=f"{column.numeric_text} of the {present} texts in {name!r} read as numbers; "
            "mend the others or cast it with a query, else each number counts as a category",
        )
    if column.infinite:
        yield Finding(
            column=name,
            code=Code.INFINITE,
            message=f"{name!r} has {column.infinite} infinite values; replace them upstream or with a query",
        )


def _is_id_like(column: ColumnProfile, present: int) -> bool:
    if column.dtype not in {Dtype.INT, Dtype.STRING} or present < ID_MIN_ROWS:
        return False
    if column.distinct < ID_DISTINCT_SHARE * present:
        return False
    if column.dtype is Dtype.STRING:
        return True
    # Whole numbers that are all distinct are measurements as well, unless they are dense, as counted ids are.
    least, most = column.minimum, column.maximum
    return isinstance(least, float | int) and isinstance(most, float | int) and most - least < 2 * present


def _twins(columns: tuple[ColumnProfile, ...]) -> dict[str, str]:
    """A column's name to an earlier column with the same figures; constant columns are reported as that."""
    seen: dict[tuple[object, ...], str] = {}
    twins = {}
    for column in columns:
        if column.distinct < 2:
            continue
        figures = (
            column.dtype, column.missing, column.distinct, column.minimum, column.maximum, column.mean, column.top,
            column.histogram,
        )  # fmt: skip
        if figures in seen:
            twins[column.name] = seen[figures]
        else:
            seen[figures] = column.name
    return twins


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")

"""What is suspicious about a table, before anybody trains on it; findings warn, they refuse nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.leak_suspects import Suspect
from appliance.texts import (
    are_codes,
    are_prose,
    are_whole,
    examples,
    find_nesting,
    find_signed,
    find_unsigned_sql,
    prepare_option,
    quoted_name,
    replace_sql,
)
from storage.columns import Dtype
from storage.profile import ColumnProfile, TableProfile

MISSING_SHARE = 0.5
ONE_VALUE_SHARE = 0.99
ID_DISTINCT_SHARE = 0.95
ID_MIN_ROWS = 50
"""Fewer rows than this have distinct values by chance."""
SAID_SHARE = 0.9994
"""Of a larger share is said how many rows are left out: as percent it would read as all."""
NUMERIC_TEXT_SHARE = 0.9
DATE_TEXT_SHARE = 0.9
SENTINEL_SHARE = 0.01
SENTINEL_GAP = 3
"""Empty bins of the histogram between a lonely value at an end and all others."""
SENTINEL_MIN_DISTINCT = 20
"""A column of fewer values is a scale, whose ends are far apart by nature."""


SENTINEL_CODES = frozenset({-9, -99, -999, -9999, 99, 999, 9999})
"""What questionnaires write for no answer. In a scale that such a number ends it is one where the gap before it is at
least twice as wide as the scale without it."""


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
        count, share = profile.duplicate_rows, profile.duplicate_rows / profile.rows
        told = (
            f"1 row ({share:.1%}) repeats an earlier row; drop it if it is no event of its own"
            if count == 1
            else f"{count} rows ({share:.1%}) repeat an earlier row; drop them if they are not separate events"
        )
        findings.append(Finding(column=None, code=Code.DUPLICATE_ROWS, message=told))
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
        others = column.rows - column.top[0][1]
        most = f"all but {others} of the {column.rows} rows" if others and share > SAID_SHARE else f"{share:.1%}"
        yield Finding(
            column=name,
            code=Code.CONSTANT,
            message=f"{most} of {name!r} are {_short(column.top[0][0])}; it tells a model next to nothing",
        )
    if column.dtype is Dtype.STRING and present:
        yield from _check_texts(column, present)
    elif _is_id_like(column, present):
        yield _id_like(column, present)
    yield from _check_dates(column, present)
    if column.padded:
        stripped = prepare_option(replace_sql(name, "trim({c})"))
        example = next((value for value, _ in column.top if value != value.strip(" ")), None)
        like = "" if example is None else f", like {_short(example)}"
        yield Finding(
            column=name,
            code=Code.PADDED,
            message=f"{column.padded} texts in {name!r} begin or end with spaces{like}, which makes them other "
            f"categories than without; strip them with {stripped}",
        )
    if (lonely := _sentinel(column, present)) is not None:
        value, count = lonely
        yield Finding(
            column=name,
            code=Code.SENTINEL,
            message=f"{count} values of {name!r} ({count / present:.1%}) are {value}, far from all others; if that "
            "means missing, make it null with --prepare and nullif, else it bends what a model learns",
        )
    if column.infinite:
        yield Finding(
            column=name,
            code=Code.INFINITE,
            message=f"{name!r} has {column.infinite} infinite values; replace them upstream or with a query",
        )


def _id_like(column: ColumnProfile, present: int) -> Finding:
    return Finding(
        column=column.name,
        code=Code.ID_LIKE,
        message=f"{column.name!r} has {column.distinct} distinct values in {present} rows, like an id; exclude it",
    )


def _check_texts(column: ColumnProfile, present: int) -> Iterator[Finding]:
    """What the texts are; one answer a column, since each says to do something else with it."""
    name = column.name
    numbers, signed = column.numeric_text, column.signed_text
    are_numbers = numbers >= NUMERIC_TEXT_SHARE * present
    is_id = _is_id_like(column, present)
    if signed and not are_numbers and numbers + signed >= NUMERIC_TEXT_SHARE * present:
        example = find_signed(column)
        like = "" if example is None else f", like {_short(example)}"
        yield Finding(
            column=name, code=Code.SIGNED_NUMBERS,
            message=f"{_of(numbers + signed, present)} texts in {name!r} are numbers with signs{like}; "
            f"{_read_signed(column)}, else each number counts as a category",
        )  # fmt: skip
    elif nesting := find_nesting(column):
        yield Finding(
            column=name, code=Code.NESTED,
            message=f"{name!r} holds {nesting} as JSON text, and each different text counts as a category; "
            f"make columns of what is in them with {_taken_apart(name, nesting)}",
        )  # fmt: skip
    elif is_id and are_prose(column):
        yield Finding(
            column=name, code=Code.PROSE,
            message=f"{name!r} is prose, like {_short(examples(column)[0])}, another in nearly every row, and a model "
            "reads none of it; make columns of it with --prepare, such as its length or whether a word stands in it",
        )  # fmt: skip
    elif is_id and (not are_numbers or are_codes(column) or are_whole(column)):
        yield _id_like(column, present)
    elif are_numbers and not are_codes(column):
        yield Finding(
            column=name, code=Code.NUMBERS_AS_TEXT,
            message=f"{_of(numbers, present)} texts in {name!r} read as numbers; "
            f"{_cast(column, numbers, present)}, else each number counts as a category",
        )  # fmt: skip


def _read_signed(column: ColumnProfile) -> str:
    if (sql := find_unsigned_sql(column)) is not None:
        return f"read them with {prepare_option(sql)}"
    return (
        "whether a point or a comma is their decimal mark does not show; read them with --prepare and SQL of your own"
    )


def _taken_apart(name: str, nesting: str) -> str:
    column = quoted_name(name)
    if nesting == "lists":
        return prepare_option(replace_sql(name, "json_array_length({c})")) + " (how many) or SQL of your own"
    return prepare_option(f"SELECT *, {column}->>$$FIELD$$ AS FIELD FROM source") + " for each FIELD of theirs"


def _check_dates(column: ColumnProfile, present: int) -> Iterator[Finding]:
    name = column.name
    dates = _dates(column)
    if dates and dates >= DATE_TEXT_SHARE * present:
        if len(column.date_forms) > 1:
            told = ", ".join(f"{count} like {form}" for form, count in column.date_forms)
            yield Finding(
                column=name, code=Code.MIXED_DATES,
                message=f"{name!r} holds dates written in several ways ({told}), so it stays text; write them in one",
            )  # fmt: skip
        else:
            yield Finding(
                column=name, code=Code.DATES_AS_TEXT,
                message=f"{_of(dates, present)} texts in {name!r} are dates like {column.date_forms[0][0]}; "
                f"{_cast(column, dates, present)}, else each date counts as a category",
            )  # fmt: skip
    if column.descents:
        lie = (
            "1 row lies before the row above it"
            if column.descents == 1
            else (f"{column.descents} rows lie before the row above them")
        )
        yield Finding(
            column=name, code=Code.UNSORTED_TIME,
            message=f"{lie} in {name!r}: the table is not in order "
            "of time; a model with this time column sorts it, others split it as it lies",
        )  # fmt: skip


def _of(some: int, all_: int) -> str:
    return f"{some} of the {all_}" if some < all_ else f"all {all_}"


def _cast(column: ColumnProfile, some: int, all_: int) -> str:
    if some == all_:
        return "cast it with a query"
    if column.odd_text is None:
        return "mend the others or cast it with a query"
    text, row = column.odd_text
    return f"the first other is {_short(text)} in row {row}; mend the others or cast it with a query"


def _dates(column: ColumnProfile) -> int:
    """How many texts are written like a date."""
    return sum(count for _, count in column.date_forms)


def _sentinel(column: ColumnProfile, present: int) -> tuple[str, int] | None:
    """A frequent value at an end of the column that nothing is near, with its count: -999 among temperatures."""
    if column.dtype not in {Dtype.INT, Dtype.FLOAT} or column.histogram is None:
        return None
    if column.distinct < SENTINEL_MIN_DISTINCT:
        return _no_answer(column, present)
    counts = column.histogram.counts
    for value, count in column.top:
        if count < max(2, SENTINEL_SHARE * present):
            return None
        for end, bins in ((column.minimum, counts), (column.maximum, counts[::-1])):
            if float(value) == end and bins[0] == count and not any(bins[1 : 1 + SENTINEL_GAP]):
                return value, count
    return None


def _no_answer(column: ColumnProfile, present: int) -> tuple[str, int] | None:
    """The code for no answer among the few values of a scale, with its count."""
    if not 3 <= column.distinct == len(column.top):
        return None
    values = sorted((float(value), value, count) for value, count in column.top)
    for end, others in ((values[0], values[1:]), (values[-1], values[:-1])):
        low, high = others[0][0], others[-1][0]
        gap = max(low - end[0], end[0] - high)
        if end[0] in SENTINEL_CODES and gap >= 2 * (high - low) and end[2] >= max(2, SENTINEL_SHARE * present):
            return end[1], end[2]
    return None


def _is_id_like(column: ColumnProfile, present: int) -> bool:
    if column.dtype not in {Dtype.INT, Dtype.STRING} or present < ID_MIN_ROWS:
        return False
    if column.distinct < ID_DISTINCT_SHARE * present:
        return False
    if column.dtype is Dtype.STRING:
        return _dates(column) < DATE_TEXT_SHARE * present
    # Whole numbers that are all distinct are measurements as well, unless they are dense, as counted ids are.
    least, most = column.minimum, column.maximum
    return isinstance(least, float | int) and isinstance(most, float | int) and most - least < 2 * present


def leak_findings(suspects: Sequence[Suspect], target: str) -> list[Finding]:
    """What to ask about columns that may know the target."""
    return [
        Finding(
            column=suspect.column,
            code=Code.LEAK if suspect.is_strong else Code.LEAK_SUSPECT,
            message=suspect.question(target),
        )
        for suspect in suspects
    ]


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

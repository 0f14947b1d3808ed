"""What is suspicious about a table, before anybody trains on it; findings warn, they refuse nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.findings import Code, Finding, Spotted, told_together
from appliance.leak_suspects import Suspect
from appliance.missing_words import find_missing_word, spot_missing_word
from appliance.texts import (
    CAST,
    are_codes,
    are_prose,
    are_whole,
    count_signed,
    examples,
    find_day_number,
    find_nesting,
    find_plain,
    find_signed,
    find_unsigned,
    has_gaps,
    prepare_option,
    quoted_name,
    replace_sql,
    without_gaps,
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

IF_MISSING = "if that means missing, read them so with"

SENTINEL_CODES = frozenset({-9, -99, -999, -9999, 99, 999, 9999})
"""What questionnaires write for no answer. In a scale that such a number ends it is one where the gap before it is at
least twice as wide as the scale without it."""


def check_table(profile: TableProfile) -> list[Finding]:
    """Everything suspicious about a table: the table first, then its columns in their order.

    What many columns have in common is one finding, at the place of the first of them.
    """
    findings = []
    if profile.duplicate_rows:
        count, share = profile.duplicate_rows, profile.duplicate_rows / profile.rows
        told = (
            f"1 row ({share:.1%}) repeats an earlier row; drop it if it is no event of its own"
            if count == 1
            else f"{count} rows ({share:.1%}) repeat an earlier row; drop them if they are not separate events"
        )
        findings.append(Finding(column=None, code=Code.DUPLICATE_ROWS, message=told))
    return [*findings, *told_together(_spot(profile.columns))]


def _spot(columns: tuple[ColumnProfile, ...]) -> Iterator[Spotted]:
    twins = _twins(columns)
    for column in columns:
        yield from _check_column(column)
        if (twin := twins.get(column.name)) is not None:
            yield Spotted(
                column=column.name, code=Code.DUPLICATE_COLUMNS, detail=f"as {twin!r}",
                message=f"{column.name!r} has the same values as {twin!r}, as often; exclude one if they are equal",
                together="{count} columns have the same values as an earlier one, as often: {names}; exclude those "
                "that are equal",
            )  # fmt: skip


def _check_column(column: ColumnProfile) -> Iterator[Spotted]:
    present = column.rows - column.missing
    yield from _check_values(column, present)
    if column.dtype is Dtype.STRING and present:
        yield from _check_texts(column, present)
    elif _is_id_like(column, present):
        yield _id_like(column, present)
    yield from _check_dates(column, present)
    yield from _check_edges(column, present)


def _check_values(column: ColumnProfile, present: int) -> Iterator[Spotted]:
    """Whether there are any, and more than one."""
    name = column.name
    if column.missing > MISSING_SHARE * column.rows:
        share = column.missing / column.rows
        yield Spotted(
            column=name, code=Code.MISSING, detail=f"{share:.1%}",
            message=f"{share:.1%} of {name!r} are missing; exclude it or fill it upstream",
            together="more than half of the values of {count} columns are missing: {names}; exclude them or fill them "
            "upstream",
        )  # fmt: skip
    if present and column.top and column.top[0][1] >= ONE_VALUE_SHARE * column.rows:
        share, value = column.top[0][1] / column.rows, _short(column.top[0][0])
        others = column.rows - column.top[0][1]
        most = f"all but {others} of the {column.rows} rows" if others and share > SAID_SHARE else f"{share:.1%}"
        yield Spotted(
            column=name, code=Code.CONSTANT, detail=value,
            message=f"{most} of {name!r} are {value}; it tells a model next to nothing",
            together="{count} columns have the same value in nearly every row: {names}; they tell a model next to "
            "nothing",
        )  # fmt: skip


def _check_edges(column: ColumnProfile, present: int) -> Iterator[Spotted]:
    """What is at the edges: of the texts, and of the numbers."""
    name = column.name
    if column.padded:
        expression = "trim({c})"
        example = next((value for value, _ in column.top if value != value.strip(" ")), None)
        like = "" if example is None else f", like {_short(example)}"
        yield Spotted(
            column=name, code=Code.PADDED, expression=expression, detail=f"{column.padded} texts",
            message=f"{column.padded} texts in {name!r} begin or end with spaces{like}, which makes them other "
            f"categories than without; strip them with {prepare_option(replace_sql((name, expression)))}",
            together="{count} columns have texts that begin or end with spaces, which makes them other categories than "
            "without: {names}; strip them with {prepare}",
        )  # fmt: skip
    if (lonely := _sentinel(column, present)) is not None:
        value, count = lonely
        expression = f"nullif({{c}}, {value})"
        yield Spotted(
            column=name, code=Code.SENTINEL, expression=expression, detail=f"{count / present:.1%}",
            message=f"{count} values of {name!r} ({count / present:.1%}) are {value}, far from all others; if that "
            f"means missing, make it null with {prepare_option(replace_sql((name, expression)))}, else it bends what a "
            "model learns",
            together=f"{{count}} columns hold {value}, far from all their other values: {{names}}; if that means "
            "missing, make it null with {prepare}, else it bends what a model learns",
        )  # fmt: skip
    if column.infinite:
        yield Spotted(
            column=name, code=Code.INFINITE, detail=str(column.infinite),
            expression="CASE WHEN isfinite({c}) THEN {c} END",
            message=f"{name!r} has {column.infinite} infinite values; replace them upstream or with a query",
            together="{count} columns have infinite values: {names}; replace them upstream, or make them null with "
            "{prepare}",
        )  # fmt: skip


def _id_like(column: ColumnProfile, present: int) -> Spotted:
    return Spotted(
        column=column.name, code=Code.ID_LIKE,
        message=f"{column.name!r} has {column.distinct} distinct values in {present} rows, like an id; exclude it",
        together="{count} columns have another value in nearly every row, like ids: {names}; exclude them",
    )  # fmt: skip


def _check_texts(column: ColumnProfile, present: int) -> Iterator[Spotted]:
    """What the texts are; one answer a column, since each says to do something else with it."""
    name, numbers, signed = column.name, column.numeric_text, count_signed(column)
    most = NUMERIC_TEXT_SHARE * present
    are_numbers = numbers >= most or (has_gaps(column) and not signed)
    is_id = _is_id_like(column, present)
    if signed and numbers < most and (numbers + signed >= most or has_gaps(column)):
        yield _with_signs(column, present)
    elif nesting := find_nesting(column):
        yield _nested(column, nesting)
    elif is_id and are_prose(column):
        yield Spotted(
            column=name, code=Code.PROSE,
            message=f"{name!r} is prose, like {_short(examples(column)[0])}, another in nearly every row, and a model "
            "reads none of it; make columns of it with --prepare, such as its length or whether a word stands in it",
            together="{count} columns are prose, another in nearly every row, and a model reads none of it: {names}; "
            "make columns of them with --prepare, such as the length or whether a word stands in it",
        )  # fmt: skip
    elif is_id and (not are_numbers or are_codes(column) or are_whole(column)):
        yield _id_like(column, present)
    elif are_numbers and not are_codes(column):
        yield _as_text(column, present)
    elif _dates(column) < DATE_TEXT_SHARE * present and (missing := find_missing_word(column)):
        yield spot_missing_word(column, present, *missing)


def _as_text(column: ColumnProfile, present: int) -> Spotted:
    name, numbers, expression = column.name, column.numeric_text, find_plain(column)
    others, words, row = present - numbers, "", ""
    asked, ending = "read them with", ""
    if others and others == sum(count for _, count in column.gaps):
        words, row, asked = _gaps(column, present), _first_row(column), IF_MISSING
        expression = expression and without_gaps(column, expression)
    elif others:
        expression, ending = f"TRY_{CAST}" if expression == CAST else None, ", which makes others null"
    if others and not words:
        way = _cast(column, numbers, present)
    else:
        way = f"{asked} {prepare_option(replace_sql((name, expression)))}" if expression else "cast it with a query"
    ways = f"{asked} {{prepare}}{ending}" if expression else "cast them with a query"
    return Spotted(
        column=name, code=Code.NUMBERS_AS_TEXT, detail=_of(numbers, present) + words, expression=expression,
        message=f"{_of(numbers, present)} texts in {name!r} read as numbers{words}{row}; {way}, else each number "
        "counts as a category",
        together=f"{{count}} columns hold texts that read as numbers: {{names}}; {ways}, else each number counts as "
        "a category",
    )  # fmt: skip


def _gaps(column: ColumnProfile, present: int) -> str:
    """What stands among numbers, in words: ``, the other 5 (5.0%) are '?'``."""
    count = sum(some for _, some in column.gaps)
    words = ", ".join(_short(word) for word, _ in column.gaps)
    return f", the other {count} ({count / present:.1%}) {'is' if count == 1 else 'are'} {words}"


def _first_row(column: ColumnProfile) -> str:
    return "" if column.odd_text is None else f" (the first in row {column.odd_text[1]})"


def _with_signs(column: ColumnProfile, present: int) -> Spotted:
    name, expression, example = column.name, find_unsigned(column), find_signed(column)
    like = "" if example is None else f"like {_short(example)}"
    signs = f"the unit {column.unit_text[0]!r}" if column.unit_text and not column.signed_text else "signs"
    words = _gaps(column, present) if column.gaps else ""
    asked = IF_MISSING if words else "read them with"
    way = ways = (
        "whether a point or a comma is their decimal mark does not show; read them with --prepare and SQL of your own"
    )
    if expression is not None:
        expression = without_gaps(column, expression)
        way, ways = f"{asked} {prepare_option(replace_sql((name, expression)))}", f"{asked} {{prepare}}"
    return Spotted(
        column=name, code=Code.SIGNED_NUMBERS, expression=expression, detail=like + words,
        message=f"{_of(column.numeric_text + count_signed(column), present)} texts in {name!r} are numbers with {signs}"
        f"{like and f', {like}'}{words}; {way}, else each number counts as a category",
        together=f"{{count}} columns hold numbers with {signs} as text: {{names}}; {ways}, else each number counts as "
        "a category",
    )  # fmt: skip


def _nested(column: ColumnProfile, nesting: str) -> Spotted:
    name, quoted = column.name, quoted_name(column.name)
    expression = "json_array_length({c})" if nesting == "lists" else None
    if expression is None:
        way = prepare_option(f"SELECT *, {quoted}->>$$FIELD$$ AS FIELD FROM source") + " for each FIELD of theirs"
        ways = "--prepare and COLUMN->>$$FIELD$$ AS FIELD for each FIELD of theirs"
    else:
        way = prepare_option(replace_sql((name, expression))) + " (how many) or SQL of your own"
        ways = "{prepare} (how many) or SQL of your own"
    return Spotted(
        column=name, code=Code.NESTED, expression=expression,
        message=f"{name!r} holds {nesting} as JSON text, and each different text counts as a category; "
        f"make columns of what is in them with {way}",
        together=f"{{count}} columns hold {nesting} as JSON text, and each different text counts as a category: "
        f"{{names}}; make columns of what is in them with {ways}",
    )  # fmt: skip


def _check_dates(column: ColumnProfile, present: int) -> Iterator[Spotted]:
    name = column.name
    if example := find_day_number(column):
        expression = "try_strptime({c}::VARCHAR, $$%Y%m%d$$)::DATE"
        yield Spotted(
            column=name, code=Code.DATES_AS_NUMBERS, expression=expression, detail=f"like {example}",
            message=f"{name!r} holds days as whole numbers, like {example}, which a model takes for amounts: from one "
            f"month to the next they jump; read them with {prepare_option(replace_sql((name, expression)))}",
            together="{count} columns hold days as whole numbers, which a model takes for amounts: {names}; read them "
            "with {prepare}",
        )  # fmt: skip
    dates = _dates(column)
    if dates and dates >= DATE_TEXT_SHARE * present:
        if len(column.date_forms) > 1:
            told = ", ".join(f"{count} like {form}" for form, count in column.date_forms)
            yield Spotted(
                column=name, code=Code.MIXED_DATES, detail=told,
                message=f"{name!r} holds dates written in several ways ({told}), so it stays text; write them in one",
                together="{count} columns hold dates written in several ways, so they stay text: {names}; write each "
                "in one",
            )  # fmt: skip
        else:
            form = column.date_forms[0][0]
            yield Spotted(
                column=name, code=Code.DATES_AS_TEXT, detail=_of(dates, present),
                message=f"{_of(dates, present)} texts in {name!r} are dates like {form}; "
                f"{_cast(column, dates, present)}, else each date counts as a category",
                together=f"{{count}} columns hold dates like {form} as text: {{names}}; mend those that are none or "
                "cast them with a query, else each date counts as a category",
            )  # fmt: skip
    if column.descents:
        lie = (
            "1 row lies before the row above it"
            if column.descents == 1
            else (f"{column.descents} rows lie before the row above them")
        )
        yield Spotted(
            column=name, code=Code.UNSORTED_TIME, detail=f"{column.descents}",
            message=f"{lie} in {name!r}: the table is not in order "
            "of time; a model with this time column sorts it, others split it as it lies",
            together="the table is not in order of {count} columns of times (rows that lie before the row above them: "
            "{names}); a model sorts it by the one that is its time column, others split it as it lies",
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

"""What the texts of a column are, as its profile shows them: codes, prose, JSON, numbers with signs; and SQL for them.

Told from examples: the first and the last text in order, and the most frequent ones.
"""

from __future__ import annotations

import json
import re
from statistics import median

from storage.columns import Dtype
from storage.profile import ColumnProfile

PROSE_WORDS = 4
"""Texts of at least so many words, nearly all different, are prose: names and addresses mostly have fewer."""

_CODE = re.compile(r"[-+]?(0\d+|\d{16,})")
"""Digits that a number would change: it drops leading zeros, and a float rounds from the 16th digit on."""

_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
"""A day as 20260131."""
FEWEST_DAYS = 5
"""Fewer different numbers may look like days by chance."""

_WHOLE = re.compile(r"[-+]?\d+")
_ONE_GROUP = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
"""Thousands set apart, or three decimals: the number alone does not tell."""

CAST = "CAST({c} AS DOUBLE)"
"""SQL that reads a number with a decimal point; an error where a text is none."""

_EXPONENT = re.compile(r"\d[eE][-+]?\d")

_OTHER = {".": ",", ",": "."}


def examples(column: ColumnProfile) -> tuple[str, ...]:
    """Up to twelve texts of a column, the most frequent first; empty without values."""
    ends = (end for end in (column.minimum, column.maximum) if isinstance(end, str))
    return tuple(dict.fromkeys((*(value for value, _ in column.top), *ends)))


def count_signed(column: ColumnProfile) -> int:
    """How many texts are numbers with a sign, or with the one unit that all have."""
    return column.signed_text + (column.unit_text[1] if column.unit_text else 0)


def has_gaps(column: ColumnProfile) -> bool:
    """Whether the texts are numbers but for a few words, which may mean missing; of numbers there are more."""
    return bool(column.gaps) and column.distinct - len(column.gaps) > len(column.gaps)


def are_codes(column: ColumnProfile) -> bool:
    """Whether the numbers among the texts are codes that must stay text: postcodes with a 0, numbers of cards."""
    return any(_CODE.fullmatch(text.strip()) for text in examples(column))


def are_whole(column: ColumnProfile) -> bool:
    """Whether the texts are digits alone."""
    return all(_WHOLE.fullmatch(text.strip()) for text in examples(column))


def find_day_number(column: ColumnProfile) -> str | None:
    """A whole number that is a day, like 20260131, where the ends and the most frequent ones all are; else None."""
    if column.dtype is not Dtype.INT or column.distinct < FEWEST_DAYS:
        return None
    ends = [f"{end:.0f}" for end in (column.minimum, column.maximum) if isinstance(end, int | float)]
    told = [*ends, *(value for value, _ in column.top)]
    return told[0] if all(_DAY.fullmatch(number) for number in told) else None


def are_prose(column: ColumnProfile) -> bool:
    """Whether the texts are sentences rather than names."""
    return is_prose(examples(column))


def is_prose(texts: tuple[str, ...]) -> bool:
    """Whether half of the texts have ``PROSE_WORDS`` words or more, and none looks like JSON."""
    if any(text.startswith(("{", "[")) for text in texts):
        return False
    return bool(texts) and median(len(text.split()) for text in texts) >= PROSE_WORDS


def find_nesting(column: ColumnProfile) -> str | None:
    """``objects`` or ``lists`` where the texts are such in JSON."""
    found = set()
    for text in examples(column):
        if not text.startswith(("{", "[")):
            return None
        try:
            json.loads(text)
        except (ValueError, RecursionError):  # nested deeper than the decoder goes
            return None
        found.add("objects" if text.startswith("{") else "lists")
    return found.pop() if len(found) == 1 else None


def prepare_option(sql: str) -> str:
    """``--prepare`` with SQL over all rows, as a shell takes it whatever the column is called."""
    whole = sql.replace("'", r"'\''")
    return f"--prepare '{whole}'"


def quoted_name(name: str) -> str:
    """A column's name in SQL; DuckDB's own door would load DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def replace_sql(*columns: tuple[str, str]) -> str:
    """SQL that gives these columns as expressions of them (``{c}`` is the column), and the others as they are.

    Args:
        columns: Names and expressions, at least one.
    """
    quoted = [(quoted_name(name), expression) for name, expression in columns]
    given = ", ".join(f"{expression.replace('{c}', name)} AS {name}" for name, expression in quoted)
    return f"SELECT * REPLACE ({given}) FROM source"  # noqa: S608  (shown, not run; the names are quoted)


def find_signed(column: ColumnProfile) -> str | None:
    """An example that is a number with a sign, or None where the examples are plain numbers and other texts."""
    return next((text for text in _numbers(column) if _number(text) and not _is_plain(text)), None)


def find_plain(column: ColumnProfile) -> str | None:
    """An SQL expression of the column ``{c}`` that reads its plain numbers; None where the examples do not tell how.

    What may be missing, ``gaps``, is for ``without_gaps``.
    """
    texts = [text.strip() for text in _numbers(column)]
    if not any("," in text or "'" in text for text in texts):
        return CAST
    return None if any(_EXPONENT.search(text) for text in texts) else find_unsigned(column)


def without_gaps(column: ColumnProfile, expression: str) -> str:
    """The expression where the column ``{c}`` has none of its ``gaps``, else null."""
    if not column.gaps:
        return expression
    return f"CASE WHEN {{c}} NOT IN ({', '.join(_sql_text(word) for word, _ in column.gaps)}) THEN {expression} END"


def _sql_text(text: str) -> str:
    """A text in SQL, without quotes where it can be: they are hard to read in what is for a shell."""
    return "'" + text.replace("'", "''") + "'" if "$" in text else f"$${text}$$"


def _numbers(column: ColumnProfile) -> tuple[str, ...]:
    """The examples but for those that may mean missing."""
    words = {word for word, _ in column.gaps}
    return tuple(text for text in examples(column) if text not in words)


def find_unsigned(column: ColumnProfile) -> str | None:
    """An SQL expression of the column ``{c}`` that reads its numbers with signs.

    None where the examples do not tell the decimal mark, as "3.125 %" does not. What may stand beyond the examples is
    not changed silently: a parenthesis is a minus in any case, and where points set thousands apart, a point that does
    not is left to be the decimal mark.
    """
    mark = _find_decimal_mark(column)
    if mark is None:
        return None
    text = "replace({c}, $$($$, $$-$$)"
    if mark == ",":
        digits = f"regexp_replace({text}, $$[^0-9.,-]$$, $$$$, $$g$$)"
        number = f"replace(regexp_replace({digits}, $$[.](\\d{{3}})\\b$$, $$\\1$$, $$g$$), $$,$$, $$.$$)"
    else:
        number = f"regexp_replace({text}, $$[^0-9.-]$$, $$$$, $$g$$)"
    return f"TRY_CAST({number} AS DOUBLE)"


def _find_decimal_mark(column: ColumnProfile) -> str | None:
    """A point or a comma, as those examples show that tell it; else thousands are set apart, unless it is percent."""
    if told := {mark for text in _numbers(column) if (mark := _told_mark(_number(text)))}:
        return told.pop() if len(told) == 1 else None
    open_ones = [text for text in _numbers(column) if _ONE_GROUP.fullmatch(_number(text))]
    groups = {_number(text)[-4] for text in open_ones}
    if len(groups) > 1 or any("%" in text for text in open_ones):
        return None
    return "," if "." in groups else "."


def _told_mark(number: str) -> str | None:
    """The decimal mark that one number shows; None if it may have either, or is no number."""
    marks = re.sub(r"\d", "", number)
    if not marks or _ONE_GROUP.fullmatch(number):
        return None
    if len(marks) == 1 or marks[-1] != marks[-2]:
        return marks[-1]
    return _OTHER[marks[-1]] if number[-4] == marks[-1] else None


def _number(text: str) -> str:
    """The digits of a text with the points and commas between them; empty without digits."""
    return re.sub(r"[^0-9.,]", "", text).strip(".,")


def _is_plain(text: str) -> bool:
    return text[0].isdigit() and text[-1].isdigit()

"""What the texts of a column are, as its profile shows them: codes, prose, JSON, numbers with signs; and SQL for them.

Told from examples: the first and the last text in order, and the most frequent ones.
"""

from __future__ import annotations

import json
import re
from statistics import median

from storage.profile import ColumnProfile

PROSE_WORDS = 4
"""Texts of at least so many words, nearly all different, are prose: names and addresses mostly have fewer."""

_CODE = re.compile(r"[-+]?(0\d+|\d{16,})")
"""Digits that a number would change: it drops leading zeros, and a float rounds from the 16th digit on."""

_WHOLE = re.compile(r"[-+]?\d+")
_GROUPED_COMMA = re.compile(r"\d{1,3}(,\d{3})+$")


def examples(column: ColumnProfile) -> tuple[str, ...]:
    """Up to twelve texts of a column, the most frequent first; empty without values."""
    ends = (end for end in (column.minimum, column.maximum) if isinstance(end, str))
    return tuple(dict.fromkeys((*(value for value, _ in column.top), *ends)))


def are_codes(column: ColumnProfile) -> bool:
    """Whether the numbers among the texts are codes that must stay text: postcodes with a 0, numbers of cards."""
    return any(_CODE.fullmatch(text.strip()) for text in examples(column))


def are_whole(column: ColumnProfile) -> bool:
    """Whether the texts are digits alone."""
    return all(_WHOLE.fullmatch(text.strip()) for text in examples(column))


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


def replace_sql(name: str, expression: str) -> str:
    """SQL that gives the column as that expression of it (``{c}``), and the others as they are."""
    quoted = quoted_name(name)
    return f"SELECT * REPLACE ({expression.replace('{c}', quoted)} AS {quoted}) FROM source"  # noqa: S608  (shown, not run; the name is quoted)


def unsigned_sql(column: ColumnProfile) -> str:
    """SQL that reads numbers with signs; whether a comma or a point is the decimal mark is told from the examples."""
    texts = examples(column)
    text = "replace({c}, $$($$, $$-$$)" if any("(" in text for text in texts) else "{c}"
    if any(_has_decimal_comma(text) for text in texts):
        number = f"replace(regexp_replace({text}, $$[^0-9,-]$$, $$$$, $$g$$), $$,$$, $$.$$)"
    else:
        number = f"regexp_replace({text}, $$[^0-9.-]$$, $$$$, $$g$$)"
    return replace_sql(column.name, f"TRY_CAST({number} AS DOUBLE)")


def _has_decimal_comma(text: str) -> bool:
    number = re.sub(r"[^0-9.,]", "", text).rstrip(".,")
    if "," not in number or number.rfind(",") < number.rfind("."):
        return False
    return "." in number or _GROUPED_COMMA.match(number) is None

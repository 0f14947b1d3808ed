"""Words among texts that mostly mean that there is no value."""

from __future__ import annotations

from appliance.findings import Code, Spotted
from appliance.texts import prepare_option, replace_sql
from storage.profile import ColumnProfile

MISSING_WORDS = frozenset({"NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?", "-", "."})
"""What programs write for no value, and readers leave alone among texts; ``None`` is as often a level."""


def find_missing_word(column: ColumnProfile) -> tuple[str, int] | None:
    """The most frequent of its texts that mostly means that there is no value, with its count.

    A minus beside a plus is a sign.
    """
    words = MISSING_WORDS - {"-"} if any(value.strip() == "+" for value, _ in column.top) else MISSING_WORDS
    return next(((value, count) for value, count in column.top if value.strip() in words), None)


def spot_missing_word(column: ColumnProfile, present: int, word: str, count: int) -> Spotted:
    """What there is to say about a column of texts, of which ``count`` of ``present`` are that word."""
    name, expression = column.name, f"nullif({{c}}, $${word}$$)"
    text = "1 text" if count == 1 else f"{count} texts"
    return Spotted(
        column=name, code=Code.SENTINEL, expression=expression, detail=f"{count / present:.1%}",
        message=f"{text} in {name!r} ({count / present:.1%}) {'is' if count == 1 else 'are'} {word!r}; if that means "
        f"missing, make it null with {prepare_option(replace_sql((name, expression)))}, else it counts as a category "
        "of its own",
        together=f"{{count}} columns hold {word!r} among their texts: {{names}}; if that means missing, make it null "
        "with {prepare}, else it counts as a category of its own",
    )  # fmt: skip

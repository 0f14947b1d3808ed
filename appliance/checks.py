"""What is suspicious about a table, before anybody trains on it; findings warn, they refuse nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from storage.profile import TableProfile


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
    """Everything suspicious about a table, columns in their order."""
    raise NotImplementedError

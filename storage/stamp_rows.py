"""The table of stamps: random numbers that every change of some rows replaces, so that what they made may be kept.

Triggers write them, whoever writes the rows. As long as a stamp is the same, so are the rows, whatever was restored or
rolled back meanwhile.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum


class Stamped(StrEnum):
    """What a stamp is of, and what a block is."""

    LABELS = "labels"
    """The outcomes of a day of event time."""
    INPUTS = "inputs"
    """The feature windows of a day of event time."""
    SERVICE = "service"
    """The service windows of half an hour of arrival."""


def read_stamps(
    connection: sqlite3.Connection, kind: Stamped, model: str, *, first: int, last: int, shadow: bool = False
) -> dict[tuple[int, int], int]:
    """``(block, version)`` to its stamp, ascending, from the first block up to and including the last.

    Args:
        connection: The state database.
        kind: Of which rows.
        model: Of this model.
        first: Block since 1970.
        last: Block since 1970.
        shadow: Of what versions scored as shadows, instead of what they answered.
    """
    rows = connection.execute(
        "SELECT block, version, stamp FROM stamps WHERE kind = ? AND model = ? AND shadow = ? AND block >= ? "
        "AND block <= ? ORDER BY block, version",
        (kind, model, shadow, first, last),
    )
    return {(int(row["block"]), int(row["version"])): int(row["stamp"]) for row in rows}

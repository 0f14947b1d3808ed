"""How a text file's columns were read where their values may be read otherwise as well.

Kept with the ingest, so that the next file of the same rows is read likewise: each by itself, they would flip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypedDict


class Reading(TypedDict, total=False):
    """How one column of a text file was read; what is not told was not in question.

    Attributes:
        day: The format of its days, like ``%d/%m/%Y``.
        mark: ``comma``: decimal commas, points between thousands; ``thousands``: whole numbers with points between
            these; ``point``: decimal points.
        words: Of a text: whether ``NA``, ``None`` and the like were missing values in it, or texts.
        sql: Tells the SQL that the rows went through; not there without any.
    """

    day: str
    mark: str
    words: bool
    sql: str


Readings = Mapping[str, Reading]
"""By column, as the file names it."""


def with_sql(readings: Readings, *sql: str | None) -> dict[str, Reading]:
    """The readings of a file whose rows go through this SQL, None for none, into the dataset."""
    mark = _mark(*sql)
    if mark is None:
        return {name: reading.copy() for name, reading in readings.items()}
    return {name: {**reading, "sql": mark} for name, reading in readings.items()}


def readings_for(readings: Readings, *sql: str | None) -> dict[str, Reading]:
    """Those that hold for a file whose rows go through this SQL: other SQL may have undone how they were read."""
    mark = _mark(*sql)
    return {name: reading for name, reading in readings.items() if reading.get("sql") == mark}


def with_earlier(earlier: Readings, readings: Readings) -> dict[str, Reading]:
    """What later files are held to: the earlier rows' readings, and those of columns that these say nothing of."""
    stay = {
        name: reading
        for name, reading in earlier.items()
        if name not in readings or readings[name].get("sql") == reading.get("sql")
    }
    return {**readings, **stay}


def _mark(*sql: str | None) -> str | None:
    if not any(sql):
        return None
    return hashlib.sha256("\0".join(each or "" for each in sql).encode()).hexdigest()[:16]

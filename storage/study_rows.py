"""The table ``studies``: what the nightly looks at rows found, one row a model version, kind and day."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.statedb import to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One finding.

    Attributes:
        kind: ``domain``, ``reconstruction`` or ``attribution``.
        day: The last day of the window studied, since 1970, UTC.
        state: ``ok``, ``warn``, ``alarm`` or ``not_enough_data``.
        result: A JSON object.
    """

    model: str
    version: int
    kind: str
    day: int
    state: str
    sentence: str
    result: str


def put_study(connection: sqlite3.Connection, row: StudyRow) -> None:
    """Write a finding in place of an earlier one of the same day, and when that was, by which it ages."""
    connection.execute(
        "INSERT INTO studies (model, version, kind, day, state, sentence, result, noted_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (model, kind, day) DO UPDATE SET "
        "version = excluded.version, state = excluded.state, sentence = excluded.sentence, "
        "result = excluded.result, noted_at = excluded.noted_at",
        (row.model, row.version, row.kind, row.day, row.state, row.sentence, row.result, to_text(datetime.now(UTC))),
    )


def newest_studies(connection: sqlite3.Connection, model: str) -> list[StudyRow]:
    """The newest finding of each kind, by kind."""
    rows = connection.execute(
        "SELECT s.* FROM studies s JOIN (SELECT kind, MAX(day) AS day FROM studies WHERE model = ? GROUP BY kind) n "
        "ON s.kind = n.kind AND s.day = n.day WHERE s.model = ? ORDER BY s.kind",
        (model, model),
    )
    return [StudyRow(**{name: row[name] for name in StudyRow.__dataclass_fields__}) for row in rows]


def newest_studied_day(connection: sqlite3.Connection, model: str) -> int | None:
    """The newest day that was studied, or None."""
    row = connection.execute("SELECT MAX(day) AS day FROM studies WHERE model = ?", (model,)).fetchone()
    return None if row["day"] is None else int(row["day"])

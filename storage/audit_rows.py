"""The table ``audit``: who did what, as a chain of hashes in which an edited or missing row shows."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction

_START = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Something that somebody did.

    Attributes:
        who: A user's name, or ``cli``, ``schedule``, ``demo``.
        action: A verb, dotted: ``dataset.add``, ``model.deploy``, ``key.revoke``.
        subject: What it was done to.
        detail: One sentence, or empty; never a secret.
    """

    at: datetime
    who: str
    action: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An entry in its place; ``chain`` is the sha256 over the row and the chain before it."""

    id: int
    entry: AuditEntry
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProof:
    """What a check of the whole chain found.

    Attributes:
        rows: How many rows were checked.
        broken_at: Id of the first row that is not as it was written, or is missing; None when all are.
    """

    rows: int
    broken_at: int | None

    @property
    def intact(self) -> bool:
        """Nothing was edited, removed or slipped in."""
        return self.broken_at is None


def append_audit(connection: sqlite3.Connection, entry: AuditEntry) -> AuditRow:
    """Append an entry behind the last one; inside a transaction it is written with the rest of that."""
    with transaction(connection):
        last = connection.execute("SELECT id, chain FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        row_id = _last_given_id(connection) + 1
        chain = _link(bytes(last["chain"]) if last else _START, row_id, entry)
        connection.execute(
            "INSERT INTO audit (id, at, who, action, subject, detail, chain) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row_id, to_text(entry.at), entry.who, entry.action, entry.subject, entry.detail, chain),
        )
    return AuditRow(id=row_id, entry=entry, chain=chain)


def list_audit(
    connection: sqlite3.Connection, *, limit: int = 100, text: str = "", until: int | None = None
) -> list[AuditRow]:
    """The newest entries, newest first.

    Args:
        connection: To the state database.
        limit: At most so many.
        text: Only entries that have it in who, action, subject or detail, whatever its letters' case in ASCII.
        until: Only entries up to this id.
    """
    rows = connection.execute(
        "SELECT * FROM audit WHERE (:text = '' OR instr(lower(who || char(10) || action || char(10) || subject || "
        "char(10) || detail), lower(:text)) > 0) AND (:until IS NULL OR id <= :until) ORDER BY id DESC LIMIT :limit",
        {"text": text, "until": until, "limit": limit},
    )
    return [_audit(row) for row in rows]


def verify_audit(connection: sqlite3.Connection) -> AuditProof:
    """Recompute the chain over every row.

    An edited, removed or inserted row breaks it. Somebody who may write the database and recomputes every later link
    is not caught; keep the last ``chain`` elsewhere (a backup has it) against that.
    """
    rows, chain, expected = 0, _START, 1
    for row in connection.execute("SELECT * FROM audit ORDER BY id"):
        found = _audit(row)
        chain = _link(chain, found.id, found.entry)
        if found.id != expected or chain != found.chain:
            return AuditProof(rows=rows, broken_at=expected)
        rows, expected = rows + 1, expected + 1
    if _last_given_id(connection) >= expected:
        return AuditProof(rows=rows, broken_at=expected)
    return AuditProof(rows=rows, broken_at=None)


def _last_given_id(connection: sqlite3.Connection) -> int:
    # AUTOINCREMENT remembers the highest id ever given, so that rows cut off at the end are missed too.
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    return 0 if row is None else int(row["seq"])


def _link(before: bytes, row_id: int, entry: AuditEntry) -> bytes:
    fields = [row_id, to_text(entry.at), entry.who, entry.action, entry.subject, entry.detail]
    return hashlib.sha256(before + json.dumps(fields, ensure_ascii=False).encode()).digest()


def _audit(row: sqlite3.Row) -> AuditRow:
    entry = AuditEntry(
        at=from_text(row["at"]), who=row["who"], action=row["action"], subject=row["subject"], detail=row["detail"]
    )
    return AuditRow(id=row["id"], entry=entry, chain=bytes(row["chain"]))

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from storage.audit_rows import AuditEntry, AuditProof, append_audit, list_audit, verify_audit
from storage.statedb import transaction

ENTRY = AuditEntry(
    at=datetime(2026, 11, 21, 12, tzinfo=UTC), who="ann", action="key.create", subject="shop", detail="scope é"
)


def test_entries_come_back_newest_first_and_the_chain_holds(db: sqlite3.Connection) -> None:
    assert verify_audit(db) == AuditProof(rows=0, broken_at=None)
    rows = [append_audit(db, ENTRY) for _ in range(5)]
    assert [row.id for row in rows] == [1, 2, 3, 4, 5]
    assert list_audit(db, limit=2) == [rows[4], rows[3]]
    assert verify_audit(db) == AuditProof(rows=5, broken_at=None)
    assert verify_audit(db).intact


@pytest.mark.parametrize(
    ("tamper", "broken_at"),
    [
        ("UPDATE audit SET who = 'bob' WHERE id = 3", 3),
        ("UPDATE audit SET detail = '' WHERE id = 1", 1),
        ("UPDATE audit SET at = '2026-11-20T12:00:00.000000+00:00' WHERE id = 5", 5),
        ("UPDATE audit SET chain = zeroblob(32) WHERE id = 2", 2),
        ("UPDATE audit SET subject = who, who = subject WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id >= 4", 4),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET id = id + 10 WHERE id = 5", 5),
        ("INSERT INTO audit SELECT 6, at, who, action, subject, detail, chain FROM audit WHERE id = 5", 6),
    ],
)
def test_a_row_that_was_edited_removed_or_slipped_in_is_found(
    db: sqlite3.Connection, tamper: str, broken_at: int
) -> None:
    for _ in range(5):
        append_audit(db, ENTRY)
    db.execute(tamper)
    proof = verify_audit(db)
    assert proof.broken_at == broken_at
    assert not proof.intact


def test_an_entry_goes_with_the_change_that_it_tells(db: sqlite3.Connection) -> None:
    def change(outcome: Callable[[], None]) -> None:
        with transaction(db):
            append_audit(db, ENTRY)
            outcome()

    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        change(fail)
    assert verify_audit(db).rows == 0
    change(lambda: None)
    assert verify_audit(db) == AuditProof(rows=1, broken_at=None)

"""Which backups go: by number, by age, and never the last good one; how a database is copied for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.backups import Backup, Notes, copy_database, spare_backups
from storage.migrations import migrate
from storage.statedb import connect

NOW = datetime(2030, 1, 31, tzinfo=UTC)


def backup(days_ago: int, *, proved: bool = True, problem: str = "") -> Backup:
    at = NOW - timedelta(days=days_ago)
    notes = Notes(
        created_at=at.isoformat(), release="1", bytes=1, files=1, sealed=False,
        verified_at=at.isoformat() if proved else None, problem=problem,
    )  # fmt: skip
    return Backup(name=str(days_ago), path=Path(str(days_ago)), notes=notes)


@pytest.mark.parametrize(
    ("ages", "keep", "keep_days", "spare"),
    [
        ([0, 1, 2, 3], 2, 0, ["2", "3"]),
        ([0, 1, 2, 3], 9, 0, []),
        ([0, 1, 40, 50], 9, 30, ["40", "50"]),
        ([0, 1, 40, 50], 3, 45, ["50"]),
        ([40, 50], 9, 30, ["50"]),
        ([], 1, 1, []),
    ],
)
def test_backups_go_by_number_and_by_age(ages: list[int], keep: int, keep_days: int, spare: list[str]) -> None:
    found = spare_backups([backup(age) for age in ages], keep=keep, keep_days=keep_days, now=NOW)
    assert [one.name for one in found] == spare


def test_the_last_good_backup_stays_whatever_came_after_it() -> None:
    backups = [backup(0, proved=False), backup(1, problem="cut off"), backup(2), backup(3)]
    assert [one.name for one in spare_backups(backups, keep=1, keep_days=1, now=NOW)] == ["1", "3"]


def test_a_database_in_use_is_copied_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO faults VALUES ('x', 'day', 1)")  # a transaction that is not committed
        copy_database(path, tmp_path / "b.db")
    with closing(connect(tmp_path / "b.db")) as copy:
        assert copy.execute("SELECT count(*) FROM faults").fetchone()[0] == 0
    assert not (tmp_path / "b.db-wal").exists()

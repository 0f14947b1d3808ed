from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from storage import statedb
from storage.backup_proof import check_databases
from storage.errors import NumberTooLarge, StaleSchema, StateUnwritable
from storage.layout import Layout
from storage.migrations import m001_first, migrate
from storage.outcome_rows import DAY_US
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import SCHEMA_VERSION, from_text, to_text, transaction
from storage.window_rows import ServiceKey, scan_service_windows
from tests.storage.conftest import SmallDisk


def set_schema(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_migrating_twice_changes_nothing(layout: Layout) -> None:
    migrate(layout.database)
    connection = statedb.connect(layout.database)
    before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrate(layout.database)
    assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert layout.database.stat().st_mode & 0o007 == 0
    connection.close()


def test_a_newer_database_is_neither_opened_nor_migrated(layout: Layout) -> None:
    migrate(layout.database)
    set_schema(layout.database, SCHEMA_VERSION + 1)
    wanted = (
        rf"has schema {SCHEMA_VERSION + 1}, newer than this program's {SCHEMA_VERSION}; use the release that wrote it"
    )
    with pytest.raises(StaleSchema, match=wanted):
        migrate(layout.database)
    with pytest.raises(StaleSchema, match=rf"has schema {SCHEMA_VERSION + 1}, this program needs {SCHEMA_VERSION}"):
        statedb.connect(layout.database)


def test_an_older_database_is_not_opened_before_it_is_migrated(layout: Layout) -> None:
    migrate(layout.database)
    set_schema(layout.database, 0)
    with pytest.raises(StaleSchema, match=r"has schema 0, .* run 'appliance migrate'"):
        statedb.connect(layout.database, read_only=True)
    migrate(layout.database)
    statedb.connect(layout.database).close()


def test_the_service_windows_of_the_first_schema_are_kept_as_answers(layout: Layout) -> None:
    first = Migrations("appliance")
    first()(m001_first)
    with closing(sqlite3.connect(layout.database)) as connection:
        first.apply(Database(connection))
        connection.execute("INSERT INTO service_windows VALUES ('m', 3, 7, x'7b7d')")
        connection.commit()
        connection.execute("PRAGMA user_version = 1")
    migrate(layout.database)
    with closing(statedb.connect(layout.database)) as connection:
        found = list(scan_service_windows(connection, "m", first_minute=0, last_minute=9))
        assert found == [(ServiceKey(model="m", version=3, minute=7), b"{}")]
        assert list(scan_service_windows(connection, "m", first_minute=0, last_minute=9, shadow=True)) == []


def test_a_database_that_is_missing_or_no_database_is_said(layout: Layout) -> None:
    with pytest.raises(StateUnwritable, match=r"cannot open the state database .*appliance\.db: unable to open"):
        statedb.connect(layout.database)
    layout.database.write_bytes(b"this is no database, but it is long enough to be taken for one" * 20)
    with pytest.raises(StateUnwritable, match=r"file is not a database"):
        statedb.connect(layout.database)
    with pytest.raises(StateUnwritable, match=r"cannot write the state database .*file is not a database"):
        migrate(layout.database)


def test_a_database_path_that_is_a_directory_is_said(layout: Layout) -> None:
    layout.database.mkdir()
    with pytest.raises(StateUnwritable, match=r"cannot write the state database"):
        migrate(layout.database)


def test_a_read_only_disk_is_said(small_disk: SmallDisk) -> None:
    small_disk.make_read_only()
    with pytest.raises(StateUnwritable, match=r"cannot write the state database .*; free space or fix its owner"):
        migrate(small_disk.path / "appliance.db")


def test_a_transaction_is_written_together_or_not_at_all(db: sqlite3.Connection) -> None:
    with pytest.raises(RuntimeError), transaction(db):
        db.execute("INSERT INTO faults VALUES ('a', '2026-01-01', 1)")
        raise RuntimeError
    assert db.execute("SELECT count(*) FROM faults").fetchone()[0] == 0


def test_a_transaction_inside_another_joins_it(db: sqlite3.Connection) -> None:
    def half_written() -> None:
        with transaction(db):
            with transaction(db):
                db.execute("INSERT INTO faults VALUES ('a', '2026-01-01', 1)")
            assert db.in_transaction
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert db.execute("SELECT count(*) FROM faults").fetchone()[0] == 0


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_beyond_what_a_row_can_have_is_said(db: sqlite3.Connection, number: int) -> None:
    with pytest.raises(NumberTooLarge, match=r"from 1 up to 9223372036854775807; nothing has a number beyond that"):
        db.execute("SELECT id FROM alerts WHERE id = ?", (number,))
    assert db.execute("SELECT id FROM alerts WHERE id = ?", (2**63 - 1,)).fetchall() == []


def test_a_reader_cannot_write(layout: Layout) -> None:
    migrate(layout.database)
    connection = statedb.connect(layout.database, read_only=True)
    with pytest.raises(sqlite3.OperationalError, match=r"readonly"):
        connection.execute("INSERT INTO faults VALUES ('a', '2026-01-01', 1)")
    connection.close()


def test_times_sort_as_text_and_come_back_in_utc() -> None:
    at = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    east = at.astimezone(timezone(timedelta(hours=2)))
    assert from_text(to_text(east)) == at
    assert from_text(to_text(east)).tzinfo is UTC
    assert to_text(at) < to_text(at + timedelta(microseconds=1)) < to_text(at + timedelta(seconds=1))


def test_rows_of_an_earlier_schema_get_their_stamps(layout: Layout) -> None:
    migrate(layout.database)
    with closing(sqlite3.connect(layout.database)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DROP TABLE stamps")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm007_stamps'")
        days = [(0, 1, "champion"), (0, 1, "canary"), (-1, 1, "champion"), (3, 2, "champion"), (3, 2, "shadow")]
        for at, (day, version, variant) in enumerate(days):
            connection.execute(
                "INSERT INTO outcomes (id, model, version, variant, event_us, output, label, label_us, arrived_us) "
                "VALUES (?, 'm', ?, ?, ?, '[1.0]', '1.0', 0, 0)",
                (str(at), version, variant, day * DAY_US + (DAY_US - 1 if day < 0 else 5)),
            )
        connection.execute("INSERT INTO feature_windows VALUES ('m', 1, 'canary', -24, 9, x'7b7d')")
        connection.execute("INSERT INTO service_windows VALUES ('m', 1, 1, 59, x'7b7d')")
        connection.execute("PRAGMA user_version = 6")
        connection.commit()
    migrate(layout.database)
    with closing(statedb.connect(layout.database)) as connection:
        for shadow, days_stamped in ((False, [(-1, 1), (0, 1), (3, 2)]), (True, [(3, 2)])):
            found = read_stamps(connection, Stamped.LABELS, "m", first=-9, last=9, shadow=shadow)
            assert list(found) == days_stamped
        assert list(read_stamps(connection, Stamped.INPUTS, "m", first=-9, last=9)) == [(-1, 1)]
        assert list(read_stamps(connection, Stamped.SERVICE, "m", first=-9, last=9, shadow=True)) == [(1, 1)]
        before = read_stamps(connection, Stamped.LABELS, "m", first=-1, last=0)
        connection.execute("UPDATE outcomes SET label = '2.0' WHERE id = '2'")
        after = read_stamps(connection, Stamped.LABELS, "m", first=-1, last=0)
        assert [key for key, stamp in after.items() if stamp != before[key]] == [(-1, 1)]


TRIGGERS = "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"


def write_old_triggers(path: Path) -> list[Any]:
    """The triggers as releases wrote them that did not know SQLite 3.34; returns what they were.

    Put in their place as text, so that this can be done with 3.34, too (``LD_LIBRARY_PATH``).
    """
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(TRIGGERS).fetchall()
        connection.execute("PRAGMA writable_schema = ON")
        known, old = "ON CONFLICT (kind, model, shadow, block, version) DO", "ON CONFLICT DO"
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (known, old))
        connection.commit()
        assert not set(connection.execute(TRIGGERS)) & set(found)
    return found


def read_triggers(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(TRIGGERS).fetchall()


def test_triggers_that_an_old_sqlite_cannot_read_are_spelled_anew(layout: Layout) -> None:
    migrate(layout.database)
    wanted = write_old_triggers(layout.database)
    migrate(layout.database)
    assert read_triggers(layout.database) == wanted
    with closing(statedb.connect(layout.database)) as connection:
        connection.execute("INSERT INTO feature_windows VALUES ('m', 1, 'champion', 24, 9, x'7b7d')")
        (before,) = read_stamps(connection, Stamped.INPUTS, "m", first=1, last=1).values()
        connection.execute("UPDATE feature_windows SET rows = 10")
        assert list(read_stamps(connection, Stamped.INPUTS, "m", first=1, last=1).values()) != [before]
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_the_state_of_a_backup_of_such_a_release_is_proved_and_restored(layout: Layout) -> None:
    migrate(layout.database)
    wanted = write_old_triggers(layout.database)
    assert check_databases(layout.root) == []
    assert read_triggers(layout.database) == wanted
    layout.database.write_bytes(b"no database" * 100)
    (problem,) = check_databases(layout.root)
    assert problem == "the database appliance.db is damaged: file is not a database"


def test_alerts_and_studies_of_an_earlier_schema_are_as_old_as_what_they_tell_of(layout: Layout) -> None:
    migrate(layout.database)
    day = datetime(2026, 3, 2, tzinfo=UTC)
    with closing(sqlite3.connect(layout.database)) as connection:
        for table in ("alerts", "studies"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN noted_at")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm009_noted'")
        for subject, closed in (("drift", to_text(day + timedelta(days=2))), ("quality", None)):
            connection.execute(
                "INSERT INTO alerts (model, subject, state, message, opened_at, closed_at) "
                "VALUES ('m', ?, 'warn', '', ?, ?)",
                (subject, to_text(day), closed),
            )
        days = int(day.timestamp()) // 86_400
        connection.execute("INSERT INTO studies VALUES ('m', 1, 'domain', ?, 'ok', '', '{}')", (days,))
        connection.execute("PRAGMA user_version = 8")
        connection.commit()
    migrate(layout.database)
    with closing(statedb.connect(layout.database)) as connection:
        noted = [row[0] for row in connection.execute("SELECT noted_at FROM alerts ORDER BY id")]
        assert noted == [to_text(day + timedelta(days=2)), to_text(day)]
        assert [row[0] for row in connection.execute("SELECT noted_at FROM studies")] == [to_text(day)]

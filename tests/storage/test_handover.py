"""A database in use is copied, shut, and replaced; whoever comes too late is told, and writes nowhere."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import StateUnwritable
from storage.handover import LiveDatabase, shut_all

WRITE = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=60); print('open', flush=True);"
    " db.execute('INSERT INTO t VALUES (2)')"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "one.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    return tmp_path / "one.db"


@pytest.fixture
def live(path: Path) -> Iterator[LiveDatabase]:
    made = LiveDatabase(path)
    yield made
    made.close()


def rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def write(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (2)")


def test_a_write_after_the_copy_is_told_as_a_change_until_it_is_copied_too(live: LiveDatabase, tmp_path: Path) -> None:
    told = []
    for use in (rows, write, rows):
        live.copy(tmp_path / "copy.db")
        use(live.path)
        told.append(live.changed)
    assert told == [False, True, False]
    assert rows(tmp_path / "copy.db") == [1, 2]


def test_what_is_shut_is_one_file_that_nobody_else_reads_or_writes(live: LiveDatabase, tmp_path: Path) -> None:
    write(live.path)
    live.copy(tmp_path / "copy.db")
    with shut_all([live]):
        assert not live.changed, "to shut it is no change"
        for use in (rows, write):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                use(live.path)
        assert not live.path.with_name("one.db-wal").exists()
        live.copy(tmp_path / "copy.db")
        assert rows(tmp_path / "copy.db") == [1, 2]
    assert rows(live.path) == [1, 2]
    write(live.path)
    assert live.path.with_name("one.db-wal").exists()


def test_who_waited_for_a_database_that_was_replaced_is_refused(live: LiveDatabase, tmp_path: Path) -> None:
    live.copy(tmp_path / "copy.db")
    with shut_all([live]):
        late = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(live.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert late.stdout is not None
        assert late.stdout.readline() == "open\n"
        live.path.rename(tmp_path / "aside.db")
        (tmp_path / "copy.db").rename(live.path)
    live.close()
    assert "attempt to write a readonly database" in late.communicate()[1]
    assert late.returncode != 0
    assert rows(live.path) == rows(tmp_path / "aside.db") == [1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["aside.db", "one.db"]


def test_who_has_it_open_all_the_time_is_named_and_keeps_it(live: LiveDatabase) -> None:
    hold = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT 1 FROM t').fetchall(); print(1);"
    hold += " sys.stdout.flush(); sys.stdin.read(); db.execute('INSERT INTO t VALUES (2)'); db.commit()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(live.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(StateUnwritable, match=rf"one.db is in use for 0 s by process {holder.pid} \(.*python"):
        live.shut(wait_s=0.2)
    holder.communicate()
    assert holder.returncode == 0
    assert rows(live.path) == [1, 2]
    live.shut(wait_s=0.2)

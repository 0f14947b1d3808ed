"""Faults that pass by themselves are told from those that stay, and their work is done again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.download import DownloadLimits, download
from storage.errors import SourceUnreadable, StateUnwritable
from storage.passing import may_pass, try_again
from tests.storage.site import Site, serve

AT_ONCE = (0.0, 0.0)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as made:
        yield made


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as made:
        made.execute("CREATE TABLE rows (at INTEGER)")
    return tmp_path / "rows.db"


def insert(table: Path, into: str = "rows") -> int:
    """Write a row, and wrap SQLite's errors as our doors do."""
    with closing(sqlite3.connect(table, timeout=0, isolation_level=None)) as writer:
        try:
            return int(writer.execute(f"INSERT INTO {into} VALUES (1)").rowcount)  # noqa: S608  (a test's own name)
        except sqlite3.Error as exc:
            raise StateUnwritable(f"cannot write: {exc}") from exc


def test_a_database_that_is_held_is_written_once_it_is_let_go(table: Path) -> None:
    told: list[str] = []
    with closing(sqlite3.connect(table, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")

        def let_go(sentence: str) -> None:
            told.append(sentence)
            if len(told) == 2:
                holder.execute("ROLLBACK")

        assert try_again(lambda: insert(table), let_go, pauses_s=AT_ONCE) == 1
    assert told == [
        "cannot write: database is locked; this may pass: tried again in 0 s (attempt 2 of 3)",
        "cannot write: database is locked; this may pass: tried again in 0 s (attempt 3 of 3)",
    ]


def test_one_that_is_never_let_go_fails_in_the_end(table: Path) -> None:
    told: list[str] = []
    with closing(sqlite3.connect(table, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnwritable, match="database is locked"):
            try_again(lambda: insert(table), told.append, pauses_s=AT_ONCE)
    assert len(told) == len(AT_ONCE)


def test_what_stays_wrong_is_not_tried_again(table: Path) -> None:
    told: list[str] = []
    with pytest.raises(StateUnwritable, match="no such table"):
        try_again(lambda: insert(table, into="others"), told.append, pauses_s=AT_ONCE)
    assert told == []


@pytest.mark.parametrize(("status", "passes"), [(503, True), (500, True), (429, True), (404, False), (403, False)])
def test_a_server_that_cannot_now_may_later(site: Site, tmp_path: Path, status: int, passes: bool) -> None:
    with pytest.raises(SourceUnreadable, match=str(status)) as refused:
        download(site.put("/rows.csv", b"", status=status), tmp_path, DownloadLimits())
    assert may_pass(refused.value) is passes


def test_a_server_that_is_gone_or_breaks_off_may_come_back(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable) as broken:
        download(site.put("/rows.csv", b"a", length=5), tmp_path, DownloadLimits())
    with Site() as gone:
        url = gone.url("/rows.csv")
    with pytest.raises(SourceUnreadable) as refused:
        download(url, tmp_path, DownloadLimits())
    assert may_pass(broken.value)
    assert may_pass(refused.value)
    with pytest.raises(SourceUnreadable) as wrong:
        download(site.redirect("/old.csv", "http://other.invalid/"), tmp_path, DownloadLimits())
    assert not may_pass(wrong.value)

"""A SQLite database that is in use, copied, and then closed to everyone so that another file may take its place.

While it is shut it is one file without a write-ahead log. Whoever waits for it meanwhile and finds it renamed cannot
write to it any more: SQLite looks whether a file without such a log still has its name (SQLITE_READONLY_DBMOVED).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StateUnwritable
from storage.holders import describe_holders

WAIT_S = 30.0
"""How long whoever has the database open may take to be done with it."""


class LiveDatabase:
    """One connection to a database that others use too."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            sqlite3.Error: It is damaged, or not there.
        """
        self.path = path
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=WAIT_S
        )
        self._copied: int | None = None

    def copy(self, target: Path) -> None:
        """Copy it whole, as one file without a write-ahead log.

        Raises:
            sqlite3.Error: It is damaged, or stays locked.
        """
        self._copied = self._version()  # before it: what comes while it is copied is told as a change
        target.unlink(missing_ok=True)
        writer = sqlite3.connect(target)
        try:
            self._connection.backup(writer)
            writer.execute("PRAGMA journal_mode = DELETE")
        finally:
            writer.close()
        target.chmod(0o600)

    @property
    def changed(self) -> bool:
        """Whether somebody may have written to it since it was copied."""
        return self._copied is not None and self._version() != self._copied

    def shut(self, *, wait_s: float = WAIT_S) -> None:
        """Nobody else has it open from here on, nor can open it until ``close`` or ``reopen``; its log is folded in.

        Raises:
            StateUnwritable: Somebody has it open all the time; the database is as it was.
        """
        end = time.monotonic() + wait_s
        while not self._try_shut():
            if time.monotonic() >= end:
                raise StateUnwritable(
                    f"{self.path} is in use for {wait_s:.0f} s by {describe_holders(self.path)}; end that and try again"
                )
            time.sleep(0.05)

    def reopen(self) -> None:
        """Let others have it again."""
        self._connection.execute("PRAGMA locking_mode = NORMAL")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._version()  # the lock goes with the next use

    def close(self) -> None:
        """End the connection; its locks go with it."""
        self._connection.close()

    def _try_shut(self) -> bool:
        try:
            # Leaving WAL works only for the last who has it open; the mode then keeps the lock that this took.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            self._connection.execute("PRAGMA locking_mode = NORMAL")
            self._version()
            return False
        return True

    def _version(self) -> int:
        """Another one after every commit of somebody else."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def shut_all(databases: Iterable[LiveDatabase], *, wait_s: float = WAIT_S) -> Iterator[None]:
    """All of them are shut; those that are still in their place are open again afterwards.

    Raises:
        StateUnwritable: One is in use all the time.
    """
    done: list[tuple[LiveDatabase, int]] = []
    try:
        for one in databases:
            one.shut(wait_s=wait_s)
            done.append((one, one.path.stat().st_ino))
        yield
    finally:
        for one, number in done:
            if one.path.exists() and one.path.stat().st_ino == number:
                one.reopen()

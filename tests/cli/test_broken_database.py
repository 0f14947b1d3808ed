"""A database that is damaged is told as what it is, not as a fault of the program."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from tests.cli.shell import Shell


def test_broken_pages_are_told_with_the_way_out(shell: Shell) -> None:
    database = shell.state / "appliance.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    database.write_bytes(content)
    done = shell.run("models")
    assert done.code == 1
    assert done.err.startswith("appliance: a database is damaged: ")
    assert "'appliance doctor' says which, and what to do" in done.err

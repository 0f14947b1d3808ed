"""Triggers of earlier releases, for which SQLite 3.34 (RHEL and Rocky 9) reads nothing of the file that they are in."""

from __future__ import annotations

import sqlite3

_NEWER = "ON CONFLICT DO"
_KNOWN = "ON CONFLICT (kind, model, shadow, block, version) DO"


def respell_triggers(connection: sqlite3.Connection) -> bool:
    """Spell the triggers of ``stamps`` as SQLite 3.34 knows them, too; they do the same.

    To be called before anything else is asked of a database that may be that old: where the library is as old, every
    other statement fails. For the same reason the text is replaced where it stands: no trigger can be dropped there.

    Returns:
        Whether any was spelled otherwise.

    Raises:
        sqlite3.Error: The database is damaged or cannot be written.
    """
    connection.execute("PRAGMA writable_schema = ON")  # reads also what cannot be understood
    try:
        old = "type = 'trigger' AND instr(sql, ?)"
        if not connection.execute(f"SELECT count(*) FROM sqlite_master WHERE {old}", (_NEWER,)).fetchone()[0]:  # noqa: S608
            return False
        respelled = f"UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE {old}"  # noqa: S608
        with connection:
            connection.execute(respelled, (_NEWER, _KNOWN, _NEWER))
            version = connection.execute("PRAGMA schema_version").fetchone()[0]
            connection.execute(f"PRAGMA schema_version = {version + 1}")  # whoever has it open reads it again
        return True
    finally:
        connection.execute("PRAGMA writable_schema = RESET")

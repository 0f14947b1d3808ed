"""Checks API keys for the serving process: standard library only, and a revoked key is refused at once."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from storage import key_rows, statedb

KEY_PREFIX = "apk_"


class Scope(StrEnum):
    """What a key opens.

    predict: ask models. label: send labels. read: metrics, and every reading call of the control API. admin: all.
    """

    PREDICT = "predict"
    LABEL = "label"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A good key, and what it opens."""

    name: str
    scopes: frozenset[Scope]

    def opens(self, scope: Scope) -> bool:
        """The key has that scope, or is an admin's."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def hash_key(key: str) -> bytes:
    """What is stored of a key: 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).digest()


def parse_scopes(scope: str) -> frozenset[Scope]:
    """The scopes of a comma-joined text.

    Raises:
        ValueError: One of them is no scope.
    """
    return frozenset(Scope(part.strip()) for part in scope.split(","))


class KeyRing:
    """Checks keys against the state database; remembers good ones until the database changes. Safe for threads."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen_version = -1
        self._good: dict[str, KeyInfo] = {}

    def check(self, key: str) -> KeyInfo | None:
        """What the key opens; None when it is unknown or revoked.

        Raises:
            StateUnwritable: The database cannot be opened.
            StaleSchema: Its schema is not this program's.
        """
        if not key.startswith(KEY_PREFIX):
            return None
        with self._lock:
            if self._connection is None:
                self._connection = statedb.connect(self._database, read_only=True)
            # It changes with every commit of another connection, so that a revocation acts at once.
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._seen_version:
                self._good.clear()
                self._seen_version = version
            if (known := self._good.get(key)) is not None:
                return known
            row = key_rows.find_key_by_hash(self._connection, hash_key(key))
            if row is None:
                return None
            info = KeyInfo(name=row.name, scopes=parse_scopes(row.scope))
            self._good[key] = info
            return info

    def close(self) -> None:
        """Close the database; a later check opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

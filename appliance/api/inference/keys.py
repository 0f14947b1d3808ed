"""API keys as the serving process sees them: looked up once in the state database, then remembered until it changes."""

from __future__ import annotations

import os
import sqlite3
from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256

from appliance.api.inference.errors import NoKey, WrongScope
from appliance.errors import NotReady
from storage.errors import StorageError
from storage.key_rows import find_key_by_hash
from storage.layout import Layout
from storage.statedb import connect

PREDICT = "predict"
LABEL = "label"
READ = "read"
ADMIN = "admin"

Headers = Mapping[bytes, bytes]


class KeyRing:
    """Checks the key of each request; used from one thread.

    A key made a moment ago opens at once, since an unknown one is looked up; a revoked one stops opening with the next
    ``refresh``.

    Attributes:
        problem: Why keys cannot be looked up now, else empty.
    """

    def __init__(self, layout: Layout) -> None:
        """Open the state database.

        Raises:
            StateUnwritable: It cannot be opened.
            StaleSchema: It has another schema than this program.
        """
        self._path = layout.database
        self._known: dict[bytes, frozenset[str]] = {}
        self._seen = 0
        self.problem = ""
        self._open()

    def check(self, headers: Headers, accepted: frozenset[str]) -> bytes:
        """Let a request pass; gives the digest of its key.

        Args:
            headers: Of the request, by name in lower case.
            accepted: Scopes of which the key must have one; admin opens everything.

        Raises:
            NoKey: No key was sent, or no good key is that.
            WrongScope: The key has none of the scopes.
            NotReady: The key cannot be checked, since the state database cannot be read.
        """
        key = headers.get(b"x-api-key") or _find_credentials(headers)
        if key is None:
            raise NoKey(
                "send an API key as 'Authorization: Bearer KEY', as 'X-API-Key: KEY', or as the password of basic "
                "authentication (http://any:KEY@host/) where a client takes an address alone"
            )
        digest = sha256(key).digest()
        scopes = self._known.get(digest)
        if scopes is None:
            digest, scopes = self._look_up_either(digest, headers)
        if accepted.isdisjoint(scopes) and ADMIN not in scopes:
            raise WrongScope(
                f"this key has the scope {','.join(sorted(scopes))}; needed: {' or '.join(sorted(accepted))}"
            )
        return digest

    def refresh(self) -> None:
        """Forget what was remembered if the database changed since; costs two system calls when it did not."""
        try:
            if os.stat(self._path).st_ino != self._inode:  # noqa: PTH116  (five times a second)
                self._connection.close()
                self._open()
            changed = self._data_version()
        except (OSError, sqlite3.Error, StorageError) as exc:
            self._known.clear()  # each request now asks the database, and is told when it cannot be read
            self.problem = f"API keys cannot be checked, {self._path} cannot be read: {exc}"
            return
        self.problem = ""
        if changed != self._seen:
            self._seen = changed
            self._known.clear()

    def close(self) -> None:
        """Close the state database."""
        self._connection.close()

    def _open(self) -> None:
        self._connection = connect(self._path, read_only=True)
        self._inode = self._path.stat().st_ino
        self._seen = self._data_version()
        self._known.clear()

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _look_up_either(self, digest: bytes, headers: Headers) -> tuple[bytes, frozenset[str]]:
        """The key, or the one in ``Authorization`` when ``X-API-Key`` turns out to be a gateway's own."""
        try:
            return digest, self._look_up(digest)
        except NoKey:
            credentials = _find_credentials(headers)
            other = digest if credentials is None else sha256(credentials).digest()
            if other == digest:
                raise
            return other, self._known.get(other) or self._look_up(other)

    def _look_up(self, digest: bytes) -> frozenset[str]:
        try:
            row = find_key_by_hash(self._connection, digest)
        except sqlite3.Error as exc:
            raise NotReady(f"API keys cannot be checked, {self._path} cannot be read: {exc}") from exc
        if row is None:
            raise NoKey("this API key opens nothing: it was mistyped, revoked, or made on another appliance")
        scopes = frozenset(part.strip() for part in row.scope.split(","))
        self._known[digest] = scopes
        return scopes


def _find_credentials(headers: Headers) -> bytes | None:
    """The key in ``Authorization``; a proxy before us may have put something of its own there."""
    given = headers.get(b"authorization")
    if given is not None:
        if given[:7].lower() == b"bearer ":
            return given[7:].strip()
        if given[:6].lower() == b"basic ":
            return _find_password(given[6:])
    return None


def _find_password(credentials: bytes) -> bytes | None:
    """The password of basic authentication: the clients of some dialects can be given nothing but an address."""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2] or None
    except ValueError:
        return None

"""Who is logged in to the dashboard: random tokens, remembered by their hash, over a restart too."""

from __future__ import annotations

import hashlib
import secrets
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

LIFETIME_S = 7 * 24 * 3600
"""A session ends this long after the login, however busy it is; also one that a clock has dated so far ahead."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One login.

    Attributes:
        user: The user's name; the role is looked up anew each time, so that a changed role acts at once.
        started_s: Seconds since 1970.
    """

    user: str
    started_s: float


class Sessions:
    """The open sessions of one dashboard; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        with suppress(OSError, msgspec.DecodeError):  # a lost file costs a login, nothing else
            self._open = msgspec.json.decode(path.read_bytes(), type=dict[str, Session])

    def open(self, user: str, *, now_s: float) -> str:
        """Begin a session and return its token, 43 url-safe characters that are stored nowhere."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_digest(token)] = Session(user=user, started_s=now_s)
            self._write(now_s)
        return token

    def find(self, token: str | None, *, now_s: float) -> str | None:
        """The user of a token, or None when it is unknown, closed or too old."""
        session = self._open.get(_digest(token)) if token else None
        return session.user if session and abs(now_s - session.started_s) < LIFETIME_S else None

    def close(self, token: str | None, *, now_s: float) -> None:
        """End one session; an unknown token is no error."""
        if token:
            with self._lock:
                self._open.pop(_digest(token), None)
                self._write(now_s)

    def close_all(self, user: str, *, but: str | None = None, now_s: float) -> None:
        """End every session of a user, after a new password for example, except the one of ``but``."""
        kept = _digest(but) if but else None
        with self._lock:
            self._open = {key: one for key, one in self._open.items() if one.user != user or key == kept}
            self._write(now_s)

    def _write(self, now_s: float) -> None:
        self._open = {key: one for key, one in self._open.items() if abs(now_s - one.started_s) < LIFETIME_S}
        with suppress(OSError):  # a full disk must not keep anybody from looking at the dashboard
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            draft = self._path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_bytes(msgspec.json.encode(self._open))
            draft.replace(self._path)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

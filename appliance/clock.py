"""The time by which ages are judged: a clock that jumped must not make all that is kept look old."""

from __future__ import annotations

import ctypes
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from storage.layout import Layout
from storage.statedb import connect
from storage.window_rows import Heartbeat, find_heartbeat, put_heartbeat

MOST_AWAY = timedelta(days=45)
"""A host that was off for longer, or whose clock ran ahead so far, is asked to say the same date for a while."""

HELD = timedelta(days=3)

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this release was made: a box without a battery that begins at 1970, or at its systemd's own date, is wrong."""

SETTLED, AHEAD = "clock", "clock-ahead"
"""Heartbeats: the newest day that was believed, and the first one that was not."""


def trusted_now(layout: Layout) -> datetime:
    """Now; or, while the clock is far ahead of the last day it was asked on, or says no day that can be, that day.

    Raises:
        StorageError: The state database cannot be written.
    """
    with closing(connect(layout.database)) as connection:
        return believe(connection, datetime.now(UTC), kept_right=bool(is_synchronised()))


def read_clock(connection: sqlite3.Connection) -> datetime:
    """The same without writing what is believed."""
    now = datetime.now(UTC)
    last, ahead = find_heartbeat(connection, SETTLED), find_heartbeat(connection, AHEAD)
    return now if last is None or _is_believed(last, ahead, now, kept_right=bool(is_synchronised())) else last.at


def believe(connection: sqlite3.Connection, now: datetime, *, kept_right: bool) -> datetime:
    """What the clock says, or the last day on which it was believed.

    Args:
        connection: Of the state database; what is believed is written there.
        now: What the clock says.
        kept_right: A time server keeps it, whose word is taken at once. Any other clock that jumped must go on from
            there for three days first.
    """
    last, ahead = find_heartbeat(connection, SETTLED), find_heartbeat(connection, AHEAD)
    if now < EARLIEST:
        return now if last is None else last.at
    if last is None or _is_believed(last, ahead, now, kept_right=kept_right):
        if last is None or last.at.date() != now.date():
            put_heartbeat(connection, SETTLED, Heartbeat(at=now, detail=""))
        return now
    if ahead is None or not timedelta(0) <= now - ahead.at <= MOST_AWAY:
        put_heartbeat(connection, AHEAD, Heartbeat(at=now, detail=f"believed before: {last.at:%Y-%m-%d}"))
    return last.at


def _is_believed(last: Heartbeat, ahead: Heartbeat | None, now: datetime, *, kept_right: bool) -> bool:
    if now < EARLIEST:
        return False
    has_held = ahead is not None and HELD <= now - ahead.at <= MOST_AWAY
    return now - last.at <= MOST_AWAY or kept_right or has_held


def is_synchronised() -> bool | None:
    """Whether the kernel says that the clock is kept right, whoever does it; None where it may not be asked.

    ``adjtimex`` with no modes set changes nothing; it returns TIME_ERROR while STA_UNSYNC is set, see adjtimex(2).
    """
    time_error = 5
    nothing = ctypes.create_string_buffer(512)  # larger than struct timex, all zero: modes = 0
    found = ctypes.CDLL(None).adjtimex(nothing)
    return None if found < 0 else found != time_error

"""The event log and the history: one compaction at a time, which gives way to whoever needs them to stand still.

A compaction holds ``run/compaction.lock``. Who waits for it holds ``run/compaction.wanted`` meanwhile, shared; the
compaction looks there every few megabytes, and ends early when somebody waits. It runs at the lowest priority: on a
busy host one segment would take it minutes. Both locks go with their processes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from storage.errors import StateUnwritable
from storage.holders import describe_holders
from storage.layout import Layout

LOOK_S = 0.1


@contextmanager
def compacting(layout: Layout) -> Iterator[Callable[[], bool]]:
    """No other compaction, and nobody who needs the log to stand still; gives whether somebody waits for that.

    Raises:
        OSError: The state cannot be written.
    """
    with _lock_file(layout).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: _is_wanted(layout)


@contextmanager
def standing_still(
    layout: Layout,
    *,
    wait_s: float | None = None,
    waiting: Callable[[str], None] = lambda _: None,
    owner: tuple[int, int] | None = None,
) -> Iterator[None]:
    """No segment becomes history until this is over; a compaction that is at work ends soon.

    Args:
        layout: The state.
        wait_s: So long at most; None for as long as it takes, also behind a backup.
        waiting: Told, when it has to wait, for whom.
        owner: User and group of the state, where we are another one.

    Raises:
        StateUnwritable: Somebody else was not done within ``wait_s``.
        OSError: The state cannot be written.
    """
    with _lock_file(layout).open("a") as lock:
        with _wanted_file(layout).open("a") as wanted:
            for file in (lock, wanted):
                if owner is not None:
                    os.fchown(file.fileno(), *owner)
            fcntl.flock(wanted, fcntl.LOCK_SH)
            _acquire(lock, layout, wait_s, waiting)
        yield


def _acquire(lock: IO[str], layout: Layout, wait_s: float | None, waiting: Callable[[str], None]) -> None:
    if _try(lock):
        return
    who = describe_holders(_lock_file(layout))
    waiting(who)
    if wait_s is None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return
    end = time.monotonic() + wait_s
    while not _try(lock):
        if time.monotonic() >= end:
            raise StateUnwritable(
                f"{who} did not let go of {_lock_file(layout)} within {wait_s:.0f} s; let that end, and try again"
            )
        time.sleep(LOOK_S)


def _try(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_wanted(layout: Layout) -> bool:
    with _wanted_file(layout).open("a") as wanted:
        return not _try(wanted)


def _lock_file(layout: Layout) -> Path:
    return layout.run / "compaction.lock"


def _wanted_file(layout: Layout) -> Path:
    return layout.run / "compaction.wanted"

"""Faults that pass by themselves: the same work, tried again a little later, may succeed without anybody's doing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from storage.errors import SourceUnreachable

Done = TypeVar("Done")

PAUSES_S = (1.0, 5.0, 20.0)
"""Before each further attempt."""

_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIMARY = 0xFF
"""The bits of SQLite's extended result code that are the code itself."""


def may_pass(error: BaseException) -> bool:
    """Whether what went wrong, or what that came from, may pass by itself.

    That is a SQLite database (the state's, MLflow's, a source) that somebody else holds, and a server that does not
    answer or says that it cannot now. A full disk, wrong rows and wrong settings stay as they are.
    """
    return any(
        isinstance(cause, SourceUnreachable)
        or (isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & _PRIMARY in _IN_USE)
        for cause in _causes(error)
    )


def try_again(work: Callable[[], Done], say: Callable[[str], None], *, pauses_s: tuple[float, ...] = PAUSES_S) -> Done:
    """Do work that may be done again; once more after each pause while it fails for what may pass.

    Args:
        work: Leaves nothing half-done when it fails.
        say: Told of each fault that is tried again, in a sentence.
        pauses_s: Seconds before each further attempt.

    Raises:
        Exception: What the work raised last, or at once what does not pass by itself.
    """
    for attempt, pause_s in enumerate(pauses_s, start=1):
        try:
            return work()
        except Exception as exc:
            if not may_pass(exc):
                raise
            say(f"{exc}; this may pass: tried again in {pause_s:g} s (attempt {attempt + 1} of {len(pauses_s) + 1})")
        time.sleep(pause_s)
    return work()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__

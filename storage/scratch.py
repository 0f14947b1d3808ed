"""Directories for what is needed while something is read: gone with the process that made them, however it ends.

Each is locked by its maker. Whoever makes one removes those that nobody holds any more: their makers were killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from storage.errors import StateUnwritable

PREFIX = "scratch-"
YOUNG_S = 60.0
"""A directory this young may belong to somebody who has not locked it yet."""


def open_scratch(tmp: Path, stack: contextlib.ExitStack) -> Path:
    """A new directory below ``tmp``, which ``stack`` removes.

    Raises:
        StateUnwritable: It cannot be made.
    """
    remove_abandoned(tmp)
    try:
        made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=tmp)))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise StateUnwritable(f"cannot write below {tmp}: {exc.strerror}; run 'appliance doctor'") from exc
    stack.callback(os.close, lock)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return made


def remove_abandoned(tmp: Path) -> None:
    """Remove the directories that no process holds."""
    for path in tmp.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody holds it, or has just removed it
            if time.time() - path.stat().st_mtime < YOUNG_S:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)

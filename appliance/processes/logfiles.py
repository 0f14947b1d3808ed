"""The processes' log files where there is no journal: appended to by the processes, bounded by the supervisor."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from storage.layout import Layout

MAX_BYTES = 8 << 20
KEPT = 3


def log_path(layout: Layout, name: str) -> Path:
    """The current log of a process."""
    return layout.logs / f"{name}.log"


def open_log(path: Path) -> int:
    """A descriptor that appends, so that the file may be emptied under the process that writes it."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def bound_log(path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> bool:
    """Move a log that grew too large to ``.1`` (``.1`` to ``.2``, …) and empty it.

    The writer keeps its descriptor, so the file is copied and emptied: lines of that very moment may be lost.

    Returns:
        Whether it was moved.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
        for number in range(kept - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError:
        return False  # a full disk must not stop the supervisor; the next look tries again
    return True


def read_tail(path: Path, *, lines: int | None) -> list[str]:
    """The last lines of a log, or all of it, oldest first; empty when there is none."""
    try:
        with path.open("rb") as file:
            if lines is not None:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - lines * 400))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-(lines or 0) :]


class Follower:
    """Reads what was appended to a log since the last look; starts at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def read_lines(self) -> list[str]:
        """The complete lines since the last call."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0  # it was emptied
                file.seek(self._offset)
                chunk = file.read()
        except OSError:
            return []
        self._offset += len(chunk)
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in complete]

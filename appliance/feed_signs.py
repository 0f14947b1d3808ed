"""What tells that a feed has something to do: the clock, and the names and times of a folder's files.

Imports nothing heavy, since the runner looks every few seconds; the work itself is in ``appliance.feeds``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.cron import next_after
from storage.errors import SourceUnreadable
from storage.feeds import Feed, FeedStatus, find_feed, find_status, list_fed
from storage.layout import Layout

SETTLED_S = 2.0
"""A file that was changed less than this ago may still be written."""

RETRY_S = 60.0
"""Before a schedule that could not even say how it went is tried again."""

UNREADY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp")
"""Endings that programs give to what they are still writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedFile:
    """A file below a watched folder.

    Attributes:
        name: Its path there, and what it is known by.
        path: Where it lies.
        bytes: Its size.
        changed_ns: The later of its times, in ns since 1970: with the size it tells whether the file is as it was.
        written_ns: When its content or its entry changed last (ctime): the one time that no program can set.
    """

    name: str
    path: Path
    bytes: int
    changed_ns: int
    written_ns: int


def ready_files(folder: Path, now: float) -> list[WatchedFile]:
    """The files below a folder that have settled, by name; hidden and unready ones are left out.

    Where some were written in the future, by the clock of a share for example, this looks twice: they have settled
    where they are as they were ``SETTLED_S`` ago.

    Args:
        folder: Where to look.
        now: Seconds since 1970.

    Raises:
        OSError: The folder is not there or cannot be read.
    """
    files = look_below(folder)
    if ahead := written_ahead(files, now):
        time.sleep(SETTLED_S)
        files = look_below(folder)
    return settled(files, now, ahead)


def look_below(folder: Path) -> list[WatchedFile]:
    """The files below a folder, settled or not, by name; hidden and unready ones are left out.

    Raises:
        OSError: The folder is not there or cannot be read.
    """
    return sorted(_below(folder, folder), key=lambda file: file.name)


def settled(files: Sequence[WatchedFile], now: float, ahead: Set[WatchedFile]) -> list[WatchedFile]:
    """Those that nobody writes any more; ``ahead`` were written in the future when they were looked at before."""
    latest_ns = int((now - SETTLED_S) * 1e9)
    return [file for file in files if file.written_ns <= latest_ns or file in ahead]


def written_ahead(files: Sequence[WatchedFile], now: float) -> frozenset[WatchedFile]:
    """Those that were written in the future."""
    return frozenset(file for file in files if file.written_ns > int(now * 1e9))


def _below(folder: Path, root: Path) -> Iterator[WatchedFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")) or entry.name.lower().endswith(UNREADY):
                continue
            path = Path(entry.path)
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(path, root)
                elif entry.is_file():
                    found = entry.stat()
                    yield WatchedFile(
                        name=path.relative_to(root).as_posix(), path=path, bytes=found.st_size,
                        changed_ns=max(found.st_mtime_ns, found.st_ctime_ns), written_ns=found.st_ctime_ns,
                    )  # fmt: skip
            except FileNotFoundError:
                continue  # renamed or taken away while this looked: the folder itself is well


def next_run(feed: Feed, status: FeedStatus) -> datetime | None:
    """When a schedule is due, UTC; None for a folder. A time that was missed is due once, not as often as missed."""
    return None if feed.schedule is None else next_after(feed.schedule, status.ran_at or feed.declared_at)


class Signs:
    """What was seen last, so that work is done when something changed."""

    def __init__(self) -> None:
        self._seen: dict[str, list[WatchedFile]] = {}
        self._ahead: dict[str, frozenset[WatchedFile]] = {}
        self._tried: dict[str, float] = {}

    def look(self, layout: Layout) -> bool:
        """Whether some feed has something to do; asked again at once, it has not."""
        due = [name for name in list_fed(layout) if self._is_due(layout, name)]  # every folder is looked at
        return bool(due)

    def forget(self) -> None:
        """The work was not finished: whatever there is to do is to do."""
        self._seen.clear()

    def _is_due(self, layout: Layout, name: str) -> bool:
        try:
            feed = find_feed(layout, name)
        except SourceUnreadable:
            return False  # whoever lists the feeds hears of it
        if feed is None:
            return False
        if feed.folder is not None:
            return self._is_new(name, Path(feed.folder))
        due = next_run(feed, find_status(layout, name))
        if due is None or due > datetime.now(UTC) or time.monotonic() - self._tried.get(name, -RETRY_S) < RETRY_S:
            return False
        self._tried[name] = time.monotonic()
        return True

    def _is_new(self, name: str, folder: Path) -> bool:
        try:
            files, now = look_below(folder), time.time()
        except OSError:
            files, now = [], 0.0  # told once by those who do the work
        found = settled(files, now, self._ahead.get(name, frozenset()))
        self._ahead[name] = written_ahead(files, now)
        is_new = found != self._seen.get(name)
        self._seen[name] = found
        return is_new

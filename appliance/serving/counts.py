"""Counters and latency histograms of the serving processes, in shared files so that any worker can add all of them up.

Each worker has one small file for each model version: a fixed array of float64, mapped into memory. Adding costs no
system call; a scrape reads every worker's files. The files are wiped when the service starts.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

STATUSES = (200, 202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 499, 500, 503, 507)
"""HTTP statuses that are counted, each in a series of its own; 499 is a caller that went away."""

BOUNDS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency buckets, seconds."""

_STATUS_INDEX = {status: index for index, status in enumerate(STATUSES)}
_ROWS = len(STATUSES)
_UNSEEN = _ROWS + 1
_LOST = _UNSEEN + 1
_OFF = _LOST + 1
_SYNCS = _OFF + 1
_SHADOW = _SYNCS + 1
_IN_FLIGHT = _SHADOW + 3
_ROOM = _IN_FLIGHT + 1
_QUEUED = _ROOM + 1
_SECONDS = _QUEUED + 1
_BUCKETS = _SECONDS + 1
_LENGTH = _BUCKETS + len(BOUNDS_S) + 1
_FORMAT = struct.Struct(f"{_LENGTH}d")
_NAME = re.compile(r"(?P<worker>\d+)-(?P<model>.*)@(?P<version>\d+)\.counts")


class Tally:
    """Sums over workers for one model version."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = [0.0] * _LENGTH

    def add(self, values: tuple[float, ...]) -> None:
        """Add one worker's numbers."""
        self.values = [left + right for left, right in zip(self.values, values, strict=True)]

    @property
    def statuses(self) -> Iterator[tuple[int, float]]:
        """``(HTTP status, requests)``."""
        return zip(STATUSES, self.values, strict=False)

    @property
    def rows(self) -> float:
        """Predictions answered."""
        return self.values[_ROWS]

    @property
    def unseen(self) -> float:
        """Cells with a category that training never saw."""
        return self.values[_UNSEEN]

    @property
    def lost(self) -> float:
        """Predictions answered that the event log could not take."""
        return self.values[_LOST]

    @property
    def off(self) -> float:
        """Workers whose event log cannot be written now; in the series of the unknown model."""
        return self.values[_OFF]

    @property
    def syncs(self) -> float:
        """How often the disk was waited for; in the series of the unknown model."""
        return self.values[_SYNCS]

    @property
    def shadow(self) -> tuple[float, float, float]:
        """Requests scored as a shadow, dropped under load, failed."""
        scored, dropped, failed = self.values[_SHADOW : _SHADOW + 3]
        return scored, dropped, failed

    @property
    def in_flight(self) -> float:
        """Requests with a body that are being read, scored or recorded now; in the series of the unknown model."""
        return self.values[_IN_FLIGHT]

    @property
    def room(self) -> float:
        """How many may be at once; in the series of the unknown model."""
        return self.values[_ROOM]

    @property
    def queued(self) -> float:
        """Requests that wait for this version to score them as a shadow."""
        return self.values[_QUEUED]

    @property
    def seconds(self) -> float:
        """Sum of the durations in the buckets."""
        return self.values[_SECONDS]

    @property
    def buckets(self) -> list[float]:
        """Answered requests a bucket, not cumulated; the last is beyond the last bound."""
        return self.values[_BUCKETS:]


class Series:
    """One worker's numbers for one model version."""

    __slots__ = ("_cells", "_memory")

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._cells = memoryview(memory)[: _FORMAT.size].cast("d")
        # Nothing of what a worker that died had in its hands is there any more.
        self._cells[_IN_FLIGHT] = self._cells[_ROOM] = self._cells[_QUEUED] = 0.0

    def count_status(self, status: int) -> None:
        """Count a request by its answer's status; one that is not in ``STATUSES`` counts as 500."""
        self._cells[_STATUS_INDEX.get(status, _STATUS_INDEX[500])] += 1.0

    def count_shadow(self, *, scored: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """Count requests that this version scored as a shadow, had no time for, or failed on."""
        cells = self._cells
        cells[_SHADOW] += scored
        cells[_SHADOW + 1] += dropped
        cells[_SHADOW + 2] += failed

    def note_in_flight(self, requests: int) -> None:
        """Say how many requests with a body this worker has in its hands."""
        self._cells[_IN_FLIGHT] = requests

    def note_room(self, requests: int) -> None:
        """Say how many this worker takes at once."""
        self._cells[_ROOM] = requests

    def queue(self, requests: int) -> None:
        """Add requests to those that wait for this version as a shadow, or take them away."""
        self._cells[_QUEUED] += requests

    def observe(self, seconds: float, rows: int, unseen: int) -> None:
        """Count an answered prediction request."""
        cells = self._cells
        cells[0] += 1.0
        cells[_ROWS] += rows
        cells[_SECONDS] += seconds
        cells[_BUCKETS + bisect_left(BOUNDS_S, seconds)] += 1.0
        if unseen:
            cells[_UNSEEN] += unseen

    def count_lost(self, predictions: int) -> None:
        """Count predictions that were answered and not recorded."""
        self._cells[_LOST] += predictions

    def note_capture(self, *, off: bool) -> None:
        """Say whether this worker's event log cannot be written now."""
        self._cells[_OFF] = float(off)

    def count_syncs(self, syncs: int) -> None:
        """Count waits for the disk."""
        self._cells[_SYNCS] += syncs


class Counts:
    """All series of one worker, and the sums over all workers."""

    def __init__(self, directory: Path, worker: int) -> None:
        self._directory = directory
        self._worker = worker
        self._series: dict[tuple[str, int], Series] = {}

    def series(self, model: str, version: int) -> Series:
        """The numbers of a model version, made on first sight, starting from what this worker's slot had counted."""
        return self._series.get((model, version)) or self._open(model, version)

    def totals(self) -> dict[tuple[str, int], Tally]:
        """Every worker's numbers, added up by ``(model, version)``, sorted."""
        found: dict[tuple[str, int], Tally] = {}
        for path in sorted(self._directory.glob("*.counts")):
            if match := _NAME.fullmatch(path.name):
                content = path.read_bytes()
                if len(content) >= _FORMAT.size:
                    key = unquote(match["model"]), int(match["version"])
                    found.setdefault(key, Tally()).add(_FORMAT.unpack_from(content))
        return dict(sorted(found.items()))

    def workers(self) -> list[Tally]:
        """Each worker's own numbers of the series of the unknown model, in the order of their slots."""
        found: dict[int, Tally] = {}
        for path in self._directory.glob("*-@0.counts"):
            content = path.read_bytes()
            if (match := _NAME.fullmatch(path.name)) and len(content) >= _FORMAT.size:
                found.setdefault(int(match["worker"]), Tally()).add(_FORMAT.unpack_from(content))
        return [found[worker] for worker in sorted(found)]

    def _open(self, model: str, version: int) -> Series:
        path = self._directory / f"{self._worker}-{quote(model, safe='')}@{version}.counts"
        series = Series(_map(path))
        self._series[model, version] = series
        return series


def wipe(directory: Path) -> None:
    """Forget the numbers of the service's last run."""
    shutil.rmtree(directory, ignore_errors=True)


def _map(path: Path) -> mmap.mmap:
    """The file's memory; memory of this process alone when there is no room for the file.

    The blocks are allocated first: touching a page of a sparse file on a full disk would kill the process.
    """
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(fd, 0, mmap.PAGESIZE)
            return mmap.mmap(fd, mmap.PAGESIZE)
        finally:
            os.close(fd)
    except OSError:
        return mmap.mmap(-1, mmap.PAGESIZE)

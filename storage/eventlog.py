"""The append-only event log: NDJSON segments, one ``os.write`` a record.

A record that was appended survives ``kill -9`` of the writer, because the kernel has it. A segment has one writer
(a process), so records never interleave; a writer starts a new segment, never continues an old one. A line that a
power cut tore has no newline or no valid JSON: readers skip and count it.
"""

from __future__ import annotations

import fcntl
import os
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from storage.errors import EventLogUnwritable

ID_PREFIX = b'{"id":"'
"""Every record of the log starts with its id, so that a scan by id needs no JSON decoding."""

_BUFFER_BYTES = 256 << 10
"""Lines of half a kilobyte are found in twice the time where a buffer holds only a dozen of them."""

STAMP = "%Y%m%dT%H%M%S.%f"
"""A segment's name begins with the time it was opened, UTC."""


class EventWriter:
    """Appends records to segments of one kind; one instance a process and kind, not shared between threads.

    The segment being written is locked (``flock``); the kernel drops the lock with the process, so that a closed
    segment is told from an open one after any crash.
    """

    def __init__(
        self, directory: Path, *, max_segment_bytes: int = 64 << 20, max_age_s: float = 3600.0, durable: bool = False
    ) -> None:
        """Nothing is opened before the first record.

        Args:
            directory: The segments of one kind.
            max_segment_bytes: A record that would go beyond begins a new segment.
            max_age_s: So old a segment is closed by ``close_if_old``.
            durable: Remember for ``take_unsynced`` what the disk may not have yet.
        """
        self._directory = directory
        self._max_segment_bytes = max_segment_bytes
        self._max_age_s = max_age_s
        self._durable = durable
        self._unsynced: list[int] = []
        self._dirty = False
        self._fd = -1
        self._size = 0
        self._opened_s = 0.0
        self._serial = 0

    def append(self, record: bytes) -> None:
        """Append one record, a JSON object without a newline; on return the kernel has it.

        Raises:
            EventLogUnwritable: The disk is full or read-only. The segment is as it was before.
        """
        line = record + b"\n"
        if self._fd < 0 or self._size + len(line) > self._max_segment_bytes:
            self._open_segment()
        try:
            written = os.write(self._fd, line)
        except OSError as exc:
            raise EventLogUnwritable(f"cannot append to {self._directory}: {exc.strerror}") from exc
        if written != len(line):
            os.ftruncate(self._fd, self._size)
            raise EventLogUnwritable(f"cannot append to {self._directory}: the disk is full")
        self._size += written
        self._dirty = True

    def take_unsynced(self) -> list[int]:
        """Descriptors of all files and directories to be flushed for what was appended so far; the caller closes them.

        Always empty for a writer that is not ``durable``.
        """
        if self._durable and self._dirty and self._fd >= 0:
            self._unsynced.append(os.dup(self._fd))
            self._dirty = False
        taken, self._unsynced = self._unsynced, []
        return taken

    def sync(self) -> None:
        """Wait until the disk has everything appended so far."""
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close_if_old(self) -> None:
        """Close a segment that was opened too long ago, so that it can be compacted though nothing more comes."""
        if self._fd >= 0 and time.monotonic() - self._opened_s >= self._max_age_s:
            self.close()

    def close(self) -> None:
        """Close the segment; a later append starts a new one."""
        if self._fd < 0:
            return
        if self._durable and self._dirty:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._unsynced.append(self._fd)
        else:
            os.close(self._fd)
        self._fd = -1
        self._dirty = False

    def _open_segment(self) -> None:
        self.close()
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            while self._fd < 0:
                self._fd = self._create()
            if self._durable:
                self._unsynced += [
                    os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    for directory in (self._directory, self._directory.parent)
                ]
        except OSError as exc:
            self.close()
            raise EventLogUnwritable(f"cannot open a segment in {self._directory}: {exc.strerror}") from exc
        self._size = 0
        self._opened_s = time.monotonic()

    def _create(self) -> int:
        """A new, locked segment; -1 when somebody took it for a closed one before it was locked."""
        stamp = datetime.fromtimestamp(time.time(), UTC).strftime(STAMP)
        self._serial += 1
        path = self._directory / f"{stamp}-{os.getpid()}-{self._serial}.ndjson"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)
        return -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Whole lines of one segment, from byte ``start`` to byte ``end``."""

    segment: str
    start: int
    end: int
    lines: list[bytes]


def free_bytes(directory: Path) -> int:
    """What this user may still write on the directory's file system; 0 when that cannot be asked."""
    try:
        facts = os.statvfs(directory)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize


def is_closed(segment: Path) -> bool:
    """Whether no process writes the segment any more."""
    fd = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def list_segments(directory: Path) -> list[Path]:
    """The segments of one kind, oldest first."""
    return sorted(directory.glob("*.ndjson"))


def tail(
    directory: Path, cursors: Mapping[str, int], *, max_bytes: int = 8 << 20, segments: Iterable[Path] | None = None
) -> Iterator[Chunk]:
    """What was appended behind the cursors, oldest segment first, at most ``max_bytes`` a chunk.

    Args:
        directory: The segments of one kind.
        cursors: Segment name to the byte up to which it was read.
        max_bytes: Upper bound of one chunk; a longer line is still given whole.
        segments: These alone.

    Yields:
        Chunks that end on a line's end; a torn last line stays unread.
    """
    for path in list_segments(directory) if segments is None else segments:
        start = cursors.get(path.name, 0)
        if _size(path) <= start:
            continue  # most have not grown, and none of those is opened
        with _open(path) as file:
            file.seek(start)
            while data := file.read(max_bytes):
                if not data.endswith(b"\n"):
                    data += file.readline()
                whole = data.rfind(b"\n") + 1
                if whole == 0:
                    break
                yield Chunk(segment=path.name, start=start, end=start + whole, lines=data[:whole].splitlines())
                start += whole
                if whole != len(data):
                    break


def scan_ids(directory: Path, ids: Collection[bytes], *, segments: Iterable[Path] | None = None) -> Iterator[bytes]:
    """The records whose id is among ``ids``; reads the given segments, else every one, decodes none of the others."""
    wanted = frozenset(ids)
    head = len(ID_PREFIX)
    for path in list_segments(directory) if segments is None else segments:
        with _open(path) as file:
            for line in file:
                if line[head : line.find(b'"', head)] in wanted and line.endswith(b"\n"):
                    yield line[:-1]


def id_of(record: bytes) -> str:
    """The id of a record, read without decoding the rest."""
    head = len(ID_PREFIX)
    return record[head : record.find(b'"', head)].decode()


def _size(path: Path) -> int:
    """In bytes; 0 when it has become history since it was listed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _open(path: Path) -> BinaryIO:
    """The segment, or nothing when it has become history since it was listed."""
    try:
        return path.open("rb", buffering=_BUFFER_BYTES)
    except FileNotFoundError:
        return BytesIO()


def segments_at(directory: Path, moments: Iterable[float], *, slack_s: float = 60.0) -> list[Path]:
    """The segments that were being written at one of the moments, by their name and last change, oldest first.

    Args:
        directory: The segments of one kind.
        moments: Seconds since 1970, UTC.
        slack_s: How far clocks may have jumped.
    """
    times = sorted(moments)
    return [path for path in list_segments(directory) if _was_open(path, times, slack_s)]


def _was_open(path: Path, times: list[float], slack_s: float) -> bool:
    try:
        started = datetime.strptime(path.name.partition("-")[0], STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return True
    first = bisect_left(times, started - slack_s)
    try:
        return first < len(times) and times[first] <= path.stat().st_mtime + slack_s
    except FileNotFoundError:  # it has become history
        return False

"""What a serving process writes into the event log, before it answers: predictions, labels, and what it refused.

A log that cannot be written stops the capture, never the answers: predictions go out unrecorded and are counted, until
a later ``flush`` finds that the log can be written again. Labels are accepted only when they are written.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Awaitable

import msgspec

from appliance.events import StatsEvent
from appliance.serving.group_commit import GroupCommit
from storage.errors import EventLogUnwritable
from storage.eventlog import EventWriter, free_bytes
from storage.layout import Layout

LOOK_BYTES = 1 << 20
"""Bytes appended between two looks at the free space; ``flush`` looks too."""

EASING = 1.25
"""A capture that stopped at the reserve begins again with so many times the reserve free, so that it does not flap."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class Capture:
    """The event log of one serving process; used from one thread.

    Attributes:
        problem: Why records cannot be written, else empty; predictions are answered meanwhile, labels are not accepted.
    """

    def __init__(self, layout: Layout, *, reserve_bytes: int = 0, durable: bool = False) -> None:
        """Nothing is written yet.

        Args:
            layout: The state.
            reserve_bytes: Left free on the disk, for the state database and whatever else needs a little.
            durable: ``synced`` waits for the disk.
        """
        self._layout = layout
        self._reserve_bytes = reserve_bytes
        self._predictions = EventWriter(layout.events / "predictions", durable=durable)
        self._labels = EventWriter(layout.events / "labels", durable=durable)
        self._stats = EventWriter(layout.events / "stats")
        self._refused: Counter[tuple[str, int, int]] = Counter()
        self._lost: Counter[tuple[str, int]] = Counter()
        self._fields: Counter[tuple[str, int, str]] = Counter()
        self._types: Counter[tuple[str, int, str]] = Counter()
        self._unlooked = LOOK_BYTES
        self._serial = 0
        self._encode = msgspec.json.Encoder().encode
        self._commit = GroupCommit(self._take_unsynced, self._note_failed) if durable else None
        self.problem = ""

    def append_prediction(self, record: bytes) -> bool:
        """Append one prediction event; False when it is lost, at once while the log is known to be unwritable."""
        if self.problem:
            return False
        try:
            self._append(self._predictions, record)
        except EventLogUnwritable:
            return False  # the problem is kept
        return True

    def append_labels(self, records: list[bytes]) -> None:
        """Append label events, all or none of them.

        Raises:
            EventLogUnwritable: None was written.
        """
        self._unlooked = LOOK_BYTES  # labels are rare, and the caller shall know for certain
        self._append(self._labels, b"\n".join(records))

    def synced(self) -> Awaitable[None] | None:
        """What to wait for until the disk has everything appended so far; None when nobody is to wait.

        Awaiting it raises ``EventLogUnwritable`` when the disk refused.
        """
        return self._commit.wait() if self._commit is not None else None

    @property
    def durable(self) -> bool:
        """Whether ``synced`` waits for the disk."""
        return self._commit is not None

    @property
    def syncs(self) -> int:
        """How often the disk was waited for."""
        return self._commit.syncs if self._commit is not None else 0

    def count_refused(self, model: str, version: int, status: int) -> None:
        """Count a request that has no prediction event; goes into the log with the next ``flush``."""
        self._refused[model, version, status] += 1

    def count_field(self, model: str, version: int, field: str, *, absent: bool) -> None:
        """Count a refused request by the column of the model that it was refused for, absent or of another type."""
        self._fields[model, version, field] += 1
        if not absent:
            self._types[model, version, field] += 1

    def count_lost(self, model: str, version: int, predictions: int) -> None:
        """Count predictions that were answered and not recorded; goes into the log once it can be written again."""
        self._lost[model, version] += predictions

    def flush(self) -> None:
        """Write what was refused and lost since the last flush, try a log that failed, close segments that are old.

        When it still cannot, the counts are kept for the next flush and ``problem`` says why.
        """
        self._unlooked = LOOK_BYTES
        for writer in (self._predictions, self._labels, self._stats):
            writer.close_if_old()
        if not self._refused and not self._lost and not self.problem:
            return
        event = StatsEvent(
            id=f"{os.getpid()}-{self._serial}", at=time.time_ns() // 1000,
            errors=[(model, version, status, count) for (model, version, status), count in self._refused.items()],
            lost=[(model, version, count) for (model, version), count in self._lost.items()],
            fields=[(model, version, field, count) for (model, version, field), count in self._fields.items()],
            types=[(model, version, field, count) for (model, version, field), count in self._types.items()],
        )  # fmt: skip
        try:
            self._append(self._stats, self._encode(event))
        except EventLogUnwritable:
            return  # the problem is kept, shown by /health/ready and in the metrics
        self._serial += 1
        self._refused.clear()
        self._lost.clear()
        self._fields.clear()
        self._types.clear()

    def close(self) -> None:
        """Flush and close; the last thing a serving process does."""
        self.flush()
        for writer in (self._predictions, self._labels, self._stats):
            writer.close()
        for descriptor in self._take_unsynced():
            os.close(descriptor)
        if self._commit is not None:
            self._commit.close()

    def _take_unsynced(self) -> list[int]:
        return self._predictions.take_unsynced() + self._labels.take_unsynced()

    def _note_failed(self, exc: EventLogUnwritable) -> None:
        """After a failed flush the kernel may drop what it has of a file and call it clean: go on in a new one."""
        self.problem = str(exc)
        self._predictions.close()
        self._labels.close()

    def _append(self, writer: EventWriter, record: bytes) -> None:
        try:
            if self._reserve_bytes and self._unlooked >= LOOK_BYTES:
                self._require_room()
            writer.append(record)
        except EventLogUnwritable as exc:
            self.problem = str(exc)
            writer.close()  # the next try opens a segment anew: the directory may have been replaced meanwhile
            raise
        self._unlooked += len(record)
        self.problem = ""

    def _require_room(self) -> None:
        wanted = int(self._reserve_bytes * EASING) if self.problem else self._reserve_bytes
        free = free_bytes(self._layout.root)
        if free < wanted:
            raise EventLogUnwritable(
                f"cannot append to {self._layout.events}: {free >> 20} MiB are free, and "
                f"{self._reserve_bytes >> 20} MiB are kept for the state database (setting capture_reserve_mb); "
                "free space"
            ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unlooked = 0


def is_full(exc: EventLogUnwritable) -> bool:
    """Whether the log failed for want of space, rather than of permission or of a working disk."""
    cause = exc.__cause__
    return cause is None or (isinstance(cause, OSError) and cause.errno in _NO_SPACE)

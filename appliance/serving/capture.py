"""What a serving process writes into the event log, before it answers: predictions, labels, and what it refused."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter

import msgspec

from appliance.events import StatsEvent
from storage.errors import EventLogUnwritable
from storage.eventlog import EventWriter
from storage.layout import Layout

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class Capture:
    """The event log of one serving process; used from one thread.

    Attributes:
        problem: Why the last record could not be written, else empty; the process is not ready meanwhile.
    """

    def __init__(self, layout: Layout) -> None:
        self._predictions = EventWriter(layout.events / "predictions")
        self._labels = EventWriter(layout.events / "labels")
        self._stats = EventWriter(layout.events / "stats")
        self._refused: Counter[tuple[str, int, int]] = Counter()
        self._serial = 0
        self._encode = msgspec.json.Encoder().encode
        self.problem = ""

    def append_prediction(self, record: bytes) -> None:
        """Append one prediction event.

        Raises:
            EventLogUnwritable: The caller must not be answered.
        """
        self._append(self._predictions, record)

    def append_labels(self, records: list[bytes]) -> None:
        """Append label events, all or none of them.

        Raises:
            EventLogUnwritable: None was written.
        """
        self._append(self._labels, b"\n".join(records))

    def count_refused(self, model: str, version: int, status: int) -> None:
        """Count a request that has no prediction event; goes into the log with the next ``flush``."""
        self._refused[model, version, status] += 1

    def flush(self) -> None:
        """Write what was refused since the last flush; also tries a log that failed whether it can be written again.

        When it cannot, the counts are kept for the next flush and ``problem`` says why.
        """
        if not self._refused and not self.problem:
            return
        errors = [(model, version, status, count) for (model, version, status), count in self._refused.items()]
        event = StatsEvent(id=f"{os.getpid()}-{self._serial}", at=time.time_ns() // 1000, errors=errors)
        try:
            self._append(self._stats, self._encode(event))
        except EventLogUnwritable:
            return  # the problem is kept, shown by /health/ready and in the metrics
        self._serial += 1
        self._refused.clear()

    def close(self) -> None:
        """Flush and close; the last thing a serving process does."""
        self.flush()
        for writer in (self._predictions, self._labels, self._stats):
            writer.close()

    def _append(self, writer: EventWriter, record: bytes) -> None:
        try:
            writer.append(record)
        except EventLogUnwritable as exc:
            self.problem = str(exc)
            writer.close()  # the next try opens a segment anew: the directory may have been replaced meanwhile
            raise
        self.problem = ""


def is_full(exc: EventLogUnwritable) -> bool:
    """Whether the log failed for want of space, rather than of permission or of a working disk."""
    cause = exc.__cause__
    return cause is None or (isinstance(cause, OSError) and cause.errno in _NO_SPACE)

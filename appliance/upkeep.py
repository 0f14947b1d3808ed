"""What a box does for itself - backups, and letting go what is old - as it is looked at and asked for from outside."""

from __future__ import annotations

from datetime import datetime

import msgspec

from appliance.orders import BackUp, LookAtUpkeep, Worker


class BackupLine(msgspec.Struct, frozen=True, kw_only=True):
    """One backup.

    Attributes:
        bytes: Size of the file.
        sealed: A passphrase is needed to open it.
        proved_at: When it was last read to its end and scored; None when it never was.
        problem: What that proof found wrong; empty for a good one.
    """

    name: str
    created_at: datetime
    bytes: int
    sealed: bool
    proved_at: datetime | None
    problem: str


class SpareLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may go, as ``appliance.retention.Spare``."""

    kind: str
    what: str
    bytes: int
    why: str


class UpkeepReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every backup, newest first; and what the coming night lets go, where that was asked for.

    Attributes:
        problem: Why none can be made, and those that there were are not seen, perhaps; empty when all is well.
    """

    backups: tuple[BackupLine, ...]
    spare: tuple[SpareLine, ...]
    problem: str


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made and read again; ``removed`` names those that are kept no longer."""

    name: str
    bytes: int
    versions: int
    problems: tuple[str, ...]
    removed: tuple[str, ...]


class Upkeep:
    """The upkeep of one appliance."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def look(self, *, plan: bool = True) -> UpkeepReport:
        """What there is and, with ``plan``, what would go now; nothing is changed."""
        return self._worker.do(LookAtUpkeep(plan=plan), UpkeepReport)

    def back_up(self, *, who: str) -> BackedUp:
        """Make a backup while everything goes on, prove it, and let go those that are not kept.

        Raises:
            BadInput: The passphrase cannot be read, or there is one that was not handed to the dashboard.
            StateUnwritable: There is no room; nothing is left behind.
        """
        return self._worker.do(BackUp(who=who), BackedUp)

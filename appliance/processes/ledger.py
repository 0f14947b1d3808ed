"""What the supervisor writes down about itself and its processes, and the lock that makes it the only one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import Conflict
from appliance.processes.procfs import is_running
from storage.bundles import replace_durably
from storage.holders import describe, find_holders
from storage.layout import Layout

SUPERVISOR = "appliance.processes.supervisor"
"""The module that a supervisor's command names."""

State = Literal["running", "starting", "restarting", "stopping", "stopped", "failed"]


class ProcessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process.

    Attributes:
        pid: 0 while it does not run.
        started: Its start in clock ticks since boot; a pid alone may be somebody else's by now.
        since: When it entered this state; ISO 8601, UTC.
        restarts: How often it was started again after it had ended by itself.
        detail: Its own words (``STATUS=``), or how it ended.
    """

    name: str
    state: State
    pid: int
    started: int
    since: str
    restarts: int = 0
    detail: str = ""

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.pid > 0 and is_running(self.pid, self.started)


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor and its processes, as last written."""

    pid: int
    started: int
    processes: tuple[ProcessEntry, ...]

    def is_alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return is_running(self.pid, self.started)


def find_ledger(layout: Layout) -> Ledger | None:
    """The last ledger, perhaps of a supervisor that is gone; None when nothing ever ran or it cannot be read."""
    try:
        return msgspec.json.decode((layout.run / "supervisor.json").read_bytes(), type=Ledger)
    except (OSError, msgspec.DecodeError):
        return None


def write_ledger(layout: Layout, ledger: Ledger) -> None:
    """Replace the ledger in one step."""
    replace_durably(layout.run / "supervisor.json", msgspec.json.encode(ledger))


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Hold the state directory's supervisor lock; the kernel lets go of it however this process ends.

    Raises:
        Conflict: Another supervisor holds it, or a command that keeps everything still; it says which.
    """
    path = layout.run / "supervisor.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict(_describe_holder(layout, path)) from exc
        yield
    finally:
        os.close(fd)


def _describe_holder(layout: Layout, path: Path) -> str:
    holders = find_holders(path)
    if holders and not any(SUPERVISOR in words for words in holders.values()):
        return (
            f"another command of the appliance is at work on {layout.root}: {describe(holders)}; wait until it has "
            "ended, then run this again"
        )
    return f"the appliance on {layout.root} runs already; see 'appliance status', or 'appliance down' first"

"""``appliance logs``: from the journal under systemd, else from the log files."""

from __future__ import annotations

import os
import time

from appliance.errors import NotFound
from appliance.processes.logfiles import Follower, log_path, read_tail
from appliance.processes.roster import MODULES
from appliance.settings import Settings


def print_logs(settings: Settings, name: str | None, *, lines: int, follow: bool) -> None:
    """Print the last lines of one process's log, or of all; with ``follow`` go on until interrupted.

    Raises:
        NotFound: The appliance has no such process.
    """
    if name is not None and name not in {*MODULES, "supervisor"}:
        raise NotFound(f"there is no process {name!r}; choose one of {', '.join(MODULES)}, supervisor")
    if settings.systemd:
        unit = f"appliance-{name or '*'}"
        arguments = ["journalctl", "--no-pager", f"--unit={unit}", f"--lines={lines}", *(["--follow"] * follow)]
        os.execvp("journalctl", arguments)  # noqa: S606  (becomes it, so that Ctrl-C is its own)
    names = [name] if name else [*MODULES, "supervisor"]
    followers = {each: Follower(log_path(settings.layout, each)) for each in names}
    for each in names:
        for line in read_tail(log_path(settings.layout, each), lines=lines):
            print(f"{each:12} | {line}")
    while follow:
        time.sleep(0.3)
        for each, follower in followers.items():
            for line in follower.read_lines():
                print(f"{each:12} | {line}", flush=True)

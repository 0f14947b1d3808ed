"""``appliance logs``: from the journal under systemd, else from the log files."""

from __future__ import annotations

import os
import time
from typing import Literal, NoReturn

from appliance.errors import BadInput, NotFound
from appliance.processes.logfiles import Follower, log_path, read_tail
from appliance.processes.roster import MODULES
from appliance.settings import Settings

Priority = Literal["crit", "err", "warning", "notice", "info", "debug"]
"""Of the journal, the worst first."""

_UNITS_ALONE = ("backup", "recover")
"""Units that run now and then."""
_FILES_ALONE = ("supervisor",)
"""What systemd does itself."""


def print_logs(
    settings: Settings, name: str | None, *, lines: int, follow: bool, priority: Priority | None = None
) -> None:
    """Print the last lines of one process's log, or of all; with ``follow`` go on until interrupted.

    Args:
        settings: Say whether there are units.
        name: The process; all when None.
        lines: How many at most: of each process, or with units in all.
        follow: Go on.
        priority: Only lines of this priority and worse, which the journal alone knows.

    Raises:
        NotFound: The appliance has no such process.
        BadInput: A priority was asked for and there is no journal.
    """
    known = (*MODULES, *(_UNITS_ALONE if settings.systemd else _FILES_ALONE))
    if name is not None and name not in known:
        raise NotFound(f"there is no process {name!r}; choose one of {', '.join(known)}")
    if settings.systemd:
        become_journalctl(name, lines=lines, follow=follow, priority=priority)
    if priority is not None:
        raise BadInput("--priority needs the journal; here the logs are files, whose lines begin with ERROR or WARNING")
    names = [name] if name else list(known)
    followers = {each: Follower(log_path(settings.layout, each)) for each in names}
    for each in names:
        for line in read_tail(log_path(settings.layout, each), lines=lines):
            print(f"{each:12} | {line}")
    while follow:
        time.sleep(0.3)
        for each, follower in followers.items():
            for line in follower.read_lines():
                print(f"{each:12} | {line}", flush=True)


def become_journalctl(name: str | None, *, lines: int, follow: bool, priority: Priority | None) -> NoReturn:
    """Replace this process by the one that reads the journal, so that Ctrl-C is its own."""
    arguments = ["journalctl", "--no-pager", f"--unit=appliance-{name or '*'}", f"--lines={lines}"]
    arguments += [f"--priority={priority}"] * (priority is not None) + ["--follow"] * follow
    os.execvp("journalctl", arguments)  # noqa: S606  (our own program, an argument list)

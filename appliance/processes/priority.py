"""The priority of a process that works in the background, without systemd's slices as with them."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

NICENESS = 19
"""The kernel's lowest."""

_AUTOGROUP = Path("/proc/self/autogroup")
_PAUSE_S = 0.11
_TRIES = 5


def step_back() -> None:
    """Take only the processor time that nobody else wants: this process, and its whole session if it leads one.

    Where the kernel groups processes by session (``sched_autogroup_enabled``, the default of Debian and Ubuntu), it
    divides the processors between sessions first, equally, and niceness then only divides a session's own share
    (sched(7)). So a leader gives its session's group the niceness too; within a systemd slice the group has no effect
    and the slice's weight decides. A kernel without autogroups, or one that refuses, leaves it at the process's own.
    """
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if os.getsid(0) == os.getpid():
        _lower_autogroup()


def _lower_autogroup() -> None:
    for _ in range(_TRIES):
        try:
            _AUTOGROUP.write_text(str(NICENESS), encoding="ascii")
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                return
            time.sleep(_PAUSE_S)  # without privileges, one change in 100 ms for the whole host
        else:
            return

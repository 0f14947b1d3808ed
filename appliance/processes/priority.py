"""The priority of a process that works in the background, without systemd's slices as with them."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

LOWEST = 19
"""Only what nobody else wants."""

BEHIND_SERVING = 10
"""A ninth of the API's weight: what ``appliance-batch.slice`` has beside ``appliance-serving.slice``, an eighth."""

FIRST_TO_GO = 500
"""For the kernel, where memory runs out (``oom_score_adj``): as if it held half of the host's memory more."""

_AUTOGROUP = Path("/proc/self/autogroup")
_PAUSE_S = 0.11
_TRIES = 5


def step_back(niceness: int = LOWEST) -> None:
    """Come after others for processor time: this process, and its whole session if it leads one.

    Where the kernel groups processes by session (``sched_autogroup_enabled``, the default of Debian and Ubuntu), it
    divides the processors between sessions first, equally, and niceness then only divides a session's own share
    (sched(7)). So a leader gives its session's group the niceness too; within a systemd slice the group has no effect
    and the slice's weight decides. A kernel without autogroups, or one that refuses, leaves it at the process's own.
    """
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        _lower_autogroup(niceness)


def go_first() -> None:
    """Where memory runs out, let the kernel end this process, and not the one that started it and says what happened.

    Without it the kernel takes the largest of the group, and a job that has only begun is smaller than its runner. A
    kernel that refuses leaves it at that.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")


def _lower_autogroup(niceness: int) -> None:
    for _ in range(_TRIES):
        try:
            _AUTOGROUP.write_text(str(niceness), encoding="ascii")
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                return
            time.sleep(_PAUSE_S)  # without privileges, one change in 100 ms for the whole host
        else:
            return

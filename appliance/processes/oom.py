"""How many processes of our own control group the kernel has ended for want of memory.

Read from cgroup v2's ``memory.events`` or v1's ``memory.oom_control``; both count victims of the group's own limit, of
a slice's above it, and of the whole host, see the kernel's ``Documentation/admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from appliance.processes.control_group import path_below

_PROC = Path("/proc/self")


def count_oom_kills(proc: Path = _PROC) -> int | None:
    """The count since the group was made; None where the kernel does not tell.

    Args:
        proc: A process's folder below ``/proc``.
    """
    with suppress(OSError, ValueError):
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split(" - ") for line in (proc / "mountinfo").read_text().splitlines()]
        for _, controllers, group in groups:
            if controllers == "" or "memory" in controllers.split(","):
                for place, kind in mounts:
                    count = _read(group, controllers, place.split(), kind.split())
                    if count is not None:
                        return count
    return None


def _read(group: str, controllers: str, place: list[str], kind: list[str]) -> int | None:
    """The count at one mount, if it is the one that has the group."""
    if kind[0] == "cgroup2" and controllers == "":
        name = "memory.events"
    elif kind[0] == "cgroup" and controllers and "memory" in kind[-1].split(","):
        name = "memory.oom_control"
    else:
        return None
    path = path_below(place[4], place[3], group) / name
    if not path.is_file():
        return None
    found = dict(line.split() for line in path.read_text().splitlines())
    return int(found["oom_kill"]) if "oom_kill" in found else None

"""Memory and processor time of a unit's control group, which the kernel tells to everybody.

Another unit's processes may not be looked into: each has users and a view of ``/proc`` of its own. See the kernel's
``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/memory.rst``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc/self")


def find_group_mb(group: str, *, proc: Path = _PROC) -> float | None:
    """Memory of all processes of a group, MB of 10**6 bytes: what is theirs alone, and the files that they map.

    The cache of files that they only read or wrote is left out. None where the kernel does not tell.

    Args:
        group: As ``systemctl show --property=ControlGroup`` prints it.
        proc: A process's folder below ``/proc``, for the mounts that it sees.
    """
    for folder, is_unified in _folders(group, "memory", proc):
        names = ("anon", "file_mapped") if is_unified else ("total_rss", "total_mapped_file")
        with suppress(OSError, ValueError, KeyError):
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return round(sum(int(told[name]) for name in names) / 1e6, 1)
    return None


def find_group_cpu_s(group: str, *, proc: Path = _PROC) -> float | None:
    """Processor time of all processes that the group has had, seconds; None where the kernel does not tell.

    Args:
        group: As for ``find_group_mb``, like the other.
    """
    for folder, is_unified in _folders(group, "cpuacct", proc):
        with suppress(OSError, ValueError, KeyError):
            if not is_unified:
                return int((folder / "cpuacct.usage").read_text()) / 1e9
            told = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            return int(told["usage_usec"]) / 1e6
    return None


def path_below(point: str, root: str, group: str) -> Path:
    """Where a group lies below a mount of which ``root`` is the top; inside a container both begin anew."""
    inside = Path(group)
    return Path(point) / (inside.relative_to(root) if inside.is_relative_to(root) else inside.relative_to("/"))


def _folders(group: str, controller: str, proc: Path) -> Iterator[tuple[Path, bool]]:
    """The group's folder at each mount that may tell of the controller, and whether that is of cgroup version 2."""
    if not group.startswith("/"):
        return
    with suppress(OSError):
        for line in (proc / "mountinfo").read_text().splitlines():
            place, kind = (part.split() for part in line.split(" - ", 1))
            is_unified = kind[0] == "cgroup2"
            if is_unified or (kind[0] == "cgroup" and controller in kind[-1].split(",")):
                yield path_below(place[4], place[3], group), is_unified

"""What the kernel says about processes; a pid is trusted only together with its start time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def find_start(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process, or only its zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return int(fields[19])


def is_running(pid: int, started: int) -> bool:
    """Whether that very process still runs, not another one that was given its number."""
    return find_start(pid) == started


def started_at(pid: int) -> datetime | None:
    """When the process started; UTC."""
    ticks = find_start(pid)
    if ticks is None:
        return None
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_S
    return datetime.fromtimestamp(time.time() - age_s, tz=UTC)


def list_children() -> dict[int, list[int]]:
    """Every process of this host by its parent."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    return children


def list_tree(pid: int) -> list[int]:
    """The process and everything below it, parents first."""
    children, tree = list_children(), [pid]
    for parent in tree:
        tree.extend(children.get(parent, []))
    return tree


def find_pss_mb(pid: int) -> float | None:
    """Memory of the process and everything below it, shared pages counted in parts (PSS), MB of 10**6 bytes.

    None when it may not be read (another user's process) or nothing is left of it.
    """
    total_kib, seen = 0, False
    for member in list_tree(pid):
        try:
            text = (_PROC / str(member) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
                seen = True
    return round(total_kib * 1024 / 1e6, 1) if seen else None


def find_cpu_s(pid: int) -> float | None:
    """Processor time of the process and everything below it, the ended children of each among it, seconds.

    The time of a child moves to its parent when that takes note of its end, so the sum grows steadily; one whose parent
    ended before it is lost to the tree, and a child that ends while this reads may be missed once.

    None when nothing is left of it.
    """
    ticks, seen = 0, False
    for member in list_tree(pid):
        if (fields := _stat(member)) is not None:
            ticks += sum(int(field) for field in fields[11:15])
            seen = True
    return ticks / _TICKS_PER_S if seen else None


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(") ")[2].split()  # the name before it may hold anything, brackets too

"""How the host itself stands, and how loaded the appliance is on it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from appliance.errors import NotReady
from appliance.house import Appliance
from appliance.monitoring.load import LoadReport
from appliance.processes.check import Check
from appliance.processes.examine import examine

SAMPLE_S = 0.25
_IDLE = (3, 4)
"""Places of idle and iowait in a ``cpu`` line of /proc/stat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """The host now; bytes of memory and of the disk that holds the state.

    Attributes:
        cpu_share: Share of all cores that was busy in the last quarter of a second, 0 to 1.
        memory_available: What can be had without swapping, as the kernel reckons.
    """

    cores: int
    cpu_share: float
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int

    @property
    def memory_share(self) -> float:
        """Share of the memory that is taken, 0 to 1."""
        return 1 - self.memory_available / self.memory_total

    @property
    def disk_share(self) -> float:
        """Share of the disk that is taken, 0 to 1."""
        return 1 - self.disk_free / self.disk_total


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the host found; ``ok`` where nothing has to be mended."""

    ok: bool
    checks: tuple[Check, ...]


@get("/host", sync_to_thread=True)
def host(appliance: NamedDependency[Appliance]) -> HostReport:
    """Processor, memory and disk of the host; takes a quarter of a second."""
    return look_at_host(appliance)


def look_at_host(appliance: Appliance, *, proc: Path = Path("/proc")) -> HostReport:
    """Look for a quarter of a second.

    Raises:
        NotReady: The kernel does not tell.
    """
    try:
        before = _ticks(proc)
        time.sleep(SAMPLE_S)
        after = _ticks(proc)
        memory = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        disk = shutil.disk_usage(appliance.settings.layout.root)
        return HostReport(
            cores=os.cpu_count() or 1, cpu_share=busy_share(before, after),
            memory_total=_kilobytes(memory["MemTotal"]), memory_available=_kilobytes(memory["MemAvailable"]),
            disk_total=disk.total, disk_free=disk.free,
        )  # fmt: skip
    except (OSError, KeyError, ValueError, IndexError) as exc:
        raise NotReady(f"the kernel does not tell how the host stands: {exc!r}") from exc


def busy_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Share of the ticks between two looks at /proc/stat that were neither idle nor waiting for a disk."""
    passed = [late - early for early, late in zip(before, after, strict=True)]
    total = sum(passed)
    return 1 - sum(passed[place] for place in _IDLE) / total if total > 0 else 0.0


def _ticks(proc: Path) -> tuple[int, ...]:
    """User, nice, system, idle, iowait, irq, softirq, steal of all cores together."""
    first = (proc / "stat").read_text().split("\n", 1)[0].split()
    return tuple(int(field) for field in first[1:9])


def _kilobytes(field: str) -> int:
    return int(field.split(maxsplit=1)[0]) * 1024


@get("/doctor", sync_to_thread=True)
def doctor() -> Examination:
    """What ``appliance doctor`` finds, in the order in which one would mend it; takes seconds."""
    checks = examine()
    return Examination(ok=all(check.state != "fail" for check in checks), checks=checks)


@get("/load", sync_to_thread=True)
def load(appliance: NamedDependency[Appliance], model: FromQuery[str | None] = None) -> LoadReport:
    """Requests in work and waiting, each process, the disk and the watch loop, now; with what waits for ``model``.

    A process's share of a core is since somebody looked before, within a minute; null in the first look.
    """
    if model is not None:
        appliance.models.get(model)
    return appliance.load.look(model)


HOST_ROUTES = (host, doctor, load)

"""How the processes stand, as ``appliance status`` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.processes.ledger import State


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """One process.

    Attributes:
        pid: None while it does not run.
        pss_mb: Memory of it and everything below it, MB of 10**6 bytes, shared pages in parts; where a unit may not be
            looked into, its control group's own and mapped memory; None when neither may be read.
        since: When it entered this state; ISO 8601.
        cpu_s: Processor time of its unit since it started, seconds; None without systemd.
    """

    name: str
    state: State
    pid: int | None
    pss_mb: float | None
    since: str | None
    restarts: int = 0
    detail: str = ""
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """All of them."""

    api_url: str
    ui_url: str
    services: tuple[ProcessReport, ...]

    @property
    def ok(self) -> bool:
        """Whether every process runs."""
        return all(service.state == "running" for service in self.services)

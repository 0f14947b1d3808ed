"""The same processes as systemd units: asked, started and stopped through systemctl."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime

from appliance.errors import NotAllowed, NotReady
from appliance.processes.control_group import find_group_cpu_s, find_group_mb
from appliance.processes.ledger import State
from appliance.processes.procfs import find_pss_mb
from appliance.processes.report import ProcessReport
from appliance.processes.roster import Service

TARGET = "appliance.target"
REOPEN = "appliance-reopen.service"
"""Opens a port that was taken; it ends with the target."""
SOCKETS = {"api": "appliance-api.socket", "mlflow": "appliance-mlflow.socket"}
_STATES: dict[str, State] = {
    "active": "running", "activating": "starting", "reloading": "running",
    "deactivating": "stopping", "failed": "failed",
}  # fmt: skip


def start_units() -> None:
    """Start the target and with it every unit; returns before they are well, since one that fails is tried for ever.

    Raises:
        NotAllowed: This user may not.
        NotReady: systemd could not.
    """
    _systemctl("start", "--no-block", TARGET)


def stop_units(services: tuple[Service, ...]) -> None:
    """Stop the target, and the sockets too, since a request would start a service again.

    Raises:
        NotAllowed: This user may not.
        NotReady: systemd could not.
    """
    _systemctl("stop", TARGET, *SOCKETS.values(), *(service.unit for service in services))


def read_units(services: tuple[Service, ...], *, weigh: bool = True) -> tuple[ProcessReport, ...]:
    """How each unit stands; one that only its socket keeps awake is ``running`` and says that it sleeps.

    Raises:
        NotReady: systemctl does not answer.
    """
    return tuple(_read_unit(service, weigh=weigh) for service in services)


def _read_unit(service: Service, *, weigh: bool) -> ProcessReport:
    facts = _show(service.unit)
    state = _STATES.get(facts.get("ActiveState", ""), "stopped")
    pid = int(facts.get("MainPID") or 0)
    detail = facts.get("StatusText", "")
    socket_unit = SOCKETS.get(service.name)
    if state == "stopped" and socket_unit:
        match _show(socket_unit).get("ActiveState"):
            case "active":
                state, detail = "running", "asleep; the first connection starts it"
            case "failed" if _show(REOPEN).get("ActiveState") == "active":
                detail = "its port could not be opened, which is tried again every 5 s"
    if state == "failed":
        detail = f"{facts.get('Result', '')}; see 'journalctl -u {service.unit}'"
    if facts.get("SubState") == "auto-restart":
        state = "restarting"
    group = facts.get("ControlGroup", "")
    return ProcessReport(
        name=service.name, state=state, pid=pid or None, cpu_s=find_group_cpu_s(group) if pid and weigh else None,
        pss_mb=(find_pss_mb(pid) or find_group_mb(group)) if pid and weigh else None,
        since=_read_time(facts.get("StateChangeTimestamp", "")), restarts=int(facts.get("NRestarts") or 0),
        detail=detail,
    )  # fmt: skip


def _show(unit: str) -> dict[str, str]:
    properties = "ActiveState,SubState,MainPID,StateChangeTimestamp,NRestarts,StatusText,Result,ControlGroup"
    text = _systemctl("show", f"--property={properties}", unit)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _read_time(text: str) -> str | None:
    """``Tue 2023-11-14 22:13:20 UTC`` as ISO 8601; None where a unit has none."""
    try:
        return datetime.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return None


def _systemctl(*arguments: str) -> str:
    try:
        # Times are printed in the zone of the environment; the options for that differ between versions.
        done = subprocess.run(
            ["systemctl", "--no-pager", *arguments], capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotReady(f"systemctl {arguments[0]} does not answer: {exc}") from exc
    if done.returncode:
        if "ccess denied" in done.stderr or "authentication required" in done.stderr:
            raise NotAllowed(f"systemctl {arguments[0]} needs root; run the same command with sudo")
        raise NotReady(f"systemctl {' '.join(arguments[:2])}: {done.stderr.strip()}; see 'journalctl -xe'")
    return done.stdout

"""``appliance up``, ``down`` and ``status``: the processes as one thing, with and without systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec

from appliance.errors import Conflict, NotReady
from appliance.processes.ledger import SUPERVISOR, exclusive, find_ledger
from appliance.processes.logfiles import log_path, open_log, read_tail
from appliance.processes.ports import require_free_ports
from appliance.processes.procfs import find_pss_mb
from appliance.processes.report import ProcessReport, StatusReport
from appliance.processes.roster import roster
from appliance.processes.supervisor import STOP_S, Plan, end_leftovers
from appliance.processes.units import read_units, start_units, stop_units
from appliance.settings import Settings
from storage.holders import describe, find_holders
from storage.layout import Layout

START_S = 180.0
"""How long ``up`` waits; a cold orchestrator on a slow disk takes most of a minute."""

HOPELESS_RESTARTS = 3
"""A process that ended so often while ``up`` waits will not become well by waiting longer."""

Say = Callable[[str], None]


def settings_environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for the processes that read them from there."""
    values = settings.model_dump(mode="json") | {"state": str(settings.state.absolute())}
    return {f"APPLIANCE_{name.upper()}": _as_text(value) for name, value in values.items() if value is not None}


def require_idle(settings: Settings) -> None:
    """No command, such as a restore, is at work on the state, beneath which processes would start.

    Raises:
        Conflict: One is; it says which.
    """
    ledger = find_ledger(settings.layout)
    if ledger is not None and ledger.is_alive():
        return
    if (settings.layout.run / "supervisor.lock").exists():  # else root would make it, and the owner could not open it
        with contextlib.suppress(PermissionError), exclusive(settings.layout):
            pass


def up_in_foreground(settings: Settings) -> NoReturn:
    """Become the supervisor; ends with it.

    Raises:
        Conflict: It runs already, or a port is taken.
        BadSetting: Two ports are equal, or the address is not this host's.
    """
    plan = _prepare(settings, foreground=True)
    os.environ.update(settings_environment(settings))
    os.execv(sys.executable, _command(plan))  # noqa: S606  (our own program, an argument list)


def up_detached(settings: Settings, say: Say, *, wait_s: float = START_S) -> StatusReport:
    """Start everything in the background and wait until it is well; nothing happens when it runs already.

    Raises:
        Conflict: A port is taken.
        NotReady: Something is not well after ``wait_s``, or ended again and again; says what, the last it said, and
            where its log is.
    """
    if settings.systemd:
        start_units()
    elif (ledger := find_ledger(settings.layout)) is None or not ledger.is_alive():
        _detach(settings)
    return _wait_until_well(settings, say, wait_s=wait_s)


def down(settings: Settings) -> bool:
    """Stop everything in order, within 30 s.

    Returns:
        False when nothing ran.

    Raises:
        NotReady: It could not be stopped.
    """
    if settings.systemd:
        stop_units(roster(settings))
        return True
    ledger = find_ledger(settings.layout)
    if ledger is None or not ledger.is_alive():
        if ledger is not None:
            end_leftovers(settings.layout)
        _require_nobody(settings.layout)
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(ledger.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_S + 10
    while ledger.is_alive():
        if time.monotonic() >= end:
            raise NotReady(f"the supervisor (pid {ledger.pid}) does not end; see {log_path(settings.layout, '*')}")
        time.sleep(0.1)
    return True


def status(settings: Settings, *, weigh: bool = True) -> StatusReport:
    """How each process stands; ``weigh`` also reads what it weighs, which looks at every process of the host.

    Raises:
        NotReady: systemd does not answer.
    """
    services = read_units(roster(settings), weigh=weigh) if settings.systemd else _read_ledger(settings, weigh=weigh)
    return StatusReport(api_url=settings.api_url, ui_url=settings.ui_url, services=services)


@contextlib.contextmanager
def standing_still(settings: Settings) -> Iterator[None]:
    """Nothing of the appliance runs, nor starts meanwhile without systemd.

    Raises:
        Conflict: Something runs.
    """
    busy = [one.name for one in status(settings, weigh=False).services if one.state not in {"stopped", "failed"}]
    if busy:
        raise Conflict(f"{', '.join(busy)} of the appliance run; stop them first with 'appliance down'")
    settings.layout.create()
    with exclusive(settings.layout):
        yield


def _require_nobody(layout: Layout) -> None:
    """Nobody holds the supervisor's lock: a supervisor that the ledger does not name, or a command that restores.

    Raises:
        NotReady: Somebody does; it says who, and what to do.
    """
    if not layout.run.is_dir():
        return
    try:
        with exclusive(layout):
            pass
    except Conflict as exc:
        holders = find_holders(layout.run / "supervisor.lock")
        supervisors = {number: words for number, words in holders.items() if SUPERVISOR in words}
        if not supervisors:
            raise NotReady(str(exc)) from exc
        raise NotReady(
            f"a supervisor runs, and {layout.run / 'supervisor.json'} does not name it: {describe(supervisors)}; end "
            "it with 'kill', which stops everything in order, then 'appliance up --detach'"
        ) from exc


def _read_ledger(settings: Settings, *, weigh: bool) -> tuple[ProcessReport, ...]:
    ledger = find_ledger(settings.layout)
    entries = {entry.name: entry for entry in ledger.processes} if ledger else {}
    alive = ledger is not None and ledger.is_alive()
    reports = []
    for service in roster(settings):
        entry = entries.get(service.name)
        if entry is None:
            reports.append(ProcessReport(name=service.name, state="stopped", pid=None, pss_mb=None, since=None))
            continue
        running = entry.is_alive()
        state = entry.state if alive else ("failed" if running else "stopped")
        said = "" if state == "stopped" else entry.detail  # what it said while it ran holds no more
        detail = "its supervisor is gone; run 'appliance up --detach'" if running and not alive else said
        reports.append(
            ProcessReport(
                name=service.name, state=state, pid=entry.pid if running else None,
                pss_mb=find_pss_mb(entry.pid) if running and weigh else None, since=entry.since,
                restarts=entry.restarts, detail=detail,
            )
        )  # fmt: skip
    return tuple(reports)


def _prepare(settings: Settings, *, foreground: bool) -> Plan:
    settings.layout.create()
    with exclusive(settings.layout):  # nobody else starts while leftovers are ended and ports are probed
        end_leftovers(settings.layout)
        services = roster(settings)
        require_free_ports(services)
    return Plan(state=str(settings.state.absolute()), services=services, foreground=foreground)


def _detach(settings: Settings) -> None:
    plan = _prepare(settings, foreground=False)
    before = find_ledger(settings.layout)
    log = open_log(log_path(settings.layout, "supervisor"))
    try:
        process = subprocess.Popen(
            _command(plan), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **settings_environment(settings)}, cwd="/",
        )  # fmt: skip
    finally:
        os.close(log)
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        ledger = find_ledger(settings.layout)
        if ledger is not None and ledger != before and ledger.is_alive():
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    tail = " ".join(read_tail(log_path(settings.layout, "supervisor"), lines=1))
    raise Conflict(f"the supervisor did not start: {tail}; see {log_path(settings.layout, 'supervisor')}")


def _wait_until_well(settings: Settings, say: Say, *, wait_s: float) -> StatusReport:
    began, told = time.monotonic(), set[str]()
    before: dict[str, int] | None = None
    while True:
        report = status(settings, weigh=False)
        restarts = {service.name: service.restarts for service in report.services}
        before = restarts if before is None else before
        for service in report.services:
            if service.state == "running" and service.name not in told:
                told.add(service.name)
                say(f"{service.name} runs")
        if report.ok:
            return report
        waited_s = time.monotonic() - began
        hopeless = any(count - before.get(name, 0) >= HOPELESS_RESTARTS for name, count in restarts.items())
        if waited_s >= wait_s or hopeless:
            raise NotReady(_describe_unwell(settings, report, waited_s))
        time.sleep(0.3)


def _describe_unwell(settings: Settings, report: StatusReport, waited_s: float) -> str:
    parts = []
    # Those that end again and again first: the others may only be waiting for them.
    for service in sorted(report.services, key=lambda service: -service.restarts):
        if service.state == "running" and not service.restarts:
            continue
        said = f"{service.name} is {service.state}"
        if service.restarts:
            said += f" after {service.restarts} restarts"
        if service.detail:
            said += f" ({service.detail})"
        if settings.systemd:
            said += f", see 'journalctl -u appliance-{service.name}'"
        else:
            path = log_path(settings.layout, service.name)
            last = " ".join(read_tail(path, lines=1)).strip() if service.restarts else ""
            said += f", it said {last!r}, see {path}" if last else f", see {path}"
        parts.append(said)
    return f"after {waited_s:.0f} s {'; '.join(parts)}"


def _command(plan: Plan) -> list[str]:
    return [sys.executable, "-P", "-m", SUPERVISOR, msgspec.json.encode(plan).decode()]


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)

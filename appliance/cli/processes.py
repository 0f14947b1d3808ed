"""up, down, status, doctor, logs, serve, migrate."""

from __future__ import annotations

import dataclasses
from typing import Literal

from appliance.cli.output import Flag, Json, print_json, print_table, say
from appliance.errors import BadSetting
from appliance.settings import load_settings


def up(*, detach: Flag = False, wait_s: float = 180.0) -> None:
    """Start everything: in the foreground until Ctrl-C, or in the background.

    Args:
        detach: Return as soon as everything is well; logs go to STATE/logs.
        wait_s: With --detach: how long to wait for everything to be well, seconds.
    """
    from appliance.processes.control import require_idle, up_detached, up_in_foreground

    settings = load_settings()
    require_idle(settings)
    if not settings.systemd:
        _prepare_state()
    if not detach and not settings.systemd:
        up_in_foreground(settings)
    report = up_detached(settings, say, wait_s=wait_s)
    print(f"dashboard {report.ui_url}   API {report.api_url}")


def down() -> None:
    """Stop everything in order, within 30 s."""
    from appliance.processes.control import down as stop

    print("stopped" if stop(load_settings()) else "nothing ran")


def status(*, json: Json = False) -> int:
    """How each process stands, and what it weighs."""
    from appliance.processes.control import status as read_status

    report = read_status(load_settings())
    if json:
        print_json(dataclasses.asdict(report))
    else:
        print_table(
            ("process", "state", "pid", "PSS MB", "since", "detail"),
            [(s.name, s.state, s.pid, s.pss_mb, s.since, s.detail) for s in report.services],
        )
        print(f"dashboard {report.ui_url}   API {report.api_url}")
    return 0 if report.ok else 3


def logs(
    service: str | None = None,
    *,
    lines: int = 50,
    follow: Flag = False,
    priority: Literal["crit", "err", "warning", "notice", "info", "debug"] | None = None,
) -> None:
    """The last lines of the logs.

    Args:
        service: api, ui, orchestrator, runner, mlflow or tls; with systemd also backup or recover, without it also
            supervisor; all when left out.
        lines: How many a process; with systemd, in all.
        follow: Go on showing new lines until Ctrl-C.
        priority: With systemd: only lines as bad as this, or worse; err shows the errors.
    """
    from appliance.processes.logs import print_logs

    print_logs(load_settings(), service, lines=lines, follow=follow, priority=priority)


def serve(name: str) -> None:
    """Become one process of the appliance, in the foreground.

    Args:
        name: api, ui, orchestrator, runner, mlflow or tls.
    """
    from appliance.processes.serve import serve as become

    become(name)


def migrate() -> None:
    """Create the state directory and database, or bring them to this release's schema; nothing else changes."""
    _prepare_state()
    print(f"the state in {load_settings().state} is current")


def _prepare_state() -> None:
    from appliance.house import prepare_state

    prepare_state(load_settings())


def doctor(*, json: Json = False) -> int:
    """Look for what is wrong: host, permissions, disk, databases, backups, clock, lag, address, ports, processes.

    A code such as E002 is that of the installer's pre-flight, which looks at the same.
    """
    from appliance.processes.check import Check
    from appliance.processes.doctor import run_checks

    try:
        checks = run_checks(load_settings())
    except BadSetting as exc:  # nothing else can be looked at
        fix = "mend it; what runs goes on with what it read before, and nothing can be started until then"
        if isinstance(exc.__cause__, PermissionError):
            fix = "run 'sudo appliance doctor'"
        checks = [Check(name="settings", state="fail", message=str(exc), fix=fix)]
    ok = all(check.state != "fail" for check in checks)
    if json:
        print_json({"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]})
        return 0 if ok else 3
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    for check in checks:
        code = f" ({check.code})" if check.code and check.state != "ok" else ""
        print(f"{marks[check.state]}  {check.name}{code}: {check.message}")
        if check.fix:
            print(f"      {check.fix}")
    return 0 if ok else 3

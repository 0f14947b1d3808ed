"""up, down, status, doctor, logs, serve, migrate."""

from __future__ import annotations

import dataclasses
import sqlite3
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
    """Stop everything in order, within 30 s; jobs that run are ended and named before."""
    from appliance.processes.control import down as stop

    settings = load_settings()
    _say_running_jobs()
    print("stopped" if stop(settings) else "nothing ran")


def _say_running_jobs() -> None:
    """What ends with the runner. Nothing runs where nobody answers."""
    from appliance.cli.house import open_house
    from appliance.cli.jobs import print_jobs
    from appliance.errors import ApplianceError
    from storage.errors import StorageError

    try:
        jobs = open_house().jobs.running()
    except (ApplianceError, StorageError, sqlite3.Error):
        return
    if jobs:
        say("these jobs run and are ended; 'appliance jobs again ID' starts one again, a feed comes by itself:")
        print_jobs(jobs)


def status(*, json: Json = False) -> int:
    """How each process stands, what it weighs, how often it ended by itself, and whether alerts are open."""
    from appliance.processes.control import status as read_status
    from appliance.processes.doctor_alerts import tell_alerts, tell_restarts

    settings = load_settings()
    report = read_status(settings)
    if json:
        print_json(dataclasses.asdict(report))
    else:
        print_table(
            ("process", "state", "pid", "PSS MB", "since", "detail"),
            [
                (s.name, s.state, s.pid, s.pss_mb, s.since, "; ".join(filter(None, (s.detail, tell_restarts(s)))))
                for s in report.services
            ],
        )
        print(f"dashboard {report.ui_url}   API {report.api_url}")
        if told := tell_alerts(settings):
            print(told)
    return 0 if report.ok else 3


def logs(  # noqa: PLR0913  (a verb's options)
    service: str | None = None,
    *,
    lines: int | None = None,
    follow: Flag = False,
    priority: Literal["crit", "err", "warning", "notice", "info", "debug"] | None = None,
    since: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    job: str | None = None,
    request: str | None = None,
) -> None:
    """The last lines of the logs; what is asked for together must hold together.

    With systemd they are entries of the journal with fields of their own (APPLIANCE_MODEL, _DATASET, _JOB, _REQUEST,
    LOGGER), which journalctl knows, too. Without, the files are asked for lines
    that name the model, dataset, job or request.

    Args:
        service: api, ui, orchestrator, runner, mlflow or tls; with systemd also backup or recover, without it also
            supervisor; all when left out.
        lines: How many a process; with systemd, in all. 50 when left out, or all with --since.
        follow: Go on showing new lines until Ctrl-C.
        priority: With systemd: only lines as bad as this, or worse; err shows the errors.
        since: With systemd: only lines of a span until now, such as 2h or 7d, or since a moment, such as 'yesterday'
            or '2026-11-30 22:00'.
        model: Only lines about this model.
        dataset: Only lines about this dataset.
        job: Only lines about the job of this id, as 'jobs list' shows it.
        request: Only lines about the request, or the error, of this id, which its answer told.
    """
    from appliance.processes.logs import Wanted, print_logs

    subjects = {"model": model, "dataset": dataset, "job": job, "request": request}
    about = {name: value for name, value in subjects.items() if value is not None}
    print_logs(
        load_settings(), service, lines=lines, follow=follow,
        wanted=Wanted(priority=priority, since=since, about=about),
    )  # fmt: skip


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

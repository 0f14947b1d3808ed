"""``appliance doctor``: what an operator would look at one by one, each with what to do about it."""

from __future__ import annotations

import sqlite3
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from appliance.clock import AHEAD, SETTLED
from appliance.errors import ApplianceError, BadSetting
from appliance.monitoring.recording import read_recording
from appliance.processes.check import Check
from appliance.processes.control import status
from appliance.processes.doctor_alerts import check_alerts, check_labels, keeps_ending, tell_restarts
from appliance.processes.doctor_content import check_serving_bundles, check_table_files
from appliance.processes.doctor_host import check_configuration, check_host
from appliance.processes.doctor_state import (
    check_ahead,
    check_backups,
    check_certificate,
    check_clock,
    check_databases,
    check_disk,
    check_interrupted,
    check_lag,
    check_permissions,
)
from appliance.processes.own_http import open_own
from appliance.processes.ports import describe_holder, is_free
from appliance.processes.roster import Service, roster
from appliance.processes.units import SOCKETS
from appliance.settings import Settings, list_strangers
from storage.channel_rows import list_channels
from storage.delivery_rows import DeliveryState, list_deliveries
from storage.errors import StorageError
from storage.statedb import connect
from storage.window_rows import fault_totals

HEARTBEAT_S = 120.0
ON_DEMAND = frozenset({"compaction", "studies"})
"""These run when there is something to do."""


CODES = {"state": "E006", "disk": "E006", "address": "E008", "certificate": "E014"}
"""Of looks that the installer's pre-flight takes as well."""
GUESTS = {"MLflow": "ui_mlflow_port", "Prefect": "ui_prefect_port"}
"""What the dashboard shows on ports of its own, and their settings."""


def run_checks(settings: Settings) -> list[Check]:
    """Every check, in the order in which one would fix things; none raises."""
    now = datetime.now(UTC)
    checks = _guarded("settings", _check_settings)
    checks += _guarded("host", lambda: check_host(settings))
    checks += _guarded("configuration", lambda: check_configuration(settings))
    checks += _guarded("state", lambda: check_permissions(settings))
    checks += _guarded("interrupted", lambda: check_interrupted(settings))
    checks += _guarded("disk", lambda: check_disk(settings))
    checks += _guarded("database", lambda: check_databases(settings))
    checks += _guarded("tables", lambda: check_table_files(settings))
    checks += _guarded("backup", lambda: check_backups(settings, now))
    if all(check.state != "fail" for check in checks if check.name == "database"):
        checks += _guarded("clock", lambda: _with_database(settings, lambda db: check_clock(settings, db, now)))
        checks += _guarded("bundles", lambda: _with_database(settings, lambda db: check_serving_bundles(settings, db)))
        checks += _guarded("events ahead", lambda: _with_database(settings, check_ahead))
        checks += _guarded("lag", lambda: _with_database(settings, lambda db: check_lag(settings, db)))
        checks += _guarded("event log", lambda: _check_recording(settings))
        checks += _guarded("watch loop", lambda: _check_heartbeats(settings))
        checks += _guarded("alerts", lambda: _with_database(settings, check_alerts))
        checks += _guarded("labels", lambda: _with_database(settings, lambda db: check_labels(db, now)))
        checks += _guarded("alert delivery", lambda: _check_deliveries(settings))
    checks += _guarded("address", lambda: _check_address(settings))
    checks += _guarded("certificate", lambda: check_certificate(settings, now))
    checks += _guarded("processes", lambda: _check_processes(settings))
    for service in roster(settings):
        checks += _guarded(f"{service.name} answers", partial(_check_service, service))
    for label, setting in GUESTS.items():
        checks += _guarded(f"{label} behind the login", partial(_check_guest, settings, label, setting))
    return [one if one.code else replace(one, code=CODES.get(one.name, "")) for one in checks]


def _with_database(settings: Settings, look: Callable[[sqlite3.Connection], list[Check]]) -> list[Check]:
    with closing(connect(settings.layout.database, read_only=True)) as connection:
        return look(connection)


def _guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except (ApplianceError, StorageError, sqlite3.Error, OSError, ValueError) as exc:
        return [
            Check(name=name, state="fail", message=str(exc), fix="do what it says, then run 'appliance doctor' again")
        ]


def _check_settings() -> list[Check]:
    """The settings file holds settings alone."""
    return [
        Check(name="settings", state="warn", message=sentence, fix="correct it, or take the line out of the file")
        for sentence in list_strangers()
    ] or [Check(name="settings", state="ok", message="every line of the settings file is understood")]


def _check_address(settings: Settings) -> list[Check]:
    """The address to listen on is this host's now: its interface may be gone."""
    try:
        is_free(settings.listen, 0)
    except BadSetting as exc:
        fix = "bring the interface up (ip address), or install with another --listen; what listens there waits for it"
        return [Check(name="address", state="fail", message=str(exc), fix=fix)]
    return [Check(name="address", state="ok", message=f"{settings.listen} is this host's")]


def _check_processes(settings: Settings) -> list[Check]:
    checks = []
    services = {service.name: service for service in roster(settings)}
    for process in status(settings).services:
        message = f"{process.state}{f': {process.detail}' if process.detail else ''}"
        if process.state == "running" and keeps_ending(process, datetime.now(UTC)):
            words = " --priority warning" if settings.systemd else ""
            fix = f"'appliance logs {process.name}{words}' says why it ends"
            message += f"; it {tell_restarts(process)}, the last time {process.since}"
            checks.append(Check(name=process.name, state="warn", message=message, fix=fix))
        elif process.state == "running":
            checks.append(Check(name=process.name, state="ok", message=message))
        elif process.pid is None and (taken := _find_taken(settings, services[process.name], process.state)):
            fix = (
                "end that; what is not there 10 s later, 'appliance up --detach' starts; or choose another port: "
                f"'./install.sh --{taken[0]} PORT'"
            )
            checks.append(
                Check(name=process.name, state="fail", message=f"{message}: {taken[1]}", fix=fix, code="E009")
            )
        else:
            fix = f"run 'appliance up --detach', then look at 'appliance logs {process.name}'"
            checks.append(Check(name=process.name, state="fail", message=message, fix=fix))
    return checks


def _find_taken(settings: Settings, service: Service, state: str) -> tuple[str, str] | None:
    """The flag of its port and a sentence, where another program has that."""
    if settings.systemd and service.name in SOCKETS and state != "stopped":  # then systemd itself has it
        return None
    try:
        if not service.port or is_free(service.host, service.port):
            return None
    except BadSetting:  # the line "address" says it
        return None
    return service.setting.replace("_", "-"), f"port {service.port} is taken{describe_holder(service.port)}"


def _check_service(service: Service) -> list[Check]:
    if not service.health:
        return []
    name = f"{service.name} answers"
    try:
        began = time.monotonic()
        with open_own(service.health, timeout_s=5) as answer:
            answer.read()
        return [Check(name=name, state="ok", message=f"{service.health} in {(time.monotonic() - began) * 1e3:.0f} ms")]
    except urllib.error.HTTPError as exc:
        message = f"{service.health} answers {exc.code}"
    except (OSError, ValueError) as exc:
        message = f"{service.health} does not answer: {exc}"
        if is_free(service.host, service.port):
            message = f"nothing listens on port {service.port}"
    return [Check(name=name, state="fail", message=message, fix=f"look at 'appliance logs {service.name}'")]


def _check_guest(settings: Settings, label: str, setting: str) -> list[Check]:
    """The dashboard's door before MLflow or Prefect asks who one is; what is behind it need not run."""
    port, name = int(getattr(settings, setting)), f"{label} behind the login"
    if not port:
        return []
    address = settings.ui_url.rsplit(":", 1)[0] + f":{port}/"
    # A port that nobody chose is left out where something else has it, and the dashboard says so when it starts.
    state: Literal["fail", "warn"] = "fail" if settings.is_chosen(setting) else "warn"
    fix = f"free port {port} or choose another with APPLIANCE_{setting.upper()}, and start the dashboard again"
    try:
        with open_own(address, timeout_s=5):
            message = f"something else answers at {address}"
    except urllib.error.HTTPError as exc:
        if exc.code == 401 and b"log in to the dashboard" in exc.read():
            return [Check(name=name, state="ok", message=f"{address} asks for a login")]
        message = f"something else answers {exc.code} at {address}"
    except (OSError, ValueError) as exc:
        message, fix = (
            f"{address} does not answer: {exc}",
            f"look at 'appliance logs ui'; or something else has it: {fix}",
        )
        if is_free(settings.listen, port):
            message, fix = f"nothing listens on port {port}", "look at 'appliance logs ui'"
        return [Check(name=name, state=state, message=message, fix=fix)]
    return [Check(name=name, state=state, message=message, fix=fix, code="E009")]


def _check_recording(settings: Settings) -> list[Check]:
    found = read_recording(settings.layout)
    since = f"{found.lost} predictions were answered and not recorded since the API started"
    if found.workers_off:
        message = f"{found.workers_off} workers of the API cannot write it; {since}"
        fix = "free space, or make the state directory writable; recording goes on by itself"
        return [Check(name="event log", state="fail", message=message, fix=fix)]
    if found.lost:
        return [
            Check(
                name="event log",
                state="warn",
                message=f"it is written again; {since}",
                fix="nothing is to be done; it is told until the API starts again",
            )
        ]
    connection = connect(settings.layout.database, read_only=True)
    try:
        faults = fault_totals(connection)
    finally:
        connection.close()
    torn = faults.get("torn", 0) + faults.get("undecodable", 0)
    skipped = f"; {torn} lines were skipped that are no records (torn by a power cut, or not ours)" if torn else ""
    return [Check(name="event log", state="ok", message=f"every answered prediction is recorded{skipped}")]


def _check_heartbeats(settings: Settings) -> list[Check]:
    connection = connect(settings.layout.database, read_only=True)
    try:
        rows = connection.execute(
            "SELECT name, at FROM heartbeats WHERE name NOT IN (?, ?) ORDER BY name", (SETTLED, AHEAD)
        ).fetchall()
    finally:
        connection.close()
    checks = []
    for row in rows:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(row["at"])).total_seconds()
        late = age_s > HEARTBEAT_S and row["name"] not in ON_DEMAND
        checks.append(
            Check(
                name=f"heartbeat of {row['name']}", state="fail" if late else "ok", message=f"{age_s:.0f} s ago",
                fix="look at 'appliance logs runner'" if late else "",
            )
        )  # fmt: skip
    return checks


def _check_deliveries(settings: Settings) -> list[Check]:
    connection = connect(settings.layout.database, read_only=True)
    try:
        channels = len(list_channels(connection))
        dead = [one for one in list_deliveries(connection, state=DeliveryState.DEAD) if one.alert is not None]
    finally:
        connection.close()
    if not channels:
        return [
            Check(
                name="alert delivery", state="ok", message="alerts are shown on the dashboard alone; no channel is set",
            )
        ]  # fmt: skip
    if dead:
        message = f"{len(dead)} messages were given up; the newest, through {dead[0].channel}: {dead[0].reason}"
        fix = "mend it ('appliance alerts channel test NAME'), then 'appliance alerts retry ID' or remove the channel"
        return [Check(name="alert delivery", state="fail", message=message, fix=fix)]
    return [Check(name="alert delivery", state="ok", message=f"{channels} channels, nothing was given up")]

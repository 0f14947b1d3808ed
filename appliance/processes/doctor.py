"""``appliance doctor``: what an operator would look at one by one, each with what to do about it."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from appliance.errors import ApplianceError
from appliance.monitoring.recording import read_recording
from appliance.processes.control import status
from appliance.processes.ports import is_free
from appliance.processes.roster import Service, roster
from appliance.settings import Settings
from storage.channel_rows import list_channels
from storage.delivery_rows import DeliveryState, list_deliveries
from storage.errors import StorageError
from storage.statedb import connect
from storage.window_rows import fault_totals

DISK_WARN, DISK_FAIL = 0.80, 0.95
"""Share of the file system in use."""
HEARTBEAT_S = 120.0
ON_DEMAND = frozenset({"compaction", "studies"})
"""These run when there is something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one look found; ``fix`` is empty when nothing has to be done."""

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""


def run_checks(settings: Settings) -> list[Check]:
    """Every check, in the order in which one would fix things; none raises."""
    checks = [_check_state(settings), _check_disk(settings), _check_libgomp()]
    checks += _guarded("database", lambda: _check_database(settings))
    checks += _guarded("processes", lambda: _check_processes(settings))
    checks += [check for service in roster(settings) for check in _check_service(service)]
    checks += _guarded("event log", lambda: _check_recording(settings))
    checks += _guarded("watch loop", lambda: _check_heartbeats(settings))
    checks += _guarded("alert delivery", lambda: _check_deliveries(settings))
    return checks


def _guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except (ApplianceError, StorageError, sqlite3.Error, OSError) as exc:
        return [
            Check(name=name, state="fail", message=str(exc), fix="do what it says, then run 'appliance doctor' again")
        ]


def _check_state(settings: Settings) -> Check:
    root = settings.state
    if not root.is_dir():
        return Check(name="state", state="fail", message=f"{root} does not exist", fix="run 'appliance migrate'")
    if not os.access(root, os.W_OK | os.X_OK):
        owner = root.stat().st_uid
        return Check(
            name="state", state="fail", message=f"{root} is not writable for this user",
            fix=f"run as its owner (uid {owner}) or as root, or remount it writable",
        )  # fmt: skip
    secret = settings.layout.secret
    if secret.exists() and secret.stat().st_mode & 0o077:
        return Check(name="state", state="fail", message=f"others may read {secret}", fix=f"run 'chmod 600 {secret}'")
    return Check(name="state", state="ok", message=f"{root} is writable, its secret is private")


def _check_disk(settings: Settings) -> Check:
    root = settings.state if settings.state.is_dir() else settings.state.anchor or "/"
    usage = shutil.disk_usage(root)
    used = 1 - usage.free / usage.total
    message = f"{used:.0%} of the file system below {root} is used, {usage.free / 1e9:.1f} GB are free"
    if used >= DISK_FAIL or usage.free < 200e6:
        return Check(name="disk", state="fail", message=message, fix="free space: events cannot be logged without it")
    if used >= DISK_WARN:
        return Check(name="disk", state="warn", message=message, fix="free space or move the state (--state)")
    return Check(name="disk", state="ok", message=message)


def _check_libgomp() -> Check:
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return Check(
            name="libgomp", state="fail", message="libgomp.so.1 is missing, which LightGBM needs",
            fix="install it: 'apt-get install libgomp1' or 'dnf install libgomp'",
        )  # fmt: skip
    return Check(name="libgomp", state="ok", message="libgomp.so.1 is there")


def _check_database(settings: Settings) -> list[Check]:
    connection = connect(settings.layout.database, read_only=True)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        connection.close()
    if found != "ok":
        return [Check(name="database", state="fail", message=f"it is damaged: {found}", fix="restore a backup")]
    return [Check(name="database", state="ok", message="whole, and of this release's schema")]


def _check_processes(settings: Settings) -> list[Check]:
    checks = []
    for process in status(settings).services:
        message = f"{process.state}{f': {process.detail}' if process.detail else ''}"
        if process.state == "running":
            checks.append(Check(name=process.name, state="ok", message=message))
        else:
            fix = f"run 'appliance up --detach', then look at 'appliance logs {process.name}'"
            checks.append(Check(name=process.name, state="fail", message=message, fix=fix))
    return checks


def _check_service(service: Service) -> list[Check]:
    if not service.health:
        return []
    name = f"{service.name} answers"
    try:
        began = time.monotonic()
        with urllib.request.urlopen(service.health, timeout=5) as answer:  # noqa: S310  (our own http URL)
            answer.read()
        return [Check(name=name, state="ok", message=f"{service.health} in {(time.monotonic() - began) * 1e3:.0f} ms")]
    except urllib.error.HTTPError as exc:
        message = f"{service.health} answers {exc.code}"
    except (OSError, ValueError) as exc:
        message = f"{service.health} does not answer: {exc}"
        if is_free(service.host, service.port):
            message = f"nothing listens on port {service.port}"
    return [Check(name=name, state="fail", message=message, fix=f"look at 'appliance logs {service.name}'")]


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
                name="event log", state="warn", message=f"it is written again; {since}", fix="restart the API to forget"
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
        rows = connection.execute("SELECT name, at FROM heartbeats ORDER BY name").fetchall()
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

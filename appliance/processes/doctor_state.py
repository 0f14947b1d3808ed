"""What ``appliance doctor`` sees in the state: permissions, room, databases, clock, backups, uncounted events."""

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.backups import find_folder_problem
from appliance.clock import AHEAD, EARLIEST, HELD, MOST_AWAY, SETTLED, is_synchronised
from appliance.monitoring.horizon import MOST_AHEAD_H, Horizon
from appliance.processes.check import Check
from appliance.processes.release_journal import Files
from appliance.settings import Settings
from storage.backups import DATABASES, Backup, list_backups
from storage.disk_budget import ALERT_SHARE, AMPLE_BYTES, Pressure, judge_disk, read_disk
from storage.eventlog import list_segments
from storage.restore import is_swapping
from storage.statedb import SCHEMA_VERSION, from_text
from storage.window_rows import count_ahead, find_heartbeat, read_cursors

AHEAD_S = 300.0
"""So far in the future a record of ours may be before the clock is called wrong."""
BACKUP_WARN_H, BACKUP_FAIL_H = 36, 96
LAG_WARN_BYTES = 64 << 20
CERTIFICATE_WARN_DAYS = 30
KINDS = ("predictions", "labels", "stats")
_RESTORE = "stop the appliance, then 'appliance backup restore --replace' puts the last backup in its place"

_PREFECT = (
    "run 'appliance down', move {path}* elsewhere, run 'appliance up --detach': the list of past jobs begins anew, all "
    "else stays"
)

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNREAD = {
    sqlite3.SQLITE_BUSY: "wait for what uses it, then run 'appliance doctor' again",
    sqlite3.SQLITE_IOERR: "see 'dmesg' for why (a failing disk?), then run 'appliance doctor' again",
}
"""What to do about a database that could not be looked at, by the error's number; else it is its owner or mode."""
_LACKS_ROOM, FULL_BYTES = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}), 1 << 20
"""What SQLite says of a full disk, too: the memory that its readers share is a file beside the database."""


def check_permissions(settings: Settings) -> list[Check]:
    """The state can be written, belongs to one user, and its secrets to nobody else."""
    root, layout = settings.state, settings.layout
    if not root.is_dir():
        return [Check(name="state", state="fail", message=f"{root} does not exist", fix="run 'appliance migrate'")]
    owner = root.stat().st_uid
    if _is_read_only(root):
        message = f"{root} lies on a file system that is read-only; predictions are answered and not recorded"
        fix = "see 'dmesg' for why (a failing disk?), then mount it writable again and run 'appliance up --detach'"
        return [Check(name="state", state="fail", message=message, fix=fix)]
    if not os.access(root, os.W_OK | os.X_OK):
        message, fix = (
            f"{root} is not writable for this user",
            f"run as its owner ({_name(owner)}) or as root",
        )
        return [Check(name="state", state="fail", message=message, fix=fix)]
    for secret in (layout.secret, layout.admin_password, layout.signing_key, settings.backups):
        if secret.exists() and secret.stat().st_mode & 0o077:
            mode = "700" if secret.is_dir() else "600"
            fix = f"run 'chmod {mode} {secret}'"
            return [Check(name="state", state="fail", message=f"others may read {secret}", fix=fix)]
    for stranger, uid in _owners(root):
        if uid != owner:
            message = f"{stranger} belongs to {_name(uid, unknown='uid ')}, the state to {_name(owner)}"
            return [Check(name="state", state="fail", message=message, fix=f"run 'chown -R {_name(owner)} {root}'")]
    return [Check(name="state", state="ok", message=f"{root} is writable, its secrets are private")]


def check_interrupted(settings: Settings) -> list[Check]:
    """No upgrade or restore was left half way."""
    if is_swapping(settings.layout):
        message = "a restore was interrupted between two renames"
        return [
            Check(name="interrupted", state="fail", message=message, fix="run 'appliance migrate', which finishes it")
        ]
    journal = Files(settings.layout, Path("/")).find_journal()
    if journal is not None:
        message = f"the change from release {journal.before} to {journal.after}, begun {journal.began_at}, is under way"
        fix = "wait for it; if nothing is at work, reboot or run './install.sh' again, which takes it back"
        return [Check(name="interrupted", state="warn", message=message, fix=fix)]
    return []


def check_disk(settings: Settings) -> list[Check]:
    """There is room, as ``storage.disk_budget`` has it."""
    root = settings.state if settings.state.is_dir() else Path(settings.state.anchor or "/")
    use = read_disk(root)
    pressure = judge_disk(use)
    message = f"{use.used_share:.0%} of the file system below {root} is used, {use.free / 1e9:.1f} GB are free"
    fix = "free space ('appliance retention --dry-run' shows what may go), or move the state (--state)"
    if pressure >= Pressure.NO_CAPTURE or use.free < 200e6:
        what = "jobs are refused" if pressure is Pressure.NO_JOBS else "predictions are not recorded"
        return [Check(name="disk", state="fail", message=f"{message}: {what}", fix=fix)]
    if pressure is Pressure.ALERT:
        return [Check(name="disk", state="warn", message=message, fix=fix)]
    if use.used_share >= ALERT_SHARE:
        message += f", more than the {AMPLE_BYTES >> 30} GiB from which on the shares do not count"
    return [Check(name="disk", state="ok", message=message)]


def check_databases(settings: Settings) -> list[Check]:
    """Every page of the databases can be read, and ours has this release's schema."""
    checks = []
    for name in DATABASES:
        path = settings.state / name
        if not path.exists():
            if name == "appliance.db":
                fix = "mount the disk of the state, if it has one; else restore a backup, or run 'appliance migrate'"
                checks.append(Check(name="database", state="fail", message=f"{path} does not exist", fix=fix))
            continue
        label = "database" if name == "appliance.db" else f"database of {name.partition('/')[0]}"
        number, version = sqlite3.SQLITE_CORRUPT, SCHEMA_VERSION
        try:
            problem, version = _read_database(path)
        except sqlite3.Error as exc:
            problem, number = str(exc), getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if problem:
            checks.append(_tell_fault(label, path, problem, number))
        elif name == "appliance.db" and version != SCHEMA_VERSION:
            message = f"{path} has schema {version}, this release needs {SCHEMA_VERSION}"
            fix = "run 'appliance migrate' with the newest installed release"
            checks.append(Check(name=label, state="fail", message=message, fix=fix))
        else:
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            schema = f", schema {version}" if name == "appliance.db" else ""
            checks.append(Check(name=label, state="ok", message=f"whole, {size}{schema}"))
    return checks


def check_clock(settings: Settings, connection: sqlite3.Connection, now: datetime) -> list[Check]:
    """Nothing of ours was written in the future: else the clock was set back, or was wrong before."""
    if now < EARLIEST:
        message = f"it says {now:%Y-%m-%d %H:%M:%S}Z, and this release was made after {EARLIEST:%Y-%m-%d}"
        fix = "set it right (timedatectl); a host without a battery for its clock needs a time server"
        return [Check(name="clock", state="fail", message=message, fix=fix)]
    texts = connection.execute(
        "SELECT max(at) AS at FROM audit UNION ALL SELECT max(at) FROM heartbeats WHERE name <> ?", (AHEAD,)
    ).fetchall()
    written = [from_text(row["at"]) for row in texts if row["at"]]
    written += [backup.created_at for backup in list_backups(settings.backups)[:1]]
    ahead_s = max(((at - now).total_seconds() for at in written), default=0.0)
    if ahead_s > AHEAD_S:
        message = f"it says {now:%Y-%m-%d %H:%M:%S}Z, and {ahead_s:.0f} s later something was written: it was set back"
        fix = "set it right (timedatectl); until then new events count into the wrong windows"
        return [Check(name="clock", state="fail", message=message, fix=fix)]
    settled = find_heartbeat(connection, SETTLED)
    if settled is not None and now - settled.at > MOST_AWAY:
        message = f"it says {now:%Y-%m-%d}, and the last day before was {settled.at:%Y-%m-%d}"
        fix = f"set it right (timedatectl); nothing is let go for its age until it has held for {HELD.days} days"
        return [Check(name="clock", state="warn", message=message, fix=fix)]
    synchronised = is_synchronised()
    kept = "" if synchronised is None else f"; {'a' if synchronised else 'no'} time server keeps it right"
    message = f"{now:%Y-%m-%d %H:%M:%S}Z, and nothing was written later{kept}"
    return [Check(name="clock", state="ok", message=message)]


def check_ahead(connection: sqlite3.Connection) -> list[Check]:
    """No events are dated into the future, as they are once a clock ran ahead; nothing is said without any."""
    found = count_ahead(connection, after_hour=Horizon.now(connection).hour)
    if not found:
        return []
    last = datetime.fromtimestamp(max(hour for _, hour in found.values()) * 3600, UTC)
    message = (
        f"{sum(rows for rows, _ in found.values())} predictions of {', '.join(found)} are dated more than "
        f"{MOST_AHEAD_H} h ahead of the clock, up to {last:%Y-%m-%d %H}h; a clock ran ahead, or callers send such times"
    )
    fix = (
        "if the clock is wrong now, set it right (timedatectl); else nothing: pages and alerts go by the events that "
        "are not ahead, and these count once their time has come"
    )
    return [Check(name="events ahead", state="warn", message=message, fix=fix)]


def check_backups(settings: Settings, now: datetime) -> list[Check]:
    """There is a backup that was proved not long ago."""
    if problem := find_folder_problem(settings):
        fix = "do what it says, then run './install.sh' again where units run, and 'appliance backup create'"
        return [Check(name="backup", state="fail", message=f"none can be made: {problem}", fix=fix)]
    backups = list_backups(settings.backups)
    good = next((backup for backup in backups if backup.proved), None)
    newest = backups[0] if backups else None
    if good is None:
        # The secret is written once; the state's folder changes with each file that comes or goes in it.
        age_h = _age_h(settings.layout.secret, now) if settings.layout.secret.exists() else 0.0
        young = settings.layout.secret.exists() and age_h < BACKUP_WARN_H
        message = f"none was proved yet{_problem(newest)}"
        if young and newest is None:
            return [Check(name="backup", state="ok", message=f"{message}; the first night is still to come")]
        fix = "run 'appliance backup create'"
        return [
            Check(
                name="backup",
                state="fail" if age_h > BACKUP_FAIL_H else "warn",
                message=message,
                fix=fix,
            )
        ]
    age_h = (now - good.created_at).total_seconds() / 3600
    message = f"{good.name} was proved, {age_h:.0f} h ago{_problem(newest)}"
    if age_h > BACKUP_FAIL_H:
        return [
            Check(name="backup", state="fail", message=message, fix="run 'appliance backup create', see what it says")
        ]
    if age_h > BACKUP_WARN_H or (newest is not None and newest.notes.problem):
        fix = "mend what it names, then " if newest is not None and newest.notes.problem else ""
        return [Check(name="backup", state="warn", message=message, fix=f"{fix}run 'appliance backup create'")]
    return [Check(name="backup", state="ok", message=message)]


def check_lag(settings: Settings, connection: sqlite3.Connection) -> list[Check]:
    """Events that the watch loop has not counted yet."""
    behind = 0
    for kind in KINDS:
        cursors = read_cursors(connection, kind)
        for path in list_segments(settings.layout.events / kind):
            behind += max(0, path.stat().st_size - cursors.get(path.name, 0))
    message = f"{behind / 1e6:.1f} MB of the event log wait to be counted"
    if behind > LAG_WARN_BYTES:
        return [Check(name="lag", state="warn", message=message, fix="look at 'appliance logs runner'")]
    return [Check(name="lag", state="ok", message=message)]


def check_certificate(settings: Settings, now: datetime) -> list[Check]:
    """The certificate, where there is one, is valid for a while."""
    if settings.tls_cert is None:
        return []
    from appliance.processes.certificate import read_expiry  # noqa: PLC0415  (loads cryptography)

    fix = "replace it with './install.sh --tls CERT,KEY', or have one made anew with '--tls self'"
    try:
        expiry = read_expiry(settings.tls_cert)
    except (OSError, ValueError) as exc:
        return [Check(name="certificate", state="fail", message=f"{settings.tls_cert} cannot be read: {exc}", fix=fix)]
    days = (expiry - now).total_seconds() / 86_400
    message = f"valid until {expiry:%Y-%m-%d}, {days:.0f} days"
    if days < 0:
        return [Check(name="certificate", state="fail", message=f"it expired on {expiry:%Y-%m-%d}", fix=fix)]
    if days < CERTIFICATE_WARN_DAYS:
        return [Check(name="certificate", state="warn", message=message, fix=fix)]
    return [Check(name="certificate", state="ok", message=message)]


def _is_read_only(path: Path) -> bool:
    """The kernel makes a file system so where the disk gives errors."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _name(uid: int, *, unknown: str = "") -> str:
    """Of a user, where the host knows one; else its number behind ``unknown``."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{unknown}{uid}"


def _tell_fault(label: str, path: Path, problem: str, number: int) -> Check:
    """Of a database, with SQLite's primary error number: a restore is the way out of damage alone."""
    if _is_read_only(path):
        message = f"{path} cannot be looked at while its file system is read-only: {problem}"
        fix = "mount it writable again, then run 'appliance doctor' again"
    elif number in _LACKS_ROOM and read_disk(path.parent).free < FULL_BYTES:
        message = f"{path} cannot be looked at while its disk is full: {problem}"
        fix = "free space, then run 'appliance doctor' again"
    elif number in _DAMAGED:
        message = f"{path} is damaged: {problem}"
        fix = _PREFECT.format(path=path) if label == "database of prefect" else _RESTORE
    else:
        message = f"{path} cannot be read: {problem}"
        owner = _name(path.parent.stat().st_uid)
        fix = _UNREAD.get(
            number, f"run as root or as {owner}; 'ls -l {path}*' shows who owns it, it is {owner}'s to read and write"
        )
    return Check(name=label, state="fail", message=message, fix=fix)


def _read_database(path: Path) -> tuple[str, int]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    return ("" if found == "ok" else str(found)), version


def _problem(newest: Backup | None) -> str:
    return f"; {newest.name} is not good: {newest.notes.problem}" if newest and newest.notes.problem else ""


def _age_h(path: Path, now: datetime) -> float:
    return (now.timestamp() - path.stat().st_mtime) / 3600


def _owners(root: Path) -> Iterator[tuple[Path, int]]:
    """Two levels: what root once made there would stop the processes; ``lost+found`` is a file system's own."""
    for path in (path for pattern in ("*", "*/*") for path in root.glob(pattern)):
        with suppress(FileNotFoundError):  # uploads, for example, come and go
            if path.name != "lost+found":
                yield path, path.lstat().st_uid

"""What is kept for how long, and what goes: shown first when asked for, done nightly."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from appliance.backups import Backups
from appliance.clock import trusted_now
from appliance.compaction import KINDS, tidy_history
from appliance.deployments import CHAMPION, version_before
from appliance.errors import ApplianceError
from appliance.monitoring.service import add_up, parse_service
from appliance.old_jobs import KEEP_DAYS, KEEP_EVENTS_DAYS, count_old_jobs
from appliance.settings import Settings
from storage import aging
from storage.backups import remove_backup
from storage.datasets import list_datasets
from storage.deployment_rows import deployment_history, live_deployments
from storage.errors import StorageError
from storage.figures import forget_days
from storage.forgetting import OldSnapshot, forget_snapshots, list_old_snapshots
from storage.history import list_old_days
from storage.model_rows import find_version, list_trained_on
from storage.outcome_rows import DAY_US, count_old_outcomes, remove_old_outcomes
from storage.restore import is_swapping
from storage.statedb import connect

SCRATCH_S = 86_400.0
"""What lies longer in ``tmp`` belongs to nobody who still runs."""

MINUTES_DAYS = 30
"""Days that counts of traffic are kept by the minute: afterwards nobody looks at less than an hour."""

log = logging.getLogger("appliance.retention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """One thing that may go.

    Attributes:
        kind: ``history``, ``labels``, ``rows``, ``minutes``, ``runs``, ``datasets``, ``backups`` or ``scratch``; also
            ``jobs``, which go by themselves.
        what: Its name.
        bytes: That are freed; 0 where that is not known before.
        why: The rule, with its setting.
    """

    kind: str
    what: str
    bytes: int
    why: str


class Retention:
    """The rules of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._backups = Backups(settings)

    def plan(self) -> Sequence[Spare]:
        """What would go now, by kind."""
        return [one for find, _ in self._kinds().values() for one in find()]

    def _kinds(self) -> dict[str, tuple[Callable[[], Iterable[Spare]], Callable[[], object]]]:
        """Kind to what finds what may go, and what lets it go."""
        return {
            "history": (self._history, lambda: tidy_history(self._settings)),
            "labels": (self._labels, self._remove_labels),
            "rows": (self._rows, self._remove_rows),
            "minutes": (self._minutes, self._add_up_minutes),
            "runs": (self._runs, self._remove_runs),
            "datasets": (self._snapshots, self._forget_snapshots),
            "backups": (self._old_backups, self._remove_backups),
            "scratch": (self._scratch, self._remove_scratch),
            "jobs": (self._jobs, lambda: None),  # which go by themselves
        }

    def apply(self) -> Sequence[Spare]:
        """Let it go; what fails is logged, the rest goes on.

        Returns:
            What went.
        """
        kinds, found = self._kinds(), dict[str, list[Spare]]()
        for kind, (find, _) in kinds.items():
            with _apart(kind):
                found[kind] = list(find())
        gone: list[Spare] = []
        for kind, wanted in found.items():
            if wanted and kind != "jobs":
                with _apart(kind):
                    kinds[kind][1]()
                    gone += wanted
        if self._settings.history_days:
            with _apart("figures"):  # what was worked out of rows, whenever it was, goes with their day
                forget_days(self._layout.figures, before=self._oldest_us() // DAY_US)
        return gone

    def _history(self) -> Iterator[Spare]:
        days = self._settings.history_days
        if not days:
            return
        oldest = (self._now.date() - timedelta(days=days)).isoformat()
        for kind in KINDS:
            for model, day, size in list_old_days(self._layout, kind, before=oldest):
                why = f"older than history_days = {days}"
                yield Spare(kind="history", what=f"{kind} of {model}, {day}", bytes=size, why=why)

    def _labels(self) -> Iterator[Spare]:
        """Labelled predictions in the state database, one row each."""
        days = self._settings.history_days
        if not days:
            return
        with closing(connect(self._layout.database, read_only=True)) as connection:
            found = count_old_outcomes(connection, before_us=self._oldest_us())
        for model, count in found:
            why = f"older than history_days = {days}; the windows' counts stay"
            yield Spare(kind="labels", what=f"{count} labelled predictions of {model}", bytes=0, why=why)

    def _remove_labels(self) -> None:
        before_us = self._oldest_us()
        with closing(connect(self._layout.database)) as connection:
            for model, _ in count_old_outcomes(connection, before_us=before_us):
                remove_old_outcomes(connection, model, before_us=before_us)

    def _rows(self) -> Iterator[Spare]:
        """What else the state database collects with time."""
        days, oldest = self._settings.history_days, self._oldest()
        if not days:
            return
        with closing(connect(self._layout.database, read_only=True)) as connection:
            found = {what: aging.count_old(connection, what, before=oldest) for what in aging.AGING}
            found["nightly studies"] = aging.count_old_studies(connection, before=oldest)
        for what, count in found.items():
            if count:
                yield Spare(kind="rows", what=f"{count} {what}", bytes=0, why=f"older than history_days = {days}")

    def _remove_rows(self) -> None:
        oldest = self._oldest()
        with closing(connect(self._layout.database)) as connection:
            for what in aging.AGING:
                aging.remove_old(connection, what, before=oldest)
            aging.remove_old_studies(connection, before=oldest)

    def _minutes(self) -> Iterator[Spare]:
        with closing(connect(self._layout.database, read_only=True)) as connection:
            found = aging.count_old_minutes(connection, before=self._first_fine_minute())
        why = f"counts of traffic are kept by the minute for {MINUTES_DAYS} days, and by the hour for good"
        for model, count in found:
            yield Spare(kind="minutes", what=f"{count} minutes of {model}, added up to hours", bytes=0, why=why)

    def _add_up_minutes(self) -> None:
        def add(counts: Iterable[bytes]) -> bytes:
            return add_up(parse_service(one) for one in counts).dump()

        with closing(connect(self._layout.database)) as connection:
            aging.add_up_minutes(connection, add, before=self._first_fine_minute())

    @cached_property
    def _now(self) -> datetime:
        """By which ages are judged, the same for all that is planned and done."""
        return trusted_now(self._layout)

    def _oldest(self) -> datetime:
        """The first instant of the oldest day that is kept."""
        day = self._now.replace(hour=0, minute=0, second=0, microsecond=0)
        return day - timedelta(days=self._settings.history_days)

    def _oldest_us(self) -> int:
        return int(self._oldest().timestamp()) * 1_000_000

    def _first_fine_minute(self) -> int:
        """Since 1970; a whole day's first."""
        return (int(self._now.timestamp()) // 86_400 - MINUTES_DAYS) * 1440

    def _runs(self) -> Iterator[Spare]:
        for run in self._spare_runs():
            folder = self._artifacts(run)
            why = f"older than runs_days = {self._settings.runs_days}; its version neither serves nor stands by"
            yield Spare(kind="runs", what=run.name, bytes=_size(folder) if folder else 0, why=why)

    def _spare_runs(self) -> list[_Run]:
        """Runs of versions that are nobody's champion or challenger, not deployed, and not what a rollback goes to.

        A trial of a search stays as long as its training's run does.
        """
        database = self._layout.mlflow / "mlflow.db"
        if not self._settings.runs_days or not database.exists():
            return []
        oldest_ms = (self._now.timestamp() - self._settings.runs_days * 86_400) * 1000
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=20.0)) as store:
            rows = store.execute(
                "SELECT r.run_uuid, r.name, r.artifact_uri, coalesce(training.run_uuid, r.run_uuid) FROM runs r "
                "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId' "
                "LEFT JOIN runs training ON training.run_uuid = t.value "
                "WHERE r.end_time IS NOT NULL AND r.end_time < :oldest "
                "AND (training.run_uuid IS NULL OR training.end_time < :oldest) ORDER BY r.end_time",
                {"oldest": oldest_ms},
            ).fetchall()
        needed = self._needed_runs()
        return [_Run(id=row[0], name=row[1] or row[0], uri=row[2] or "") for row in rows if row[3] not in needed]

    def _needed_runs(self) -> set[str]:
        with closing(connect(self._layout.database, read_only=True)) as connection:
            needed = {
                str(row[0])
                for row in connection.execute(
                    "SELECT run_id FROM versions WHERE alias IS NOT NULL UNION SELECT v.run_id FROM versions v "
                    "JOIN deployments d ON d.model = v.model AND d.version = v.version AND d.ended_at IS NULL"
                )
            }
            for live in live_deployments(connection):
                if live.role == CHAMPION:
                    before = version_before(deployment_history(connection, live.model), live)
                    row = None if before is None else find_version(connection, live.model, before)
                    needed |= set() if row is None else {row.run_id}
        return needed

    def _artifacts(self, run: _Run) -> Path | None:
        """The run's folder; only below our own."""
        path = Path(run.uri.removeprefix("file://"))
        ours = (self._layout.mlflow / "artifacts").absolute()
        return path.parent if path.name == "artifacts" and path.is_relative_to(ours) and path.parent != ours else None

    def _remove_runs(self) -> None:
        from appliance.registry.registry import Registry  # noqa: PLC0415  (loads MLflow)

        runs = self._spare_runs()
        Registry(self._layout, self._settings.mlflow_uri).forget([run.id for run in runs])
        for run in runs:
            if folder := self._artifacts(run):
                shutil.rmtree(folder, ignore_errors=True)

    def _snapshots(self) -> Iterator[Spare]:
        settings = self._settings
        why = (
            f"older than snapshot_days = {settings.snapshot_days}, not among the newest keep_snapshots = "
            f"{settings.keep_snapshots}, and no model was trained on it"
        )
        for one in self._old_snapshots():
            yield Spare(kind="datasets", what=f"{one.dataset} version {one.version}", bytes=one.bytes, why=why)

    def _old_snapshots(self) -> Iterator[OldSnapshot]:
        if not self._settings.snapshot_days:
            return
        before_ms = int((self._now.timestamp() - self._settings.snapshot_days * 86_400) * 1000)
        with closing(connect(self._layout.database, read_only=True)) as connection:
            for name in list_datasets(self._layout):
                kept = list_trained_on(connection, name)
                newest = self._settings.keep_snapshots
                try:
                    yield from list_old_snapshots(self._layout, name, before_ms=before_ms, newest=newest, kept=kept)
                except StorageError as exc:
                    log.error("versions of the dataset %s cannot be judged: %s", name, exc, extra={"dataset": name})

    def _forget_snapshots(self) -> None:
        versions: dict[str, list[int]] = {}
        for one in self._old_snapshots():
            versions.setdefault(one.dataset, []).append(one.version)
        for name, old in versions.items():
            forget_snapshots(self._layout, name, old)

    def _old_backups(self) -> Iterator[Spare]:
        why = (
            f"beyond backup_keep = {self._settings.backup_keep} or backup_keep_days = {self._settings.backup_keep_days}"
        )
        for backup in self._backups.spare():
            yield Spare(kind="backups", what=backup.name, bytes=backup.notes.bytes, why=why)

    def _remove_backups(self) -> None:
        for backup in self._backups.spare():
            remove_backup(backup)

    def _jobs(self) -> Iterator[Spare]:
        """What the orchestrator removes while it runs; there is no step of ours for it."""
        try:
            found = count_old_jobs(self._layout, self._now)
        except sqlite3.Error as exc:
            log.error("finished jobs cannot be counted: %s", exc)
            return
        by_itself = "the orchestrator removes them by itself, every hour"
        if found.jobs:
            what = f"{found.jobs} finished jobs, {found.lines} lines of their logs"
            yield Spare(kind="jobs", what=what, bytes=0, why=f"older than {KEEP_DAYS} days; {by_itself}")
        if found.events:
            why = f"older than {KEEP_EVENTS_DAYS} days; {by_itself}"
            yield Spare(kind="jobs", what=f"{found.events} events of the orchestrator", bytes=0, why=why)

    def _scratch(self) -> Iterator[Spare]:
        for path in self._old_scratch():
            yield Spare(kind="scratch", what=path.name, bytes=_size(path), why="left in tmp for more than a day")

    def _old_scratch(self) -> list[Path]:
        if is_swapping(self._layout):
            return []
        oldest = min(time.time(), self._now.timestamp()) - SCRATCH_S
        return [path for path in sorted(self._layout.tmp.glob("*")) if _newest(path) < oldest]

    def _remove_scratch(self) -> None:
        for path in self._old_scratch():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def _apart(kind: str) -> Iterator[None]:
    """Log what fails: a kind that is damaged keeps nothing else from going."""
    try:
        yield
    except Exception as exc:
        known = isinstance(exc, ApplianceError | StorageError | sqlite3.Error | OSError)
        log.error("%s were not removed: %s: %s", kind, type(exc).__name__, exc, exc_info=not known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    id: str
    name: str
    uri: str


def _size(path: Path) -> int:
    """Bytes of a file, or of those below a folder; of one that has gone meanwhile, none."""
    size = 0
    for one in path.rglob("*") if path.is_dir() else [path]:
        with suppress(FileNotFoundError):
            size += one.stat().st_size if one.is_file() else 0
    return size


def _newest(path: Path) -> float:
    """When anything in it was last changed; now, where it goes while it is looked at: somebody works in it."""
    try:
        changed = [path.lstat().st_mtime]
        for folder, _, files in os.walk(path):
            changed += [(Path(folder) / name).lstat().st_mtime for name in files]
    except FileNotFoundError:
        return time.time()
    return max(changed)

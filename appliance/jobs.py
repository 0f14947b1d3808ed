"""Jobs: trainings, retrainings, batch predictions and feeds' runs, followed through Prefect's REST API."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import msgspec

from appliance.disk import require_room_for_jobs
from appliance.errors import BadInput, Conflict, NotFound, NotReady
from appliance.model_card import PredictionReport, TrainingReport
from appliance.models import require_model
from appliance.orchestrator import (
    CANCELLED,
    CANCELLING,
    DEPLOYMENT,
    PENDING,
    RUNNING,
    SCHEDULED,
    FlowRun,
    Orchestrator,
)  # fmt: skip
from appliance.settings import Settings
from storage.audit_rows import AuditEntry, append_audit
from storage.deployment_rows import find_deployment
from storage.layout import Layout
from storage.model_rows import find_alias, find_version
from storage.progress_rows import find_progress, find_result
from storage.statedb import connect

OUT_SUFFIXES = (".parquet", ".csv", ".ndjson")
"""What a batch prediction can write."""

DEMO_MODEL = "bike-demand"
"""The model that the demo makes."""

POLL_S = 0.25
"""How often ``wait`` looks."""

PATIENCE_S = 60.0
"""How long ``wait`` bears with an orchestrator that restarts."""


class JobKind(StrEnum):
    """What a job does."""

    TRAIN = "train"
    RETRAIN = "retrain"
    PREDICT = "predict"
    FEED = "feed"
    DEMO = "demo"


class JobState(StrEnum):
    """Where a job stands; the last four are final."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """No other state follows."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CRASHED, JobState.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job; ``message`` says why it failed, or what it is waiting for.

    Attributes:
        model: What it works for; the dataset, where a feed ran.
    """

    id: str
    kind: JobKind
    model: str
    state: JobState
    message: str
    who: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The metric after a boosting round, on the training and on the early-stopping rows."""

    iteration: int
    train: float
    valid: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is: ``fraction`` in [0, 1]."""

    job_id: str
    model: str
    step: str
    fraction: float
    message: str
    curve: tuple[CurvePoint, ...]
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a job's log; ``level`` is DEBUG, INFO, WARNING or ERROR."""

    at: datetime
    level: str
    message: str


class Jobs:
    """The jobs of one appliance.

    Every method that asks the orchestrator raises NotReady when it does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._orchestrator = Orchestrator(settings)

    def close(self) -> None:
        """Close the connections to the orchestrator."""
        self._orchestrator.close()

    def start_training(self, model: str, *, who: str, version: int | None = None) -> str:
        """Train on the dataset's newest snapshot, or on ``version``; returns the job's id.

        Raises:
            NotFound: No such model.
            SnapshotNotFound: Its dataset has no such version.
        """
        if version is not None:
            from storage.datasets import get_snapshot  # noqa: PLC0415  (loads Polars)

            with self._database() as connection:
                dataset = require_model(connection, model).dataset
            get_snapshot(self._layout, dataset, version)
        return self._start(JobKind.TRAIN, model, who, {"dataset_version": version})

    def start_retraining(self, model: str, *, who: str) -> str:
        """Append the labelled events not collected yet to the dataset, then train on all; returns the job's id.

        Raises:
            NotFound: No such model.
        """
        return self._start(JobKind.RETRAIN, model, who, {})

    def start_prediction(self, model: str, file: Path, out: Path, *, who: str, version: int | None = None) -> str:
        """Score a file; ``out`` ends in .parquet, .csv or .ndjson; returns the job's id.

        Raises:
            NotFound: No such model, version or file.
            BadInput: ``out`` has another ending, or its folder does not exist.
        """
        file, out = file.absolute(), out.absolute()
        if not file.is_file():
            raise NotFound(f"there is no file {file}")
        require_out(out)
        with self._database() as connection:
            row = require_model(connection, model)
            serving = find_deployment(connection, row.name, "champion")
            if version is not None and find_version(connection, model, version) is None:
                raise NotFound(f"model {model!r} has no version {version}")
            if version is None and serving is None and find_alias(connection, model, "champion") is None:
                raise NotFound(
                    f"model {model!r} has no version to predict with; train it with 'appliance train {model}'"
                )
        parameters = {"file": str(file), "out": str(out), "version": version}
        return self._start(JobKind.PREDICT, model, who, parameters)

    def start_demo(self, *, who: str) -> str:
        """Load the demo, or what is left of it; returns the job's id.

        Raises:
            Conflict: It is being loaded.
        """
        for job in self.list():
            if job.kind is JobKind.DEMO and not job.state.final:
                raise Conflict(f"the demo is being loaded already, by job {job.id}")
        return self._ask(JobKind.DEMO, DEMO_MODEL, who, {})

    def again(self, job_id: str, *, who: str) -> str:
        """Ask for the same as a job that has ended; returns the new job's id.

        Raises:
            NotFound: No such job, or what it worked with is gone.
            BadInput: The folder of its result is gone.
            Conflict: It has not ended; it is a feed's, which comes again by itself; or it is a prediction that has its
                result, which may have been changed since.
        """
        run = self._run(job_id)
        job, given = _job(run), run.parameters
        if not job.state.final:
            raise Conflict(f"job {job_id} has not ended; it is {job.state}")
        if job.kind is JobKind.FEED:
            raise Conflict(f"a feed runs again by itself; 'appliance data refresh {job.model}' does not wait for it")
        if job.kind is JobKind.DEMO:
            return self.start_demo(who=who)
        if job.kind is JobKind.PREDICT:
            if job.state is JobState.COMPLETED:
                raise Conflict(f"job {job_id} has its result; score the file anew with 'appliance predict'")
            if not {"file", "out"} <= given.keys():
                raise Conflict(f"job {job_id} was not begun here, so that its files are not known")
            file, out = Path(str(given["file"])), Path(str(given["out"]))
            return self.start_prediction(job.model, file, out, who=who, version=given.get("version"))
        if job.kind is JobKind.RETRAIN:
            return self.start_retraining(job.model, who=who)
        return self.start_training(job.model, who=who, version=given.get("dataset_version"))

    def list(self, limit: int = 50) -> tuple[Job, ...]:
        """The newest jobs, newest first."""
        return tuple(_job(run) for run in self._orchestrator.list_runs(limit=limit))

    def running(self) -> tuple[Job, ...]:
        """Those that a stop of the runner ends now, and an upgrade with it."""
        return tuple(_job(run) for run in self._orchestrator.runs_in(PENDING, RUNNING, CANCELLING))

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: No such job.
        """
        return _job(self._run(job_id))

    def logs(self, job_id: str, *, limit: int = 1000) -> tuple[LogLine, ...]:
        """The last lines of its log, oldest first.

        Raises:
            NotFound: No such job.
        """
        self._run(job_id)
        return tuple(
            LogLine(at=record.timestamp, level=logging.getLevelName(record.level), message=record.message)
            for record in self._orchestrator.logs(job_id, limit=limit)
        )

    def cancel(self, job_id: str, *, who: str) -> Job:
        """Stop a job, which the audit keeps; one that has ended stays as it is.

        Raises:
            NotFound: No such job.
            Conflict: A feed runs, which ends by itself.
        """
        run = self._run(job_id)
        if _job(run).kind is JobKind.FEED and not _state(run).final:
            raise Conflict(
                "a feed's run ends by itself; 'appliance data feeds --stop DATASET' keeps it from running again"
            )
        if _state(run) is JobState.SCHEDULED and run.state is not None and run.state.type == SCHEDULED:
            self._orchestrator.set_state(job_id, CANCELLED, f"cancelled by {who} before it started")
        elif not _state(run).final:
            self._orchestrator.set_state(job_id, CANCELLING, f"cancelled by {who}; the runner stops it", force=True)
            self._ring()
        if not _state(run).final:
            job = _job(run)
            told = f"job {job_id}: {job.kind.value}, asked for by {job.who}"
            with self._database() as connection:
                entry = AuditEntry(at=datetime.now(UTC), who=who, action="job.cancel", subject=job.model, detail=told)
                append_audit(connection, entry)
        return self.get(job_id)

    def progress(self, job_id: str) -> JobProgress | None:
        """How far it is; None before its first step. Asks the state database only."""
        with self._database() as connection:
            row = find_progress(connection, job_id)
        if row is None:
            return None
        curve = tuple(CurvePoint(iteration=point[0], train=point[1], valid=point[2]) for point in row.curve)
        return JobProgress(
            job_id=row.job_id, model=row.model or "", step=row.step, fraction=row.fraction, message=row.message,
            curve=curve, updated_at=row.updated_at,
        )  # fmt: skip

    def report(self, job_id: str) -> TrainingReport | PredictionReport | None:
        """What a completed job brought; None while there is nothing. Asks the state database only."""
        with self._database() as connection:
            result = find_result(connection, job_id)
        return None if result is None else msgspec.json.decode(result, type=TrainingReport | PredictionReport)

    def wait(
        self, job_id: str, on_progress: Callable[[Job, JobProgress | None], None] | None = None,
        *, timeout_s: float | None = None,
    ) -> Job:  # fmt: skip
        """Block until the job has ended; ``on_progress`` is called whenever something changed.

        Raises:
            NotFound: No such job.
            NotReady: The orchestrator stopped answering for a minute, or the time ran out.
        """
        began = answered = time.monotonic()
        told: tuple[Job, JobProgress | None] | None = None
        while True:
            try:
                job = self.get(job_id)
                answered = time.monotonic()
            except NotReady:
                if time.monotonic() - answered > PATIENCE_S:
                    raise
                time.sleep(POLL_S)
                continue
            news = (job, self.progress(job_id))
            if on_progress is not None and news != told:
                on_progress(*news)
                told = news
            if job.state.final:
                return job
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                raise NotReady(f"job {job_id} has not ended after {timeout_s:.0f} s; it goes on")
            time.sleep(POLL_S)

    def _start(self, kind: JobKind, model: str, who: str, parameters: Mapping[str, object]) -> str:
        return self._ask(kind, model, who, parameters, declared=True)

    def _ask(
        self, kind: JobKind, model: str, who: str, parameters: Mapping[str, object], *, declared: bool = False
    ) -> str:  # fmt: skip
        now = datetime.now(UTC)
        require_room_for_jobs(self._settings)
        if declared:
            with self._database() as connection:
                require_model(connection, model)
        given = {"model": model, "who": who, **{name: value for name, value in parameters.items() if value is not None}}
        run = self._orchestrator.create_run(
            kind.value, name=f"{kind.value} {model}", parameters=given, tags=[DEPLOYMENT, f"model:{model}"]
        )
        with self._database() as connection:
            entry = AuditEntry(at=now, who=who, action=f"job.{kind.value}", subject=model, detail=f"job {run.id}")
            append_audit(connection, entry)
        self._ring()
        return run.id

    def _run(self, job_id: str) -> FlowRun:
        try:
            UUID(job_id)
            return self._orchestrator.get_run(job_id)
        except (ValueError, NotFound) as exc:
            raise NotFound(f"there is no job {job_id!r}; see 'appliance jobs list'") from exc

    def _ring(self) -> None:
        """Wake the runner, which otherwise looks every few seconds."""
        with contextlib.suppress(OSError):
            bell(self._layout).touch()

    def _database(self) -> closing[sqlite3.Connection]:
        return closing(connect(self._layout.database))


def require_out(out: Path) -> None:
    """Whether a prediction's rows can be written there.

    Raises:
        BadInput: The name has another ending, or the folder is not there.
    """
    if out.suffix not in OUT_SUFFIXES:
        raise BadInput(f"cannot write {out.name}: the name must end in {', '.join(OUT_SUFFIXES)}")
    if not out.parent.is_dir():
        raise BadInput(f"cannot write {out}: there is no folder {out.parent}")


def bell(layout: Layout) -> Path:
    """A file that is touched when there is something new for the runner."""
    return layout.run / "jobs.bell"


def _job(run: FlowRun) -> Job:
    kind, _, rest = run.name.partition(" ")
    known = kind if kind in set(JobKind) else JobKind.TRAIN  # somebody started it in Prefect's own pages
    message = (run.state.message if run.state else None) or ""
    return Job(
        id=run.id, kind=JobKind(known), model=str(run.parameters.get("model", rest)), state=_state(run),
        message=message, who=str(run.parameters.get("who", "schedule")), created_at=run.created,
        started_at=run.start_time, ended_at=run.end_time,
    )  # fmt: skip


def _state(run: FlowRun) -> JobState:
    found = run.state.type.lower() if run.state else "scheduled"
    return JobState(found) if found in set(JobState) else JobState.SCHEDULED

"""Jobs: trainings, retrainings and batch predictions, asked for and followed through Prefect's REST API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from appliance.model_card import PredictionReport, TrainingReport
from appliance.settings import Settings


class JobKind(StrEnum):
    """What a job does."""

    TRAIN = "train"
    RETRAIN = "retrain"
    PREDICT = "predict"


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
    """One job; ``message`` says why it failed, or what it is waiting for."""

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

    def start_training(self, model: str, *, who: str, version: int | None = None) -> str:
        """Train on the dataset's newest snapshot, or on ``version``; returns the job's id.

        Raises:
            NotFound: No such model.
        """
        raise NotImplementedError

    def start_retraining(self, model: str, *, who: str) -> str:
        """Append the labelled events not collected yet to the dataset, then train on all; returns the job's id.

        Raises:
            NotFound: No such model.
        """
        raise NotImplementedError

    def start_prediction(self, model: str, file: Path, out: Path, *, who: str, version: int | None = None) -> str:
        """Score a file; ``out`` ends in .parquet, .csv or .ndjson; returns the job's id.

        Raises:
            NotFound: No such model, version or file.
            BadInput: ``out`` has another ending.
        """
        raise NotImplementedError

    def list(self, limit: int = 50) -> tuple[Job, ...]:
        """The newest jobs, newest first."""
        raise NotImplementedError

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: No such job.
        """
        raise NotImplementedError

    def logs(self, job_id: str, *, limit: int = 1000) -> tuple[LogLine, ...]:
        """Its log, oldest first."""
        raise NotImplementedError

    def cancel(self, job_id: str) -> Job:
        """Stop a job; one that has ended stays as it is."""
        raise NotImplementedError

    def progress(self, job_id: str) -> JobProgress | None:
        """How far it is; None before its first step. Asks the state database only."""
        raise NotImplementedError

    def report(self, job_id: str) -> TrainingReport | PredictionReport | None:
        """What a completed job brought; None while there is nothing. Asks the state database only."""
        raise NotImplementedError

    def wait(
        self, job_id: str, on_progress: Callable[[Job, JobProgress | None], None] | None = None,
        *, timeout_s: float | None = None,
    ) -> Job:  # fmt: skip
        """Block until the job has ended; ``on_progress`` is called whenever something changed.

        Raises:
            NotReady: The orchestrator stopped answering for a minute, or the time ran out.
        """
        raise NotImplementedError

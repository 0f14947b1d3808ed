"""The door to MLflow: runs and registered versions in its SQLite store, opened directly, without a server.

Importing this takes seconds and 190 MB (pandas, SQLAlchemy): only a training does it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.errors import ApplianceError
from storage.errors import StateUnwritable
from storage.layout import Layout

# MLflow reads these when it is imported: it must not tell anybody about us, on this host or outside.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow.entities import LifecycleStage, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

_LONGEST_PARAM = 6000
"""MLflow refuses longer parameter values."""


class RegistryFailed(ApplianceError):
    """MLflow's store could not be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRun:
    """One trial of a search that ended, a run nested in the training's, ``parent``; ``value`` None: it was pruned."""

    name: str
    parent: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    value: float | None
    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What MLflow remembers of a training.

    Attributes:
        metrics: On the holdout; the dummy's and the champion's under prefixed names.
        curve: (iteration, metric on the training rows, metric on the early-stopping rows).
        files: Artifacts by name.
        folds: Metrics of each fold of a cross-validation, in order; the fold is the metric's step.
    """

    model: str
    run_name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    curve: Sequence[tuple[int, float, float]]
    files: Mapping[str, bytes]
    folds: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The run and the version it got: 1, 2, 3 … for each model."""

    run_id: str
    version: int


class Registry:
    """MLflow's store of one appliance."""

    def __init__(self, layout: Layout, uri: str) -> None:
        self._artifacts = layout.mlflow / "artifacts"
        self._tmp = layout.tmp
        with _failures("open the store"):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._client.search_experiments(max_results=1)
        _use_wal(layout.mlflow / "mlflow.db")

    def begin(self, model: str, run_name: str, tags: Mapping[str, str]) -> str:
        """Open a run, for ``record`` to finish or ``end`` to close; returns its id.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"begin a run of {model!r}"):
            created = self._client.create_run(self._experiment(model), run_name=run_name, tags=dict(tags))
            return str(created.info.run_id)

    def add_trial(self, model: str, trial: TrialRun) -> None:
        """Record a trial that ended, as a run inside that of its training.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"record {trial.name!r}"):
            now = int(time.time() * 1000)
            created = self._client.create_run(
                self._experiment(model), run_name=trial.name, start_time=now - round(1000 * trial.seconds),
                tags={**trial.tags, "mlflow.parentRunId": trial.parent, "pruned": str(trial.value is None).lower()},
            )  # fmt: skip
            values = {"seconds": trial.seconds, "rounds": float(trial.rounds)}
            values |= {} if trial.value is None else {"value": trial.value}
            self._client.log_batch(
                created.info.run_id, metrics=[Metric(name, value, now, 0) for name, value in values.items()],
                params=[Param(name, value) for name, value in trial.params.items()],
            )  # fmt: skip
            self._client.set_terminated(created.info.run_id, status="KILLED" if trial.value is None else "FINISHED")

    def end(self, run_id: str, status: str) -> None:
        """Close a run: FAILED, KILLED, or FINISHED.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"end run {run_id}"):
            self._client.set_terminated(run_id, status=status)

    def record(self, run: RunRecord, *, begun: str | None = None) -> Registered:
        """Record a finished training and register its next version, without an alias.

        Args:
            run: What there is to remember.
            begun: The run that was opened for it; None: a new one.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"record a run of {run.model!r}"):
            run_id = begun or self.begin(run.model, run.run_name, run.tags)
            self._log(run_id, run)
            self._client.set_terminated(run_id, status="FINISHED")
            self._ensure_model(run.model)
            folder = self._client.get_run(run_id).info.artifact_uri
            version = self._client.create_model_version(run.model, source=f"{folder}/bundle", run_id=run_id)
        return Registered(run_id=run_id, version=int(version.version))

    def attach(self, run_id: str, files: Mapping[str, bytes], *, folder: str) -> None:
        """Add artifacts to a run.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"add {folder} to run {run_id}"), TemporaryDirectory(dir=self._tmp) as directory:
            for name, content in files.items():
                (Path(directory) / name).write_bytes(content)
            self._client.log_artifacts(run_id, directory, artifact_path=folder)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version; it leaves the version that had it.

        Raises:
            RegistryFailed: The store cannot be written, or has no such version.
        """
        with _failures(f"set alias {alias} of {model!r}"):
            self._client.set_registered_model_alias(model, alias, str(version))

    def drop_alias(self, model: str, alias: str) -> None:
        """Take an alias away; nothing happens when no version has it.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        with _failures(f"drop alias {alias} of {model!r}"):
            self._client.delete_registered_model_alias(model, alias)

    def alias_version(self, model: str, alias: str) -> int | None:
        """The version that has the alias, or None.

        Raises:
            RegistryFailed: The store cannot be read.
        """
        with _failures(f"read {model!r}"):
            found = self._client.get_registered_model(model).aliases.get(alias)
        return None if found is None else int(found)

    def forget(self, run_ids: Sequence[str]) -> None:
        """Remove runs for good, with what was logged in them; their files are the caller's.

        Raises:
            RegistryFailed: The store cannot be written.
        """
        store = SqlAlchemyStore(self._client.tracking_uri, str(self._artifacts))
        with _failures("forget old runs"):
            for run_id in run_ids:
                store._hard_delete_run(run_id)

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            if found.lifecycle_stage == LifecycleStage.DELETED:  # in MLflow's own pages; its name stays taken
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        return str(
            self._client.create_experiment(model, artifact_location=(self._artifacts / model).absolute().as_uri())
        )

    def _log(self, run_id: str, run: RunRecord) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in run.metrics.items()]
        for iteration, train, valid in run.curve:
            metrics += [Metric("curve_train", train, now, iteration), Metric("curve_stop", valid, now, iteration)]
        for fold, found in enumerate(run.folds):
            metrics += [Metric(f"fold_{name}", value, now, fold) for name, value in found.items()]
        params = [Param(name, value[:_LONGEST_PARAM]) for name, value in run.params.items()]
        # MLflow takes at most 1000 metrics and 100 parameters at once.
        for start in range(0, max(len(metrics), 1), 900):
            first = start == 0
            self._client.log_batch(
                run_id, metrics=metrics[start : start + 900], params=params[:100] if first else [],
                tags=[RunTag(name, value) for name, value in run.tags.items()] if first else [],
            )  # fmt: skip
        with TemporaryDirectory(dir=self._tmp) as directory:
            for name, content in run.files.items():
                (Path(directory) / name).write_bytes(content)
            self._client.log_artifacts(run_id, directory, artifact_path="bundle")

    def _ensure_model(self, model: str) -> None:
        try:
            self._client.create_registered_model(model)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


@contextmanager
def _failures(attempt: str) -> Iterator[None]:
    """Turns MLflow's errors into ours, with what was tried."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as exc:
        what = _first_line(exc)
        raise RegistryFailed(f"MLflow's store: could not {attempt}: {what}; run 'appliance doctor'") from exc


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]


def _use_wal(path: Path) -> None:
    """Readers (MLflow's UI) and the writer do not block each other; the mode stays with the file."""
    try:
        with sqlite3.connect(path, timeout=20.0) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    except sqlite3.Error as exc:
        raise StateUnwritable(f"cannot write MLflow's store {path}: {exc}; free space or fix its owner") from exc

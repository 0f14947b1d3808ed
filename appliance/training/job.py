"""A whole training job: snapshot, training, MLflow, bundle, gate, deployment; called by a flow, or directly."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import appliance
from appliance.deployments import Deployments
from appliance.errors import BundleRefused, NotFound
from appliance.model_card import ModelCard, Record, TrainingReport, Trial
from appliance.model_spec import ModelSpec, dump_spec, require_params
from appliance.models import Models
from appliance.registry.left_runs import JOB
from appliance.registry.released import Released, drop_unreleased, find_released
from appliance.schema import Raw
from appliance.settings import Settings
from appliance.training.bundle import (
    Origin,
    bundle_files,
    card_files,
    manifest_of,
    model_card,
    read_card,
    read_incumbent,
    reference_file,
)  # fmt: skip
from appliance.training.contest import Incumbent
from appliance.training.cores import Cores, threads_for
from appliance.training.open_table import open_table
from appliance.training.record import hash_files, installed_hash, make_record
from appliance.training.train import Progress, TrainedModel, train
from appliance.training.trial_runs import TrialRuns
from storage.bundles import publish_bundle
from storage.datasets import Mode, Snapshot, get_readings, get_snapshot, list_snapshots, snapshot_files
from storage.errors import BundleCorrupt, BundleNotFound, DatasetNotFound, SnapshotNotFound
from storage.model_rows import GateRow, VersionRow, find_alias, find_version, put_version
from storage.readings import readings_for
from storage.statedb import connect, transaction

if TYPE_CHECKING:
    from appliance.registry.registry import Registry, RunRecord

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """What to train.

    Attributes:
        dataset_version: Snapshot; None: the newest.
        job_id: The flow run, None without one.
    """

    model: str
    who: str
    dataset_version: int | None = None
    job_id: str | None = None


def run_training(settings: Settings, order: TrainingOrder, progress: Progress) -> TrainingReport:
    """Train a model's next version; it becomes champion, and serves, as gate and declaration say.

    A job that has released its version already, and did not come to its end, is not trained again: the rest is done.

    Raises:
        NotFound: No such model, dataset or snapshot.
        BadModelSpec: The declaration, of an earlier release, has a parameter that stands for one of its keys.
        BadTable: The rows cannot train it; names the column and the way out.
        RegistryFailed: MLflow's store cannot be written.
    """
    started = time.monotonic()
    spec = Models(settings).get(order.model).spec
    if order.job_id is not None:
        released = find_released(settings.layout, order.job_id)
        if released is not None:
            return _finish(settings, order, spec, released, progress)
        drop_unreleased(settings.layout, order.job_id)
    require_params(spec)
    with ExitStack() as stack:
        side = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry"))
        progress.step("read", 0.01, f"reading dataset {spec.dataset!r}")
        # MLflow takes seconds to import and open; it does so beside the fit.
        registry = side.submit(_open_registry, settings)
        snapshot = _snapshot(settings, spec.dataset, order.dataset_version)
        sha256 = side.submit(hash_files, snapshot_files(settings.layout, spec.dataset, snapshot.version))
        table, scratch = open_table(settings, snapshot, stack)
        run_name = f"{spec.name} on {spec.dataset} {snapshot.version}"
        trials = stack.enter_context(
            TrialRuns(side, registry, model=spec.name, run_name=run_name, tags=_origin_tags(order, spec, snapshot))
        )
        recorder = _CurveRecorder(progress, trials)
        trained = train(
            spec, table, incumbent=_find_incumbent(settings, spec, snapshot),
            threads=threads_for(table.height * len(table.columns), Cores(settings)), progress=recorder,
            scratch=scratch,
        )  # fmt: skip
        progress.step("register", 0.9, "recording the run and registering the version")
        card = _release(settings, order, spec, trained, _Work(
            snapshot=snapshot, started=started, registry=registry, sha256=sha256, curve=recorder.curve,
            run_name=run_name, trials=trials,
        ))  # fmt: skip
    return _conclude(settings, order, spec, card, progress)


def _finish(
    settings: Settings, order: TrainingOrder, spec: ModelSpec, released: Released, progress: Progress
) -> TrainingReport:
    """Do what is left of a job that ended between the release of its version and its own end."""
    progress.step("register", 0.9, f"version {released.version} is published already: doing what is left")
    registry = _open_registry(settings)
    try:
        card, example = read_card(settings.layout, released.model, released.version)
    except (BundleNotFound, BundleCorrupt) as exc:
        raise BundleRefused(f"version {released.version}, which this job trained, is damaged: {exc}") from exc
    _list_version(settings, order, registry, card, example)
    registry.end(card.run_id, "FINISHED")
    return _conclude(settings, order, spec, card, progress)


def _conclude(
    settings: Settings, order: TrainingOrder, spec: ModelSpec, card: ModelCard, progress: Progress
) -> TrainingReport:
    deployed = _deploy(settings, order, spec, card)
    progress.step("done", 1.0, _summary(card, deployed=deployed))
    return TrainingReport(
        model=card.model, version=card.version, run_id=card.run_id, task=card.task, rows=card.rows,
        seconds=card.seconds, metrics=card.metrics, baseline=card.baseline, champion=card.champion, gate=card.gate,
        champion_version=card.champion_version, deployed=deployed,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    snapshot: Snapshot
    started: float
    registry: Future[Registry]
    sha256: Future[str]
    curve: list[tuple[int, float, float]]
    run_name: str
    trials: TrialRuns


@dataclass(frozen=True, slots=True)
class _CurveRecorder:
    """Passes progress on, keeps the learning curve for MLflow, and sends it the trials."""

    progress: Progress
    trials: TrialRuns
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    def step(self, name: str, fraction: float, message: str) -> None:
        self.progress.step(name, fraction, message)

    def round(self, iteration: int, train: float, valid: float) -> None:
        self.curve.append((iteration, train, valid))
        self.progress.round(iteration, train, valid)

    def trial(self, trial: Trial) -> None:
        self.trials.add(trial)
        self.progress.trial(trial)


def _open_registry(settings: Settings) -> Registry:
    from appliance.registry.registry import Registry  # noqa: PLC0415  (loads MLflow and pandas: seconds, 190 MB)

    return Registry(settings.layout, settings.mlflow_uri)


def _snapshot(settings: Settings, dataset: str, version: int | None) -> Snapshot:
    try:
        return get_snapshot(settings.layout, dataset, version)
    except (DatasetNotFound, SnapshotNotFound) as exc:
        raise NotFound(str(exc)) from exc


def _find_incumbent(settings: Settings, spec: ModelSpec, snapshot: Snapshot) -> Incumbent | None:
    connection = connect(settings.layout.database, read_only=True)
    try:
        row = find_alias(connection, spec.name, CHAMPION)
    finally:
        connection.close()
    if row is None:
        return None
    try:
        found = read_incumbent(settings.layout, spec, row.version)
        return replace(found, was_replaced=_was_replaced(settings, found, snapshot))
    except (BundleNotFound, BundleCorrupt) as exc:
        raise BundleRefused(
            f"the champion, version {row.version}, cannot be compared with: {exc}; or deploy another version first"
        ) from exc


def _was_replaced(settings: Settings, champion: Incumbent, snapshot: Snapshot) -> bool:
    """Whether rows have other places than in the snapshot that the champion was trained on."""
    if champion.dataset is None or champion.dataset[0] != snapshot.dataset:
        return False
    first, last = sorted((champion.dataset[1], snapshot.version))
    between = (one for one in list_snapshots(settings.layout, snapshot.dataset) if first < one.version <= last)
    return any(one.mode is Mode.REPLACE for one in between)


def _release(
    settings: Settings, order: TrainingOrder, spec: ModelSpec, trained: TrainedModel, work: _Work
) -> ModelCard:
    """Register, publish, and write the version's row; in this order, so that a row always has its bundle."""
    reference = reference_file(trained)  # all that can fail for the data's sake comes before a version is given
    record = make_record(work.sha256.result())
    registry = work.registry.result()
    registered = registry.record(_run_record(order, spec, trained, work, record), begun=work.trials.finish())
    work.trials.release()
    origin = Origin(
        version=registered.version, run_id=registered.run_id, dataset_version=work.snapshot.version,
        created_at=datetime.now(UTC), seconds=round(time.monotonic() - work.started, 3), record=record,
        readings=readings_for(get_readings(settings.layout, work.snapshot.dataset, work.snapshot.version)),
    )  # fmt: skip
    card = model_card(spec, trained, origin)
    publish_bundle(settings.layout, manifest_of(card), bundle_files(spec, trained, card, reference))
    _list_version(settings, order, registry, card, trained.golden.rows[0])
    return card


def _list_version(
    settings: Settings, order: TrainingOrder, registry: Registry, card: ModelCard, example: dict[str, Raw]
) -> None:
    """All that follows the release, each step the same when it is done again."""
    registry.attach(card.run_id, card_files(card, example, settings.api_url), folder="card")
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        if find_version(connection, card.model, card.version) is None:
            alias = CHAMPION if card.gate.passed and _is_unbeaten(connection, card) else CHALLENGER
            put_version(connection, version_row(card, alias=alias, job_id=order.job_id))
    sync_aliases(settings, registry, card.model)


def _is_unbeaten(connection: sqlite3.Connection, card: ModelCard) -> bool:
    """No version after it took the title meanwhile, whom it was never compared with."""
    champion = find_alias(connection, card.model, CHAMPION)
    return champion is None or champion.version < card.version


def version_row(card: ModelCard, *, alias: str, job_id: str | None = None) -> VersionRow:
    """What the state database keeps of a version's card."""
    return VersionRow(
        model=card.model, version=card.version, run_id=card.run_id, dataset=card.dataset,
        dataset_version=card.dataset_version, rows=card.rows, seconds=card.seconds, metrics=card.metrics,
        baseline=card.baseline, champion=card.champion,
        gate=GateRow(passed=card.gate.passed, reasons=card.gate.reasons),
        created_at=datetime.fromisoformat(card.created_at), alias=alias, job_id=job_id,
    )  # fmt: skip


def sync_aliases(settings: Settings, registry: Registry, model: str) -> None:
    """MLflow's aliases become those of the state database, which decides."""
    connection = connect(settings.layout.database, read_only=True)
    try:
        for alias in (CHAMPION, CHALLENGER):
            row = find_alias(connection, model, alias)
            if row is not None:
                registry.set_alias(model, alias, row.version)
            elif registry.alias_version(model, alias) is not None:
                registry.drop_alias(model, alias)
    finally:
        connection.close()


def _origin_tags(order: TrainingOrder, spec: ModelSpec, snapshot: Snapshot) -> dict[str, str]:
    """What is known of a run before it has learned anything."""
    tags = {
        "dataset": spec.dataset, "dataset_version": str(snapshot.version), "target": spec.target,
        "budget": spec.budget, "seed": str(spec.seed),
    }  # fmt: skip
    return tags if order.job_id is None else {**tags, JOB: order.job_id}


def _run_record(order: TrainingOrder, spec: ModelSpec, trained: TrainedModel, work: _Work, record: Record) -> RunRecord:
    from appliance.registry.registry import RunRecord  # noqa: PLC0415  (loaded already, in the side thread)

    judgement = trained.judgement
    metrics = dict(judgement.metrics)
    metrics |= {f"baseline_{name}": value for name, value in judgement.baseline.items()}
    metrics |= {f"champion_{name}": value for name, value in (judgement.champion or {}).items()}
    if trained.cross_validation is not None:
        metrics |= {f"cv_mean_{name}": value for name, value in trained.cross_validation.mean.items()}
        metrics |= {f"cv_spread_{name}": value for name, value in trained.cross_validation.spread.items()}
    metrics |= {"seconds": time.monotonic() - work.started, "peak_memory_mb": record.peak_memory_mb}
    tags = {
        **_origin_tags(order, spec, work.snapshot), "dataset_sha256": record.dataset_sha256,
        "task": trained.schema.task.value,
        "code_version": appliance.__version__, "commit": record.commit or "", "lock_hash": installed_hash(),
        "python": record.python, "platform": record.platform, "cores": str(record.cores),
        "gate": "passed" if judgement.gate.passed else "failed", "gate_reasons": "; ".join(judgement.gate.reasons),
        "split": trained.split.sentence,
        **{f"library_{name}": version for name, version in record.libraries.items()},
    }  # fmt: skip
    params = {**trained.params, "iterations": trained.fitted.iterations}
    return RunRecord(
        model=spec.name, run_name=work.run_name,
        params={name: str(value) for name, value in params.items()},
        tags=tags, metrics=metrics, curve=work.curve,
        files={"model.txt": trained.fitted.text.encode(), "model.toml": dump_spec(spec).encode()},
        folds=[fold.metrics for fold in trained.cross_validation.folds] if trained.cross_validation else [],
    )  # fmt: skip


def _deploy(settings: Settings, order: TrainingOrder, spec: ModelSpec, card: ModelCard) -> bool:
    """Let it serve where the declaration says so, unless the title is another version's by now."""
    with closing(connect(settings.layout.database, read_only=True)) as connection:
        champion = find_alias(connection, card.model, CHAMPION)
    if spec.deploy != "auto" or not card.gate.passed or champion is None or champion.version != card.version:
        return False
    Deployments(settings).deploy(card.model, card.version, who=order.who, reason=card.gate.reasons[0])
    return True


def _summary(card: ModelCard, *, deployed: bool) -> str:
    outcome = "champion, serving" if deployed else "champion" if card.gate.passed else "challenger"
    return f"version {card.version} is {outcome}: {card.gate.reasons[0]}"

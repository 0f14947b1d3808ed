"""One training, from a snapshot's rows to a judged model; knows no registry, no orchestrator, no disk and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadInput
from appliance.model_card import Gate, Importance, Warn
from appliance.model_spec import ModelSpec
from appliance.schema import FeatureSchema, Kind, Task
from appliance.training.columns import Columns, as_kind, plan_columns
from appliance.training.cores import Threads
from appliance.training.encode import encode_frame
from appliance.training.evaluate import evaluate, evaluate_dummy, primary_metric
from appliance.training.fit import FitPlan, Fitted, Sample, Scorer, fit, refit
from appliance.training.gate import judge
from appliance.training.golden import Golden, golden_rows
from appliance.training.leaks import leak_suspects, require_no_twin
from appliance.training.split import Split, split_at_random, split_by_time
from appliance.training.target import Target, class_names, read_target

Floats = NDArray[np.float64]


class Progress(Protocol):
    """Who follows a training."""

    def step(self, name: str, fraction: float, message: str) -> None:
        """A step begins; ``fraction`` of the whole is done."""

    def round(self, iteration: int, train: float, valid: float) -> None:
        """A boosting round ended with these metrics on the training and the early-stopping rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The champion to beat, as its bundle holds it."""

    version: int
    text: str
    schema: FeatureSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How the model did on the holdout, beside the dummy and the champion; ``primary`` is the metric compared."""

    primary: str
    metrics: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None
    champion_version: int | None
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model that has no version yet.

    Attributes:
        schema: Its version is 0.
        reference: The training rows, raw, that monitoring compares with.
        outputs: Of the holdout rows, shape ``(holdout rows, outputs)``.
        labels: Of the holdout rows, raw.
    """

    schema: FeatureSchema
    fitted: Fitted
    params: Mapping[str, bool | int | float | str]
    rows: int
    split: Split
    judgement: Judgement
    golden: Golden
    importance: tuple[Importance, ...]
    decisions: tuple[str, ...]
    warnings: tuple[Warn, ...]
    reference: pl.DataFrame
    outputs: Floats
    labels: pl.Series


def train(
    spec: ModelSpec, frame: pl.DataFrame, *, incumbent: Incumbent | None, threads: Threads, progress: Progress
) -> TrainedModel:
    """Check, split, fit, evaluate beside the dummy and the champion, and judge.

    The same rows and declaration give the same model, bit for bit, on however many threads.

    Args:
        spec: What to learn.
        frame: All rows of the snapshot, in its order.
        incumbent: The champion, scored on the same holdout.
        progress: Told of every step and round.

    Raises:
        BadTable: The rows cannot train this model; names the column and the way out.
    """
    progress.step("check", 0.05, f"checking {len(frame)} rows and {len(frame.columns)} columns")
    target = read_target(frame, spec.target, spec.task)
    frame = frame.filter(pl.Series(target.labelled))
    columns = plan_columns(frame, spec)
    require_no_twin(frame, spec.target, tuple(column.name for column in columns.features))
    schema = _schema(spec, target, columns)
    rows = encode_frame(frame, schema)
    warnings = (*_missing_labels(target), *columns.warnings, *leak_suspects(rows, schema, target, threads=threads()))
    split = _split(frame, spec, target, columns)

    progress.step("fit", 0.15, f"fitting {len(split.fit)} rows, {len(schema.columns)} columns: {target.sentence}")
    plan = FitPlan(
        task=target.task, classes=len(target.classes), rounds=spec.rounds, early_stopping=spec.early_stopping,
        seed=spec.seed, threads=threads, params=spec.params,
    )  # fmt: skip
    best = fit(_take(rows, target, split.fit), _stop_sample(rows, target, split), schema, plan, progress.round)
    trained_on = np.sort(np.concatenate([split.fit, split.stop]))
    progress.step("refit", 0.7, f"fitting all {len(trained_on)} training rows with {best} rounds")
    fitted = refit(_take(rows, target, trained_on), schema, plan, best)

    progress.step("evaluate", 0.85, f"measuring on {len(split.holdout)} held-out rows")
    scorer = Scorer(fitted.text, schema, threads=threads())
    held, held_raw = _take(rows, target, split.holdout), frame[split.holdout]
    outputs = scorer.predict(held.rows)
    judgement = _judge(target, trained_on, held, outputs, _score(incumbent, target, held_raw, threads=threads()))
    return TrainedModel(
        schema=schema, fitted=fitted, params=plan.lightgbm_params(), rows=len(frame), split=split, judgement=judgement,
        golden=golden_rows(held_raw, schema, scorer), importance=_importance(schema, fitted),
        decisions=(target.sentence, *columns.decisions), warnings=warnings, reference=frame[trained_on],
        outputs=outputs, labels=_raw_labels(held_raw[spec.target], target.task),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contest:
    """The champion on the challenger's holdout; ``metrics`` is None with an obstacle."""

    version: int | None = None
    metrics: dict[str, float] | None = None
    obstacle: str | None = None


def _schema(spec: ModelSpec, target: Target, columns: Columns) -> FeatureSchema:
    return FeatureSchema(
        model=spec.name, version=0, task=target.task, target=spec.target, columns=columns.features,
        classes=target.classes, time_column=columns.time,
    )  # fmt: skip


def _missing_labels(target: Target) -> tuple[Warn, ...]:
    missing = int((~target.labelled).sum())
    if not missing:
        return ()
    message = f"{missing} of {len(target.labelled)} rows have no {target.name!r} and do not train"
    return (Warn(column=target.name, code="unlabelled", message=message),)


def _split(frame: pl.DataFrame, spec: ModelSpec, target: Target, columns: Columns) -> Split:
    if columns.time is not None:
        split = split_by_time(as_kind(frame[columns.time], Kind.DATETIME), holdout=spec.holdout)
        if split is not None:
            return split
    strata = None if target.task is Task.REGRESSION else target.values
    return split_at_random(strata, len(frame), holdout=spec.holdout, seed=spec.seed)


def _take(rows: pl.DataFrame, target: Target, indices: NDArray[np.int64]) -> Sample:
    return Sample(rows=rows[indices], target=target.values[indices])


def _stop_sample(rows: pl.DataFrame, target: Target, split: Split) -> Sample | None:
    return _take(rows, target, split.stop) if len(split.stop) else None


def _score(incumbent: Incumbent | None, target: Target, held: pl.DataFrame, *, threads: int) -> _Contest:
    if incumbent is None:
        return _Contest()
    schema = incumbent.schema
    if (schema.task, schema.target) != (target.task, target.name):
        obstacle = (
            f"it predicts {schema.target!r} as {schema.task.value}, this one {target.name!r} as {target.task.value}"
        )
        return _Contest(version=incumbent.version, obstacle=obstacle)
    if target.task is Task.BINARY and schema.classes != target.classes:
        return _Contest(version=incumbent.version, obstacle=f"its classes are {', '.join(schema.classes)}")
    try:
        outputs = Scorer(incumbent.text, schema, threads=threads).predict(encode_frame(held, schema))
    except BadInput as exc:
        return _Contest(version=incumbent.version, obstacle=str(exc))
    if target.task is Task.MULTICLASS:
        outputs = _as_classes(outputs, schema.classes, target.classes)
    truth = target_values(held[target.name], target)
    metrics = evaluate(target.task, truth, outputs, threshold=schema.threshold)
    return _Contest(version=incumbent.version, metrics=metrics)


def target_values(labels: pl.Series, target: Target) -> Floats:
    """Raw labels as numbers, or as indices of the target's classes."""
    if target.task is Task.REGRESSION:
        return labels.cast(pl.Float64).to_numpy().astype(np.float64)
    codes = {name: float(code) for code, name in enumerate(target.classes)}
    return class_names(labels).replace_strict(codes, return_dtype=pl.Float64).to_numpy().astype(np.float64)


def _as_classes(outputs: Floats, have: tuple[str, ...], want: tuple[str, ...]) -> Floats:
    """Probabilities a class of another model in this target's order; a class it does not know gets 0."""
    found = np.zeros((len(outputs), len(want)))
    for index, name in enumerate(want):
        if name in have:
            found[:, index] = outputs[:, have.index(name)]
    return found


def _judge(
    target: Target, trained_on: NDArray[np.int64], held: Sample, outputs: Floats, contest: _Contest
) -> Judgement:
    metrics = evaluate(target.task, held.target, outputs)
    baseline = evaluate_dummy(target.task, held.target, target.values[trained_on], classes=len(target.classes))
    primary = primary_metric(target.task, metrics)
    gate = judge(
        primary, metrics, baseline, champion=contest.metrics, champion_version=contest.version,
        obstacle=contest.obstacle,
    )  # fmt: skip
    return Judgement(
        primary=primary, metrics=metrics, baseline=baseline, champion=contest.metrics,
        champion_version=contest.version, gate=gate,
    )  # fmt: skip


def _importance(schema: FeatureSchema, fitted: Fitted) -> tuple[Importance, ...]:
    total = float(fitted.gains.sum())
    shares = fitted.gains / total if total > 0 else fitted.gains
    ranked = sorted(zip(schema.columns, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return tuple(Importance(column=column.name, share=share) for column, share in ranked)


def _raw_labels(labels: pl.Series, task: Task) -> pl.Series:
    return labels if task is Task.REGRESSION else class_names(labels)


def with_version(schema: FeatureSchema, version: int) -> FeatureSchema:
    """The schema of a model that got its version."""
    return msgspec.structs.replace(schema, version=version)

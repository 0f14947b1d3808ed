"""One training, from a snapshot's rows to a judged model; knows no registry, no orchestrator, no disk and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.model_card import Gate, Importance, Warn
from appliance.model_spec import ModelSpec
from appliance.schema import FeatureSchema, Task
from appliance.training.contest import Contest, Incumbent, hold_contest
from appliance.training.cores import Threads
from appliance.training.evaluate import evaluate, evaluate_dummy, primary_metric
from appliance.training.features import make_frame, value_features
from appliance.training.fit import Fitted, Sample, Scorer, fit, refit
from appliance.training.folds import Indices
from appliance.training.gate import judge
from appliance.training.golden import Golden, golden_rows
from appliance.training.prepare import Prepared, plan_fit, prepare
from appliance.training.split import Split
from appliance.training.target import Target, class_names

Floats = NDArray[np.float64]


class Progress(Protocol):
    """Who follows a training."""

    def step(self, name: str, fraction: float, message: str) -> None:
        """A step begins; ``fraction`` of the whole is done."""

    def round(self, iteration: int, train: float, valid: float) -> None:
        """A boosting round ended with these metrics on the training and the early-stopping rows."""


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
    prepared = prepare(spec, frame, threads=threads())
    target, split = prepared.target, prepared.split

    inputs = f"{len(split.fit)} rows, {len(prepared.plan.columns)} columns"
    progress.step("fit", 0.15, f"fitting {inputs}: {target.sentence}")
    plan = plan_fit(prepared, spec.params, threads)
    first = fit(
        prepared.training_sample(split.fit), _stop_sample(prepared), plan, progress.round,
        categories=prepared.categories,
    )  # fmt: skip
    trained_on = split.trained_on
    progress.step("refit", 0.7, f"fitting all {len(trained_on)} training rows with {first.rounds} rounds")
    fitted = refit(prepared.training_sample(trained_on), plan, first.rounds, categories=prepared.categories)
    schema = prepared.schema(trained_on)

    progress.step("evaluate", 0.85, f"measuring on {len(split.holdout)} held-out rows")
    scorer = Scorer(fitted.text, schema, threads=threads())
    held_raw, truth = prepared.frame[split.holdout], target.values[split.holdout]
    outputs = scorer.predict(prepared.rows[split.holdout])
    judgement = _judge(
        target, trained_on, truth, outputs, hold_contest(incumbent, target, held_raw, threads=threads())
    )  # fmt: skip
    return TrainedModel(
        schema=schema, fitted=fitted, params=plan.lightgbm_params(), rows=len(prepared.frame), split=split,
        judgement=judgement, golden=golden_rows(held_raw, schema, scorer), importance=_importance(schema, fitted),
        decisions=prepared.decisions, warnings=prepared.warnings, reference=prepared.frame[trained_on],
        outputs=outputs, labels=_raw_labels(held_raw[spec.target], target.task),
    )  # fmt: skip


def _stop_sample(prepared: Prepared) -> Sample | None:
    """The early-stopping rows as a model fitted on the ``fit`` rows sees them."""
    stop = prepared.split.stop
    if not len(stop):
        return None
    rows = make_frame(prepared.rows[stop], prepared.learn(prepared.split.fit))
    return Sample(rows=rows, target=prepared.target.values[stop], weight=prepared.weight_of(stop))


def _judge(target: Target, trained_on: Indices, truth: Floats, outputs: Floats, contest: Contest) -> Judgement:
    metrics = evaluate(target.task, truth, outputs)
    baseline = evaluate_dummy(target.task, truth, target.values[trained_on], classes=len(target.classes))
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
    places = [feature.column for feature in schema.features or value_features(schema.columns)]
    gains = np.bincount(places, weights=fitted.gains, minlength=len(schema.columns))
    total = float(gains.sum())
    shares = gains / total if total > 0 else gains
    ranked = sorted(zip(schema.columns, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return tuple(Importance(column=column.name, share=share) for column, share in ranked)


def _raw_labels(labels: pl.Series, task: Task) -> pl.Series:
    return labels if task is Task.REGRESSION else class_names(labels)


def with_version(schema: FeatureSchema, version: int) -> FeatureSchema:
    """The schema of a model that got its version."""
    return msgspec.structs.replace(schema, version=version)

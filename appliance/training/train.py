"""One training, from a snapshot's rows to a judged model; knows no registry, no orchestrator, no disk and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.features import calibrate
from appliance.model_card import CrossValidation, Gate, Importance, Trial, Warn
from appliance.model_evaluation import Evaluation
from appliance.model_spec import ModelSpec
from appliance.monitoring.losses import Losses
from appliance.monitoring.reference import TrainingColumns, fit_columns
from appliance.schema import Calibration, FeatureSchema, Golden, Task
from appliance.training.calibration import choose_threshold, find_calibration, find_class_calibrations
from appliance.training.contest import Contest, Incumbent, hold_contest
from appliance.training.cores import Threads
from appliance.training.cross_validation import cross_validate
from appliance.training.encode import encode_column
from appliance.training.evaluate import evaluate, evaluate_dummy, primary_metric
from appliance.training.features import value_features
from appliance.training.fit import FirstFit, FitPlan, Fitted, Sample, Scorer, fit, refit
from appliance.training.folds import Indices
from appliance.training.gate import judge
from appliance.training.golden import REAL_ROWS, golden_rows, real_rows
from appliance.training.intervals import fit_interval, measure_coverage, say_unbound
from appliance.training.losses import fit_losses
from appliance.training.precedent import Precedent
from appliance.training.prepare import Prepared, plan_fit, prepare, say_careful
from appliance.training.report import Held, evaluate_whole
from appliance.training.rows import FeatureRows
from appliance.training.split import Split
from appliance.training.table import RawRows, Table
from appliance.training.target import class_names

if TYPE_CHECKING:
    from appliance.training.tune import Search

Floats = NDArray[np.float64]

LINEAR = (
    "what a column contributed is not measured, and no request can ask for it: LightGBM does not tell of linear trees"
)
"""The card of a model with ``linear_tree`` says so."""


class Progress(Protocol):
    """Who follows a training."""

    def step(self, name: str, fraction: float, message: str) -> None:
        """A step begins; ``fraction`` of the whole is done."""

    def round(self, iteration: int, train: float, valid: float) -> None:
        """A boosting round ended with these metrics on the training and the early-stopping rows."""

    def trial(self, trial: Trial) -> None:
        """A trial of a search ended."""


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
        reference: The training rows' columns, as monitoring compares with them.
        outputs: Of the holdout rows, shape ``(holdout rows, outputs)``.
        labels: Of the holdout rows, raw.
        interval: The texts of the two quantiles' models; none when no interval is declared.
        protected: The training rows of the schema's protected columns, encoded, each of shape ``(rows,)``.
        watched: Every declared protected column, inputs or not.
        losses: Regression: models of its errors, where they tell more than the prediction alone.
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
    reference: TrainingColumns
    outputs: Floats
    labels: pl.Series
    trials: tuple[Trial, ...] = ()
    cross_validation: CrossValidation | None = None
    evaluation: Evaluation | None = None
    interval: tuple[str, ...] = ()
    protected: tuple[Floats, ...] = ()
    watched: tuple[str, ...] = ()
    losses: Losses | None = None


def train(
    spec: ModelSpec, rows: RawRows, *, incumbent: Incumbent | None, threads: Threads, progress: Progress,
    scratch: Path | None = None,
) -> TrainedModel:  # fmt: skip
    """Check, split, fit, evaluate beside the dummy and the champion, and judge.

    The same rows and declaration give the same model, bit for bit, on however many threads.

    Args:
        spec: What to learn.
        rows: All rows of the snapshot, in its order.
        incumbent: The champion, scored on the same holdout.
        progress: Told of every step and round.
        scratch: Where files of encoded rows may lie, for a table that memory need not hold; None: in memory.

    Raises:
        BadTable: The rows cannot train this model; names the column and the way out.
    """
    _say_check(rows, progress)
    precedent = None if incumbent is None else incumbent.precedent
    prepared = prepare(spec, rows, scratch=scratch, precedent=precedent)
    return _train(prepared, incumbent=incumbent, threads=threads, progress=progress, scratch=scratch)


def train_again(
    spec: ModelSpec, rows: RawRows, *, record: Precedent, threads: Threads, progress: Progress,
    scratch: Path | None = None,
) -> TrainedModel:  # fmt: skip
    """The same for a version that was trained before, with its task, its inputs and as many trials as its search had.

    Whatever today's rules and today's clock say.

    Args:
        spec: As it was declared.
        rows: All rows of the snapshot.
        record: Its own decisions.
        progress: Told of every step and round.
        scratch: As for ``train``.

    Raises:
        BadTable: The rows cannot train it any more.
    """
    _say_check(rows, progress)
    spec = msgspec.structs.replace(spec, task=record.task)
    prepared = prepare(spec, rows, scratch=scratch, precedent=record)
    return _train(prepared, incumbent=None, threads=threads, progress=progress, scratch=scratch, trials=record.trials)


def _say_check(rows: RawRows, progress: Progress) -> None:
    progress.step("check", 0.05, f"checking {len(rows)} rows and {len(rows.columns)} columns")


def _train(
    prepared: Prepared, *, incumbent: Incumbent | None, threads: Threads, progress: Progress, scratch: Path | None,
    trials: int | None = None,
) -> TrainedModel:  # fmt: skip
    spec, target, split = prepared.spec, prepared.target, prepared.split
    found = _search(prepared, threads, progress, trials) if spec.budget != "quick" else None
    params = {**(found.params if found else {}), **spec.params}
    plan = plan_fit(prepared, params, threads)
    inputs = f"{len(split.fit)} rows, {len(prepared.plan.columns)} columns"
    progress.step("fit", 0.5 if found else 0.15, f"fitting {inputs}: {target.sentence}")
    first = _first_fit(prepared, plan, progress)
    served = _decide_outputs(prepared, first, threads)
    trained_on = split.trained_on
    progress.step("refit", 0.7, f"fitting all {len(trained_on)} training rows with {first.rounds} rounds")
    fitted = refit(prepared.training_sample(trained_on), plan, first.rounds, categories=prepared.categories)
    interval = fit_interval(prepared, plan)
    schema = prepared.schema(trained_on, served.calibrations, served.threshold)
    folds = None
    if spec.cv:
        progress.step("cross-validate", 0.78, f"fitting and measuring {spec.cv} folds of the training rows")
        folds = cross_validate(prepared, plan, first.rounds, schema)

    progress.step("evaluate", 0.85, f"measuring on {len(split.holdout)} held-out rows")
    # Its columns' quantiles of millions of rows take as long as all that follows here.
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="beside") as beside:
        reference = beside.submit(fit_columns, prepared.rows.pick(trained_on), schema)
        scorer = Scorer(fitted.text, schema, threads=threads())
        held_raw, truth = prepared.table.pick(split.holdout), target.values[split.holdout]
        encoded = prepared.rows.pick(split.holdout)
        outputs = scorer.predict(encoded)
        # Nothing here waits for its fits, which take as long as the evaluation.
        losses = beside.submit(fit_losses, prepared, outputs, truth) if target.task is Task.REGRESSION else None
        ends = tuple(Scorer(text, schema, threads=threads()) for text in interval)
        contest = hold_contest(incumbent, target, held_raw, threads=threads(), scratch=scratch)
        held = Held(raw=held_raw, encoded=encoded, truth=truth, outputs=outputs)
        return TrainedModel(
            schema=schema, fitted=fitted, params=plan.lightgbm_params(), rows=len(prepared.table), split=split,
            judgement=_judge(prepared, truth, outputs, contest, threshold=schema.threshold),
            golden=golden_rows(_real_rows(prepared), schema, scorer, ends), importance=_importance(schema, fitted),
            decisions=(
                *prepared.decisions, *say_careful(plan.careful), *((found.sentence,) if found else ()),
                *say_unbound(plan, interval), *served.sentences, *((LINEAR,) if scorer.is_linear else ()),
            ),
            warnings=prepared.warnings, outputs=outputs, labels=_raw_labels(held_raw[spec.target], target.task),
            trials=found.trials if found else (), cross_validation=folds, interval=interval,
            watched=tuple(dict.fromkeys(spec.protected)), protected=_protected(prepared, trained_on),
            evaluation=msgspec.structs.replace(
                evaluate_whole(held, schema, scorer, spec.protected),
                coverage=measure_coverage(interval, schema, prepared, threads=threads()),
            ),
            reference=reference.result(), losses=None if losses is None else losses.result(),
        )  # fmt: skip


def _real_rows(prepared: Prepared) -> Table | pl.DataFrame:
    """Held-out rows as they came; of a table in files those that were kept on the way."""
    holdout = prepared.split.holdout
    kept = None if prepared.kept is None else prepared.kept.pick(holdout, REAL_ROWS)
    return real_rows(prepared.table.pick(holdout)) if kept is None else kept


def _protected(prepared: Prepared, rows: Indices) -> tuple[Floats, ...]:
    table = prepared.table.pick(rows)
    return tuple(encode_column(table[column.name], column).to_numpy() for column in prepared.protected)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """How a classifier's scores become answers, and why; a calibration for each output, or none."""

    calibrations: tuple[Calibration, ...] = ()
    threshold: float = 0.5
    sentences: tuple[str, ...] = ()


def _search(prepared: Prepared, threads: Threads, progress: Progress, trials: int | None) -> Search:
    from appliance.training.tune import search  # noqa: PLC0415  (loads Optuna; a quick training does without)

    best: list[float] = []

    def tell(trial: Trial, most: int) -> None:
        progress.trial(trial)
        best[:] = [min([*best, *([] if trial.value is None else [trial.value])])]
        reached = "pruned" if trial.value is None else f"{trial.value:.5g}"
        progress.step(
            "search", 0.15 + 0.35 * (trial.number + 1) / most,
            f"trial {trial.number + 1} of at most {most}: {reached}, best {best[0]:.5g}",
        )  # fmt: skip

    return search(prepared, threads, tell, exactly=trials)


def _decide_outputs(prepared: Prepared, first: FirstFit, threads: Threads) -> _Served:
    """Calibration and threshold, by the model that was not fitted on the early-stopping rows."""
    spec, split = prepared.spec, prepared.split
    task = prepared.target.task
    if task is not Task.BINARY and spec.threshold is not None:
        raise BadTable(f"a threshold is for two classes, but {spec.target!r} makes a {task} task")
    if task is Task.REGRESSION:
        return _Served()
    scores, truth = np.empty((0, len(prepared.target.classes))), np.empty(0)
    if first.text is not None:
        schema = prepared.schema(split.fit)
        stop = split.stop
        if split.way == "time" and prepared.times is not None:
            stop = stop[np.argsort(prepared.times[stop], kind="stable")]
        scores = Scorer(first.text, schema, threads=threads()).predict(prepared.rows.pick(stop))
        truth = prepared.target.values[stop]
    in_time = split.way == "time"
    if task is Task.MULTICLASS:
        several, said = find_class_calibrations(scores, truth, in_time=in_time) if spec.calibrate else ((), "")
        return _Served(calibrations=several, sentences=(said,) if said else ())
    positive, calibration, sentences = scores[:, 0], None, []
    if spec.calibrate:
        calibration, said = find_calibration(positive, truth, in_time=in_time)
        sentences.append(said)
    threshold = 0.5
    if spec.threshold is not None:
        answers = np.array(calibrate(positive.tolist(), calibration)) if calibration else positive
        threshold, said = choose_threshold(answers, truth, spec.threshold)
        sentences.append(said)
    found = () if calibration is None else (calibration,)
    return _Served(calibrations=found, threshold=threshold, sentences=tuple(sentences))


def _first_fit(prepared: Prepared, plan: FitPlan, progress: Progress) -> FirstFit:
    """The fit that finds out how many rounds to boost, if there is one."""
    if not plan.early_stopping:
        return FirstFit(rounds=plan.rounds)
    train = prepared.training_sample(prepared.split.fit)
    return fit(train, _stop_sample(prepared), plan, progress.round, categories=prepared.categories)


def _stop_sample(prepared: Prepared) -> Sample | None:
    """The early-stopping rows as a model fitted on the ``fit`` rows sees them."""
    stop = prepared.split.stop
    if not len(stop):
        return None
    rows = FeatureRows(prepared.rows.pick(stop), prepared.learn(prepared.split.fit))
    return Sample(rows=rows, target=prepared.target.values[stop], weight=prepared.weight_of(stop))


def _judge(prepared: Prepared, truth: Floats, outputs: Floats, contest: Contest, *, threshold: float) -> Judgement:
    target = prepared.target
    metrics = evaluate(target.task, truth, outputs, threshold=threshold)
    known = target.values[prepared.split.trained_on]
    baseline = evaluate_dummy(target.task, truth, known, classes=len(target.classes))
    primary = primary_metric(target.task, metrics, prepared.spec.metric)
    gate = judge(primary, metrics, baseline, contest=contest, beware=_beware(prepared, contest))
    return Judgement(
        primary=primary, metrics=metrics, baseline=baseline, champion=contest.metrics,
        champion_version=contest.version, gate=gate,
    )  # fmt: skip


def _beware(prepared: Prepared, contest: Contest) -> str | None:
    """A random split goes by a row's place, so rows in another order are on another side than they were."""
    if contest.metrics is None or not contest.was_replaced or prepared.split.way != "random":
        return None
    return (
        f"beware: dataset {prepared.spec.dataset!r} was replaced since champion version {contest.version} was trained; "
        "where its rows came in another order, the champion may have been fitted on rows of this holdout, and its "
        "figure is too good"
    )


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

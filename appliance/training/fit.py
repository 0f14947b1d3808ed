"""The door to LightGBM: fit with early stopping, predict, importance, and the model's text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.features import LINEAR_TREES, FeatureMaker, calibrate, calibrate_classes
from appliance.schema import Column, Feature, FeatureSchema, Kind, Part, Task
from appliance.training.cores import Threads
from appliance.training.features import value_features
from appliance.training.rows import EncodedRows, FeatureRows

Floats = NDArray[np.float64]
Param = bool | int | float | str
OnRound = Callable[[int, float, float], None]
"""Called after a boosting round with its number, from 1, and the metric on the training and early-stopping rows."""

METRICS = {Task.REGRESSION: "rmse", Task.BINARY: "binary_logloss", Task.MULTICLASS: "multi_logloss"}
"""What the fit minimises on the early-stopping rows, under LightGBM's names."""

_OBJECTIVES = {Task.REGRESSION: "regression", Task.BINARY: "binary", Task.MULTICLASS: "multiclass"}

WIDE, WIDE_BINS = 1_000, 63
"""With more features than this a number has at most so many bins, where the declaration says nothing: of 10,000
features a round takes a quarter of the time, in less than half the memory."""

BIN_PARAMS = frozenset({"max_bin", "max_bins"})

CLASSES_MOST_OUTPUT = 8.0
"""The largest output of a leaf before the learning rate, where there are several classes and the declaration says
nothing. A class that few rows have gets leaves as large as its hessians are small: without a bound, the loss of 61
classes in 8,636 rows grew from the first rounds on (1.96, 20 after 150 rounds, where knowing no column gives 1.68).
Where each class has rows enough, no leaf reaches it, and the model is the same to the bit."""

LEAF_ROWS, LEAVES_AT_LEAST = 20, 8
"""A leaf has at least so many rows by LightGBM's default, and never more than an eighth of the rows: of 16 rows none
could be split else, and LightGBM refuses to train. Of made-up tables of 20 to 99 rows an eighth gave about the
least error (1.74 where the default gave 2.48 at 20 rows, 1.31 and 1.41 at 80)."""

RARE_HESSIAN, RARE_TOP = 3.0, 0.05
"""A rarer class of a smaller share has leaves whose hessians add up to at least this, or to a tenth of its rows. By
LightGBM's default of 0.001 a leaf with one of few such rows gets an output as large as its share is small, and the loss
grows from the first rounds on: with 1 in 1,000 of 60,000 made-up rows the AUC was 0.78, and is 0.92."""

LEAF_ROWS_PARAMS = frozenset(
    {"min_data_in_leaf", "min_data_per_leaf", "min_data", "min_child_samples", "min_samples_leaf"}
)
HESSIAN_PARAMS = frozenset(
    {"min_sum_hessian_in_leaf", "min_sum_hessian_per_leaf", "min_sum_hessian", "min_hessian", "min_child_weight"}
)

NO_SPLIT = "train_data->num_features()) > (0)"
"""Stands in what LightGBM says when it dropped every column, since none can be split."""

OUTPUT_PARAMS = frozenset({"max_delta_step", "max_tree_output", "max_leaf_output"})

SMALLEST_GAIN = 1e-9
"""An improvement that stops no fit is larger, as a share of the targets' spread: LightGBM adds a metric up on several
threads, so that its last digit depends on their number, and a fit must not."""

MATRIX_CELLS = 8_000_000
"""Rows times features up to which LightGBM gets one matrix: 64 MB."""

_THREADS_IN_TEXT = 0
"""What a model's text says of threads, however many there were: the same model is the same text."""

ROUNDS_WITHOUT_STOPPING = 100
"""Boosting rounds when there are too few rows to decide when to stop: LightGBM's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """How to fit.

    Attributes:
        rounds: Most boosting rounds.
        early_stopping: Rounds without an improvement before the fit ends; 0: all rounds, without such a fit.
        threads: The model does not depend on them.
        params: Declared LightGBM parameters, over the defaults.
        own: LightGBM parameters that follow from the declaration's other keys.
        careful: Defaults that follow from the rows (``careful_params``), where the declaration says nothing.
        quantile: Regression: fit this quantile instead of the mean.
        features: How many columns LightGBM sees.
    """

    task: Task
    classes: int
    rounds: int
    early_stopping: int
    seed: int
    threads: Threads
    params: Mapping[str, Param]
    own: Mapping[str, Param] = field(default_factory=dict)
    careful: Mapping[str, Param] = field(default_factory=dict)
    quantile: float | None = None
    features: int = 0

    def lightgbm_params(self) -> dict[str, Param]:
        """All parameters that decide what the model becomes, as LightGBM gets them."""
        is_wide = self.features > WIDE
        bins: dict[str, Param] = {"max_bin": WIDE_BINS} if is_wide and BIN_PARAMS.isdisjoint(self.params) else {}
        is_bound = self.task is Task.MULTICLASS and OUTPUT_PARAMS.isdisjoint(self.params)
        bound: dict[str, Param] = {"max_delta_step": CLASSES_MOST_OUTPUT} if is_bound else {}
        params: dict[str, Param] = {"learning_rate": 0.05, "num_leaves": 31, **bins, **bound}
        params |= {**self.careful, **self.params, **self.own}
        params |= {
            "objective": _OBJECTIVES[self.task], "metric": METRICS[self.task], "seed": self.seed,
            # By rows LightGBM keeps a second copy of all binned rows, and is no faster.
            "deterministic": True, "force_col_wise": True, "verbosity": -1,
        }  # fmt: skip
        if self.task is Task.MULTICLASS:
            params["num_class"] = self.classes
        if self.quantile is not None:
            params |= {"objective": "quantile", "metric": "quantile", "alpha": self.quantile}
        return params


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows as LightGBM sees them, their targets, and what each weighs; in the same order."""

    rows: FeatureRows
    target: Floats
    weight: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted model.

    Attributes:
        text: LightGBM's own text format.
        iterations: Boosting rounds.
        gains: Total gain a feature, in model order; how often it splits, where gains are beyond 32 bits.
    """

    text: str
    iterations: int
    gains: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFit:
    """What the fit that stops early found.

    Attributes:
        rounds: The best number of rounds, at least 1.
        text: The model with so many; None without rows to stop on.
        reached: Its metric on those rows.
    """

    rounds: int
    text: str | None = None
    reached: float = math.nan


class Scorer:
    """A model read back from its text; outputs have shape ``(rows, outputs)``."""

    def __init__(self, text: str, schema: FeatureSchema, *, threads: int) -> None:
        self._booster = lightgbm.Booster(model_str=text)
        self.is_linear = LINEAR_TREES in text
        """Its leaves hold linear models: no ``contributions``."""
        self._schema = schema
        self._maker = FeatureMaker(schema)
        self._threads = threads

    def predict(self, rows: pl.DataFrame | EncodedRows) -> Floats:
        """The answers for encoded rows: through the schema's features, and calibrated where it is."""
        outputs = np.empty((len(rows), self._schema.outputs))
        start = 0
        for block in self._features(rows).blocks():
            raw = np.asarray(self._booster.predict(block, num_threads=self._threads), dtype=np.float64)
            outputs[start : start + len(block)] = self._calibrated(raw.reshape(len(block), -1))
            start += len(block)
        return outputs

    def _calibrated(self, raw: Floats) -> Floats:
        if self._schema.class_calibrations:
            found = calibrate_classes(raw.ravel().tolist(), self._schema.class_calibrations)
        elif self._schema.calibration is not None:
            found = calibrate(raw[:, 0].tolist(), self._schema.calibration)
        else:
            return raw
        return np.array(found).reshape(raw.shape)

    def _features(self, rows: pl.DataFrame | EncodedRows) -> FeatureRows:
        encoded = EncodedRows.of(rows) if isinstance(rows, pl.DataFrame) else rows
        return FeatureRows(encoded, self._schema.features)

    def contributions(self, rows: EncodedRows) -> Floats:
        """What each column added to the raw score, shape ``(rows, outputs, columns + 1)``; the last is the base.

        All rows at once: for a sample.
        """
        matrix = self._features(rows).block(0, len(rows))
        found = np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=self._threads), np.float64)
        found = found.reshape(len(rows), self._schema.outputs, -1)
        return self._maker.by_column(found) if self._schema.features else found


def fit(train: Sample, stop: Sample | None, plan: FitPlan, on_round: OnRound, *, categories: Sequence[str]) -> FirstFit:
    """Find out how many rounds to boost: fit, and stop early.

    Args:
        train: Rows to fit on.
        stop: Rows that decide when to stop; None: too few rows to decide on, a fixed number of rounds.
        plan: How.
        on_round: Told after each round; what it raises ends the fit.
        categories: Which of the rows' columns hold category codes.

    Raises:
        BadTable: LightGBM refuses the parameters or the rows; its own words follow.
    """
    if stop is None:
        return FirstFit(rounds=min(plan.rounds, ROUNDS_WITHOUT_STOPPING))
    gear = _Gear(plan.threads)
    params = plan.lightgbm_params() | {"num_threads": gear.threads}

    def note(env: lightgbm.callback.CallbackEnv) -> None:
        values = {result[0]: float(result[2]) for result in env.evaluation_result_list}
        on_round(env.iteration + 1, values["train"], values["stop"])

    with _refusals(params):
        data = _dataset(train, params, categories)
        booster = lightgbm.train(
            params, data, num_boost_round=plan.rounds,
            valid_sets=[data, _dataset(stop, params, categories, reference=data)], valid_names=["train", "stop"],
            callbacks=[
                gear, note,
                lightgbm.early_stopping(
                    plan.early_stopping, first_metric_only=True, verbose=False,
                    min_delta=_smallest_gain(stop, plan.task),
                ),
            ],
        )  # fmt: skip
    best = booster.best_iteration if booster.best_iteration > 0 else int(booster.current_iteration())
    reached = float(booster.best_score["stop"][str(params["metric"])])
    return FirstFit(rounds=best, text=booster.model_to_string(num_iteration=best), reached=reached)


def refit(train: Sample, plan: FitPlan, rounds: int, *, categories: Sequence[str]) -> Fitted:
    """Fit all training rows, those that decided when to stop too, with a known number of rounds.

    The newest rows are worth most where time goes by: on the bike-sharing data this takes the error on the holdout
    from 128 to 119.

    Raises:
        BadTable: As ``fit``.
    """
    gear = _Gear(plan.threads)
    params = plan.lightgbm_params() | {"num_threads": gear.threads}
    with _refusals(params):
        booster = lightgbm.train(
            params, _dataset(train, params, categories), num_boost_round=rounds,
            callbacks=[gear], keep_training_booster=True,
        )  # fmt: skip
        booster.reset_parameter({"num_threads": _THREADS_IN_TEXT})
    return Fitted(
        text=booster.model_to_string(), iterations=int(booster.current_iteration()),
        gains=_gains(booster),
    )  # fmt: skip


def _gains(booster: lightgbm.Booster) -> Floats:
    gains = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    # Squares of a target beyond 1e19 are more than the 32 bits in which LightGBM keeps a gain.
    if np.isfinite(gains).all():
        return gains
    return np.asarray(booster.feature_importance("split"), dtype=np.float64)


class _Blocks(lightgbm.Sequence):  # type: ignore[misc]  # LightGBM's is untyped
    """Feature rows as LightGBM asks for them: rising single rows to find the bins, then all rows a block at a time.

    While it sorts one block into bins, ``beside`` reads the next one.
    """

    def __init__(self, rows: FeatureRows, beside: Executor) -> None:
        self._rows = rows
        self._beside = beside
        self._next: tuple[int, Future[Floats]] | None = None
        self._start = 0
        self._block, self._held = np.empty((0, rows.width)), 0
        self._count = len(rows)  # asked for at each of 200,000 sampled rows
        self.batch_size = rows.block_rows

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, wanted: int | slice | list[int]) -> Floats:
        if isinstance(wanted, slice):
            return self._one_after_the_other(wanted.start, wanted.stop)
        at = wanted - self._start  # type: ignore[operator]  # a row: LightGBM asks for no list
        if not 0 <= at < self._held:
            self._start, at = int(wanted), 0  # type: ignore[arg-type]
            self._block = self._rows.block(self._start, self._start + self.batch_size)
            self._held = len(self._block)
        row: Floats = self._block[at]
        return row

    def _one_after_the_other(self, start: int, stop: int) -> Floats:
        ahead, self._next = self._next, None
        block = self._rows.block(start, stop) if ahead is None or ahead[0] != start else ahead[1].result()
        if stop < self._count:
            self._next = (stop, self._beside.submit(self._rows.block, stop, stop + self.batch_size))
        return block


class _Gear:
    """Before each boosting round, changes to as many threads as there may be now; ``threads`` are those of the last."""

    before_iteration = True
    order = 0

    def __init__(self, threads: Threads) -> None:
        self._wanted = threads
        self.threads = threads()

    def __call__(self, env: lightgbm.callback.CallbackEnv) -> None:
        wanted = self._wanted()
        if wanted != self.threads:
            env.model.reset_parameter({"num_threads": wanted})
            self.threads = wanted


def _smallest_gain(stop: Sample, task: Task) -> float:
    return SMALLEST_GAIN * (float(stop.target.std()) if task is Task.REGRESSION else 1.0)


def _dataset(
    sample: Sample, params: Mapping[str, object], categories: Sequence[str], reference: object = None
) -> lightgbm.Dataset:
    def of(rows: Floats | _Blocks) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            rows, label=sample.target, weight=sample.weight, reference=reference, params=dict(params),
            feature_name=sample.rows.names, categorical_feature=list(categories), free_raw_data=True,
        )  # fmt: skip

    # Of few rows all at once: LightGBM asks for each of 200,000 rows of a sequence by itself, which takes seconds.
    if len(sample.rows) * sample.rows.width <= MATRIX_CELLS:
        return of(sample.rows.block(0, len(sample.rows)))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="blocks") as beside:
        return of(_Blocks(sample.rows, beside)).construct()


def category_names(columns: Sequence[Column], features: Sequence[Feature]) -> list[str]:
    """Which of the columns that LightGBM sees hold category codes."""
    return [
        f"f{at}" for at, feature in enumerate(features or value_features(columns))
        if feature.part is Part.VALUE and columns[feature.column].kind is Kind.CATEGORY
    ]  # fmt: skip


def careful_params(rows: int, rarer: int | None, declared: Mapping[str, Param]) -> dict[str, Param]:
    """Defaults for few rows and for a rare class, where LightGBM's own do harm.

    Args:
        rows: How many are fitted.
        rarer: How many of them have the rarer of two classes; None: another task, or rows with weights.
        declared: Parameters that the declaration or a search gives; what they say holds.
    """
    careful: dict[str, Param] = {}
    if rows < LEAF_ROWS * LEAVES_AT_LEAST and LEAF_ROWS_PARAMS.isdisjoint(declared):
        careful["min_data_in_leaf"] = max(1, rows // LEAVES_AT_LEAST)
    if rarer and rarer < RARE_TOP * rows and HESSIAN_PARAMS.isdisjoint(declared):
        careful["min_sum_hessian_in_leaf"] = min(RARE_HESSIAN, rarer / 10)
    return careful


@contextmanager
def _refusals(params: Mapping[str, Param]) -> Iterator[None]:
    try:
        yield
    except lightgbm.basic.LightGBMError as exc:
        if NO_SPLIT in str(exc):
            least = next((params[name] for name in sorted(LEAF_ROWS_PARAMS) if name in params), LEAF_ROWS)
            raise BadTable(
                "no column splits the training rows into two parts that are large enough (min_data_in_leaf = "
                f"{least}; [params] changes that): they are nearly the same in every row; add rows or other columns"
            ) from exc
        raise BadTable(f"LightGBM refuses to train: {exc}; check the declaration's params") from exc

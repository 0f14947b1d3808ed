"""Our scores beside those of LightGBM's defaults on the same split of real data sets.

    python -m tests.bench.reference_scores DATA [--budget quick better] [--only NAME …] [--trials 25]

DATA holds a folder a data set, each with its ORIGIN.txt, which says where the reference comes from: LightGBM's
defaults on the first 70 % of NumPy's ``RandomState(0)`` permutation, on the oldest 70 % where rows have a time, or on
the training file where a set comes as two. Each set is split the same way here. The two rows of a ``train.conf`` are
that file's parameters given to ``lightgbm.train`` (the reference) and to ours. Each score is a process of its own, on
one thread; the table says its seconds and the largest resident size. ``ok`` is within 1 % of the reference or better.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from appliance.model_spec import ModelSpec
from appliance.schema import Task
from appliance.training.evaluate import HIGHER_IS_BETTER, evaluate
from tests.training.rows import Remembered, fit, spec

Read = Callable[[Path], pl.DataFrame]

REGRESSION = Task.REGRESSION

NOISE = 0.01
"""A relative difference this small is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One data set and what LightGBM's defaults reach on it.

    Attributes:
        order: The rows' order in time, by this column; None: at random, or as the column ``side`` says.
        timed: The order is given to the model as its time column; False: as a split column.
        reference: Of ``metric``, as ORIGIN.txt has it; None: measured here, with ``params``.
        params: LightGBM's parameters, for both; the fit then has 100 rounds and stops by itself nowhere.
    """

    name: str
    read: Read
    target: str
    metric: str
    reference: float | None
    exclude: tuple[str, ...] = ()
    order: str | None = None
    timed: bool = True
    params: Mapping[str, int | float] = field(default_factory=dict)


def table(*parts: str) -> Read:
    """Reads the Parquet files of a data set, one below the other."""
    return lambda data: pl.concat([pl.read_parquet(data / part) for part in parts], how="diagonal_relaxed")


def weather(data: Path) -> pl.DataFrame:
    frame = pl.read_parquet(data / "seattle_weather" / "data.parquet")
    day = pl.col("date").str.slice(0, 10).str.to_date()
    return frame.with_columns(day.alias("date"), day.dt.ordinal_day().alias("doy"))


def parts(folder: str, target: str) -> Read:
    """Reads a set whose later labels lie in a file of their own."""

    def read(data: Path) -> pl.DataFrame:
        known = pl.read_parquet(data / folder / "reference.parquet")
        labels = pl.read_parquet(data / folder / "analysis_labels.parquet").select("id", target)
        later = pl.read_parquet(data / folder / "analysis.parquet").join(labels, on="id")
        frame = pl.concat([known, later.select(known.columns)], how="vertical_relaxed")
        return frame.with_columns(pl.col("timestamp").str.to_datetime())

    return read


def people(data: Path) -> pl.DataFrame:
    folder = data / "acs_employment_ma"
    return pl.read_parquet(folder / "people.parquet").join(pl.read_parquet(folder / "labels.parquet"), on="id")


def example(name: str) -> Read:
    """Reads one of LightGBM's own examples: tabs, no header, the label first; a file to train and one to test."""

    def read(data: Path) -> pl.DataFrame:
        folder = data / "lightgbm_examples" / f"{name}{'_classification' if name != 'regression' else ''}"
        sides = {"train": f"{name}.train", "test": f"{name}.test"}
        frames = [
            pl.read_csv(folder / file, separator="\t", has_header=False, infer_schema_length=None)
            .cast(pl.Float64)
            .with_columns(pl.lit(side).alias("side"))
            for side, file in sides.items()
        ]
        frame = pl.concat(frames)
        return frame.rename({frame.columns[0]: "label"}).with_columns(pl.col("label").cast(pl.Int64))

    return read


BINARY_CONF = {
    "learning_rate": 0.1, "num_leaves": 63, "feature_fraction": 0.8, "bagging_freq": 5, "bagging_fraction": 0.8,
    "min_data_in_leaf": 50, "min_sum_hessian_in_leaf": 5.0,
}  # fmt: skip
REGRESSION_CONF = {**BINARY_CONF, "learning_rate": 0.05, "num_leaves": 31, "feature_fraction": 0.9,
                   "min_data_in_leaf": 100}  # fmt: skip
MULTICLASS_CONF = {"learning_rate": 0.05, "num_leaves": 31}
"""What the examples' ``train.conf`` say, but for their 100 rounds and what follows from the task."""

FLIGHTS = ("flight_id", "air_time", "month")  # the newest rows are of months that no training row has

CASES = (
    Case(name="adult", read=table("adult/data.parquet"), target="income", metric="auc", reference=0.9295,
         exclude=("split",)),
    Case(name="ai4i_machine_failure", read=table("ai4i_machine_failure/data.parquet"), target="Machine failure",
         metric="auc", reference=0.975),
    Case(name="german_credit", read=table("german_credit/data.parquet"), target="bad", metric="auc", reference=0.7745),
    Case(name="telco_churn", read=table("telco_churn/data.parquet"), target="churn", metric="auc", reference=0.8332),
    Case(name="penguins", read=table("penguins/data.parquet"), target="species", metric="accuracy", reference=0.9615),
    Case(name="bike_sharing_hourly", read=table("bike_sharing_hourly/data.parquet"), target="cnt", metric="rmse",
         reference=123.8856, exclude=("casual", "registered", "dteday"), order="ts"),
    Case(name="seattle_weather", read=weather, target="weather", metric="accuracy", reference=0.508, order="date"),
    Case(name="beijing_pm25", read=table("beijing_pm25/data.parquet"), target="pm25", metric="rmse",
         reference=63.2953, order="ts", exclude=("No", "year")),  # as its ten features have neither
    Case(name="nannyml_car_loan", target="repaid", metric="auc", reference=0.9628, order="timestamp",
         read=parts("nannyml_car_loan", "repaid"), exclude=("y_pred", "y_pred_proba", "id")),
    Case(name="nannyml_card_type", target="y_true", metric="accuracy", reference=0.6192, order="timestamp",
         read=parts("nannyml_card_type_multiclass", "y_true"),
         exclude=("y_pred", "y_pred_proba_prepaid_card", "y_pred_proba_highstreet_card", "y_pred_proba_upmarket_card",
                  "id")),
    Case(name="acs_employment", read=people, target="employed", metric="auc", reference=0.9066, order="id",
         timed=False, exclude=("year", "prediction", "predicted_probability")),
    Case(name="flights delayed_15", read=table("nycflights13/flights.parquet"), target="delayed_15", metric="auc",
         reference=0.6858, order="sched_dep_ts", exclude=(*FLIGHTS, "dep_delay", "arr_delay")),
    Case(name="flights arr_delay", read=table("nycflights13/flights.parquet"), target="arr_delay", metric="rmse",
         reference=15.7965, order="sched_dep_ts", exclude=(*FLIGHTS, "delayed_15")),
    Case(name="lightgbm binary", read=example("binary"), target="label", metric="auc", reference=0.8321),
    Case(name="lightgbm regression", read=example("regression"), target="label", metric="rmse", reference=0.4166),
    Case(name="lightgbm multiclass", read=example("multiclass"), target="label", metric="accuracy", reference=0.522),
    Case(name="lightgbm binary train.conf", read=example("binary"), target="label", metric="auc", reference=None,
         params=BINARY_CONF),
    Case(name="lightgbm regression train.conf", read=example("regression"), target="label", metric="rmse",
         reference=None, params=REGRESSION_CONF),
    Case(name="lightgbm multiclass train.conf", read=example("multiclass"), target="label", metric="accuracy",
         reference=None, params=MULTICLASS_CONF),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", nargs="+", default=["quick"], choices=["quick", "better", "best"])
    parser.add_argument("--only", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--trials", type=int)
    parser.add_argument("--one", action="store_true", help="run the one that is named here, as JSON")
    asked = parser.parse_args()
    cases = [case for case in CASES if case.name in asked.only]
    if asked.one:
        print(json.dumps(score(cases[0], asked.data, asked.budget[0], asked.trials)))
        return
    ours = " | ".join(f"{one} | s | peak MB" for one in asked.budget)
    print(f"| data set | rows | metric | LightGBM's defaults | {ours} | ok |")
    print("|---|---|---|---|" + "---|---|---|" * len(asked.budget) + "---|")
    for case in cases:
        found = [_apart(case, asked.data, budget, asked.trials) for budget in asked.budget]
        cells = [f"{one['score']:.4g} | {one['seconds']:.0f} | {one['peak_mb']:.0f}" for one in found]
        reference = float(found[0]["reference"])
        verdicts = " ".join("yes" if reaches(case.metric, float(one["score"]), reference) else "NO" for one in found)
        facts = (case.name, f"{found[0]['rows']:.0f}", case.metric, f"{reference:.4g}", *cells, verdicts)
        print(f"| {' | '.join(facts)} |", flush=True)


def reaches(metric: str, score: float, reference: float) -> bool:
    """Whether a score is as good as the reference, but for noise."""
    return score >= reference * (1 - NOISE) if metric in HIGHER_IS_BETTER else score <= reference * (1 + NOISE)


def _apart(case: Case, data: Path, budget: str, trials: int | None) -> dict[str, float]:
    words = [str(data), "--one", "--only", case.name, "--budget", budget]
    words += [] if trials is None else ["--trials", str(trials)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.reference_scores", *words], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_sides(frame: pl.DataFrame, case: Case) -> pl.DataFrame:
    """The rows with the reference's split as a column ``side``; unlabelled ones left out first."""
    frame = frame.drop_nulls(case.target)
    if "side" in frame.columns:
        return frame
    train = round(len(frame) * 0.7)
    if case.order is None:
        places = np.random.RandomState(0).permutation(len(frame))
    else:
        places = np.argsort(frame[case.order].to_numpy(), kind="stable")
    side = np.full(len(frame), "train", dtype=object)
    side[places[train:]] = "test"
    return frame.with_columns(pl.Series("side", side.tolist()))


def score(case: Case, data: Path, budget: str, trials: int | None) -> dict[str, float]:
    """Train one model; its score, the reference's, seconds and peak memory."""
    frame = with_sides(case.read(data), case)
    model = fit_case(case, frame, budget, trials)
    reference = _bare(case, frame) if case.reference is None else case.reference
    return {"rows": len(frame), "reference": reference, **model}


def fit_case(case: Case, frame: pl.DataFrame, budget: str, trials: int | None) -> dict[str, float]:
    exclude = tuple(name for name in (*case.exclude, case.order) if name and name in frame.columns)
    wanted: ModelSpec = spec(case.target, split="side", exclude=exclude, budget=budget, trials=trials)
    if case.order is not None and case.timed:  # the newest training rows decide when to stop, as without a column
        wanted = msgspec.structs.replace(
            wanted, split=None, time=case.order, holdout=0.3, exclude=(*case.exclude, "side")
        )
    if case.params:
        wanted = msgspec.structs.replace(
            wanted, params=case.params, rounds=100, early_stopping=0, task=None if case.metric != "rmse" else REGRESSION
        )
    elif case.metric == "rmse":
        wanted = msgspec.structs.replace(wanted, task=REGRESSION)
    started = time.monotonic()
    model = fit(wanted, frame, progress=Remembered())
    return {
        "score": model.judgement.metrics[case.metric], "seconds": time.monotonic() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def _bare(case: Case, frame: pl.DataFrame) -> float:
    """The parameters given to ``lightgbm.train`` alone, on numbers."""
    import lightgbm

    task = REGRESSION if case.metric == "rmse" else Task.MULTICLASS if case.metric == "accuracy" else Task.BINARY
    sides = [frame.filter(pl.col("side") == side) for side in ("train", "test")]
    (x, y), (test_x, test_y) = (
        (one.drop("side", case.target).to_numpy(), one[case.target].cast(pl.Float64).to_numpy()) for one in sides
    )
    params = {
        **case.params, "objective": task.value, "verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 1,
        "force_row_wise": True, **({"num_class": len(np.unique(y))} if task is Task.MULTICLASS else {}),
    }  # fmt: skip
    booster = lightgbm.train(params, lightgbm.Dataset(x, label=y, params=dict(params)), 100)
    outputs = np.asarray(booster.predict(test_x), np.float64).reshape(len(test_y), -1)
    return evaluate(task, test_y, outputs)[case.metric]


if __name__ == "__main__":
    main()

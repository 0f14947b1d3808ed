"""Our scores beside those of LightGBM's defaults on the same split of real data sets.

    python -m tests.bench.reference_scores DATA [--budget quick better] [--only NAME …] [--trials 25]

DATA holds a folder a data set, each with its ORIGIN.txt, which says where the reference comes from: LightGBM's
defaults on the first 70 % of NumPy's ``RandomState(0)`` permutation, or on the oldest 70 % where rows have a time. Each
set is split the same way here, on one thread.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from appliance.model_spec import ModelSpec
from tests.training.rows import Remembered, fit, spec

Read = Callable[[Path], pl.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One data set and what LightGBM's defaults reach on it.

    Attributes:
        order: The rows' order in time, by this column; None: at random.
        reference: Of ``metric``, as ORIGIN.txt has it.
    """

    name: str
    read: Read
    target: str
    metric: str
    reference: float
    exclude: tuple[str, ...] = ()
    order: str | None = None


def table(*parts: str) -> Read:
    """Reads the Parquet files of a data set, one below the other."""
    return lambda data: pl.concat([pl.read_parquet(data / part) for part in parts], how="diagonal_relaxed")


def weather(data: Path) -> pl.DataFrame:
    frame = pl.read_parquet(data / "seattle_weather" / "data.parquet")
    day = pl.col("date").str.slice(0, 10).str.to_date()
    return frame.with_columns(day.alias("date"), day.dt.ordinal_day().alias("doy"))


def loans(data: Path) -> pl.DataFrame:
    folder = data / "nannyml_car_loan"
    known = pl.read_parquet(folder / "reference.parquet")
    labels = pl.read_parquet(folder / "analysis_labels.parquet")
    later = pl.read_parquet(folder / "analysis.parquet").join(labels, on="id")
    return pl.concat([known, later.select(known.columns)], how="vertical_relaxed")


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
    Case(name="nannyml_car_loan", target="repaid", metric="auc", reference=0.9689,
         read=loans, exclude=("y_pred", "y_pred_proba", "timestamp", "id")),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", nargs="+", default=["quick"], choices=["quick", "better", "best"])
    parser.add_argument("--only", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--trials", type=int)
    asked = parser.parse_args()
    ours = " | ".join(f"{one}, s" for one in asked.budget)
    print(f"| data set | rows | metric | LightGBM's defaults | {ours} | peak MB |")
    print("|---|---|---|---|" + "---|" * (len(asked.budget) + 1))
    for case in CASES:
        if case.name in asked.only:
            frame = with_sides(case.read(asked.data), case)
            cells = [_score(case, frame, budget, asked.trials) for budget in asked.budget]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            facts = (case.name, len(frame), case.metric, f"{case.reference:.4g}", *cells, f"{peak:.0f}")
            print(f"| {' | '.join(map(str, facts))} |", flush=True)


def with_sides(frame: pl.DataFrame, case: Case) -> pl.DataFrame:
    """The rows with the reference's split as a column ``side``; unlabelled ones left out first."""
    frame = frame.drop_nulls(case.target)
    train = round(len(frame) * 0.7)
    if case.order is None:
        places = np.random.RandomState(0).permutation(len(frame))
    else:
        places = np.argsort(frame[case.order].to_numpy(), kind="stable")
    side = np.full(len(frame), "train", dtype=object)
    side[places[train:]] = "test"
    return frame.with_columns(pl.Series("side", side.tolist()))


def _score(case: Case, frame: pl.DataFrame, budget: str, trials: int | None) -> str:
    exclude = tuple(name for name in (*case.exclude, case.order) if name and name in frame.columns)
    wanted: ModelSpec = spec(case.target, split="side", exclude=exclude, budget=budget, trials=trials)
    if case.order is not None:  # the newest of the training rows decide when to stop, as they do without a column
        wanted = msgspec.structs.replace(
            wanted, split=None, time=case.order, holdout=0.3, exclude=(*case.exclude, "side")
        )
    started = time.monotonic()
    model = fit(wanted, frame, progress=Remembered())
    return f"{model.judgement.metrics[case.metric]:.4g}, {time.monotonic() - started:.0f}"


if __name__ == "__main__":
    main()

"""Rows to train on, real and made, and a progress that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from appliance.model_card import Trial
from appliance.model_spec import ModelSpec
from appliance.training.contest import Incumbent
from appliance.training.cores import Threads
from appliance.training.train import TrainedModel, train

DATA = Path(__file__).parents[1] / "data"
BIKES = Path(__file__).parents[2] / "appliance" / "demo" / "data" / "bike_sharing_hourly.parquet"


@dataclass(slots=True)
class Remembered:
    """A ``Progress`` that keeps what it was told."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    rounds: list[tuple[int, float, float]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)

    def step(self, name: str, fraction: float, message: str) -> None:  # noqa: ARG002
        self.steps.append((name, fraction))

    def round(self, iteration: int, train: float, valid: float) -> None:
        self.rounds.append((iteration, train, valid))

    def trial(self, trial: Trial) -> None:
        self.trials.append(trial)


def bikes() -> pl.DataFrame:
    return pl.read_parquet(BIKES)


def adults() -> pl.DataFrame:
    return pl.read_parquet(DATA / "adult.parquet")


def penguins() -> pl.DataFrame:
    return pl.read_parquet(DATA / "penguins.parquet")


def made_up(rows: int = 400, *, seed: int = 7) -> pl.DataFrame:
    """Columns of every kind; ``y`` follows from ``x`` and ``color``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    color = rng.choice(["red", "green", "blue"], size=rows)
    return pl.DataFrame(
        {
            "x": x,
            "noise": rng.normal(size=rows),
            "color": color,
            "on": rng.random(rows) < 0.5,
            "y": 3.0 * x + (color == "red") + rng.normal(scale=0.1, size=rows),
        }
    )


def spec(target: str, **changes: object) -> ModelSpec:
    return ModelSpec(name="model", dataset="data", target=target, **changes)  # type: ignore[arg-type]


BIKE = spec("cnt", exclude=("casual", "registered", "dteday"))


def fit(
    wanted: ModelSpec,
    frame: pl.DataFrame,
    *,
    incumbent: Incumbent | None = None,
    progress: Remembered | None = None,
    threads: Threads = lambda: 1,
) -> TrainedModel:
    return train(wanted, frame, incumbent=incumbent, threads=threads, progress=progress or Remembered())

"""What a training costs beside a bare ``lightgbm.train`` on data in memory: wall time and memory, each in its process.

    python -m tests.bench.training [--rows 1000000] [--columns 28] [--rounds 100] [--threads 1]

Every part runs in a process of its own. ``bare`` holds the training rows as one float64 matrix before the clock starts,
and fits once. ``flow`` is a whole training job: it reads a dataset's snapshot, checks it, fits once (early_stopping =
0), evaluates, writes bundle and card, and records the MLflow run. The two parts with ``_two`` are the job as it is by
default, and two bare fits, the first with early stopping. One thread by default: on a busy host more threads wait for
each other, and the ratios say how busy it is. Processor seconds are those of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HOLDOUT = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", choices=sorted(PARTS), help="run one part here")
    parser.add_argument("--state", type=Path)
    asked = parser.parse_args()
    if asked.part:
        size = Size(rows=asked.rows, columns=asked.columns, rounds=asked.rounds, threads=asked.threads)
        print(json.dumps(PARTS[asked.part](size, asked.state)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _report(Size(rows=asked.rows, columns=asked.columns, rounds=asked.rounds, threads=asked.threads), Path(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is trained, and on how many threads."""

    rows: int
    columns: int
    rounds: int
    threads: int

    def words(self) -> list[str]:
        """As this command takes it."""
        return [
            word
            for name in ("rows", "columns", "rounds", "threads")
            for word in (f"--{name}", str(getattr(self, name)))
        ]


def _report(size: Size, folder: Path) -> None:
    binned = size.rows * size.columns * (1 - HOLDOUT) / 1e6
    print(f"{size.rows:,} rows x {size.columns} columns, {size.rounds} rounds, {size.threads} threads")
    print(
        f"load {os.getloadavg()[0]:.1f}; training rows binned {binned:.0f} MB, twice and 1 GB {2 * binned + 1000:.0f}"
    )
    _run("ingest", size, folder)
    found = {part: _run(part, size, folder) for part in ("bare", "flow", "bare_two", "flow_two")}
    for part, result in found.items():
        print(f"  {part:9} {result['seconds']:7.1f} s  {result['cpu']:7.1f} s of processor  peak "
              f"{result['peak_mb']:6.0f} MB  rmse {result['rmse']:.4f}")  # fmt: skip
    for words, one, other in (("one fit", "flow", "bare"), ("two fits", "flow_two", "bare_two")):
        wall, cpu = (found[one][kind] / found[other][kind] for kind in ("seconds", "cpu"))
        print(f"{words}: the flow takes {wall:.2f} x the wall time and {cpu:.2f} x the processor time of the bare")


def _run(part: str, size: Size, folder: Path) -> dict[str, float]:
    words = ["--part", part, *size.words(), "--state", str(folder / "state")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.training", *words], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_rows(rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers, and a target that follows from the first five of them and their products."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    y = x[:, 0] + x[:, 1] * x[:, 2] + np.sin(3 * x[:, 3]) + (x[:, 4] > 0) + rng.normal(scale=0.3, size=rows)
    return x, y


def ingest(size: Size, state: Path) -> dict[str, float]:
    import polars as pl

    from tests.training.state import add, new_appliance

    x, y = make_rows(size.rows, size.columns)
    frame = pl.DataFrame({**{f"c{at:02d}": x[:, at] for at in range(size.columns)}, "y": y})
    house = new_appliance(state)
    add(house, "data", frame)
    return {}


def bare(size: Size, state: Path, *, two: bool = False) -> dict[str, float]:
    import lightgbm

    from appliance.schema import Task
    from appliance.training.fit import FitPlan

    x, y = make_rows(size.rows, size.columns)
    rounds, cut = size.rounds, round(size.rows * (1 - HOLDOUT))
    train_x, train_y, held_x, held_y = x[:cut], y[:cut], x[cut:].copy(), y[cut:].copy()
    plan = FitPlan(
        task=Task.REGRESSION, classes=0, rounds=rounds, early_stopping=50, seed=1, threads=lambda: 1, params={}
    )
    params = plan.lightgbm_params() | {"num_threads": size.threads}
    with Watched() as watched:
        if two:
            stop = round(cut * 0.125)
            first = lightgbm.Dataset(train_x[stop:], label=train_y[stop:], params=dict(params))
            held = lightgbm.Dataset(train_x[:stop], label=train_y[:stop], reference=first, params=dict(params))
            found = lightgbm.train(
                params, first, rounds, valid_sets=[held], callbacks=[lightgbm.early_stopping(50, verbose=False)]
            )
            rounds = found.best_iteration or rounds
        booster = lightgbm.train(params, lightgbm.Dataset(train_x, label=train_y, params=dict(params)), rounds)
    error = float(np.sqrt(np.mean((np.asarray(booster.predict(held_x)) - held_y) ** 2)))
    return {"seconds": watched.seconds, "cpu": watched.cpu, "peak_mb": watched.peak_mb, "rmse": error}


def bare_two(size: Size, state: Path) -> dict[str, float]:
    return bare(size, state, two=True)


def flow(size: Size, state: Path, *, early_stopping: int = 0) -> dict[str, float]:
    import msgspec

    from appliance.house import open_appliance
    from appliance.settings import Settings
    from appliance.training.job import TrainingOrder, run_training
    from tests.training.rows import Remembered, spec

    settings = Settings(state=state, training_threads=size.threads)
    name = f"early{early_stopping}"
    wanted = spec("y", rounds=size.rounds, early_stopping=early_stopping, holdout=HOLDOUT)
    open_appliance(settings).models.apply(msgspec.structs.replace(wanted, name=name), who="bench")
    with Watched() as watched:
        report = run_training(settings, TrainingOrder(model=name, who="bench"), Remembered())
    return {"seconds": watched.seconds, "cpu": watched.cpu, "peak_mb": watched.peak_mb, "rmse": report.metrics["rmse"]}


def flow_two(size: Size, state: Path) -> dict[str, float]:
    return flow(size, state, early_stopping=50)


class Watched:
    """Seconds, processor seconds, and the largest resident size meanwhile, looked at a hundred times a second."""

    def __enter__(self) -> Watched:
        self.peak_mb = 0.0
        self._done = threading.Event()
        self._looker = threading.Thread(target=self._look, daemon=True)
        self._looker.start()
        self._started, self._cpu = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._started
        self.cpu = time.process_time() - self._cpu
        self._done.set()
        self._looker.join()

    def _look(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._done.wait(0.01):
            resident = int(Path("/proc/self/statm").read_text().split()[1])
            self.peak_mb = max(self.peak_mb, resident * page / 1e6)


PARTS = {"ingest": ingest, "bare": bare, "bare_two": bare_two, "flow": flow, "flow_two": flow_two}

if __name__ == "__main__":
    main()

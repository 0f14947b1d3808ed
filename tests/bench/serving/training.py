"""The slowest answers while a training runs, started by the real runner, beside those while it is stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import polars as pl

from appliance.house import Appliance
from appliance.jobs import JobState
from appliance.model_spec import ModelSpec
from tests.bench.serving.load import Load, middle, run_wrk, write_script
from tests.bench.serving.models import COLUMNS, one_row_body
from tests.flows.stack import PATIENCE_S, Stack, children_of, free_port, until
from tests.served_api import ServedApi, serve_api
from tests.training.state import add, new_appliance

ROWS = 200_000
CONNECTIONS = 16
SERVED, ENDLESS = "served", "endless"


def compare_training(folder: Path, *, seconds: int, repeats: int, log: int) -> None:
    """Print p99 beside a training on as many cores as the appliance decides, and beside one told to take every core."""
    house = new_appliance(folder / "state-training", orchestrator_port=free_port())
    add(house, "rows", _made_up())
    house.models.create(
        ModelSpec(name=SERVED, dataset="rows", target="y", rounds=100, early_stopping=100, deploy="auto"), who="bench"
    )
    # Its learning rate and no early stop: the fit outlasts any measurement.
    house.models.create(
        ModelSpec(
            name=ENDLESS, dataset="rows", target="y", rounds=100_000, early_stopping=10_000,
            params={"learning_rate": 0.0001},
        ),
        who="bench",
    )  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    stack = Stack(house)
    try:
        stack.start("orchestrator")
        stack.training_threads = cores
        stack.start("runner")
        _train_served(stack)
        print(f"\n{CONNECTIONS} connections beside a training, {ROWS:,} x {COLUMNS}; it is stopped for idle, in turns")
        with serve_api(house.settings.layout, log=log) as api:
            script = write_script(folder / "training.lua", one_row_body(), {"Authorization": f"Bearer {api.key}"})
            for threads, told in ((cores, f"told to take all {cores} cores"), (0, "as shipped")):
                if threads != stack.training_threads:
                    stack.training_threads = threads
                    stack.stop("runner")
                    stack.start("runner")
                _measure(stack, api, script, told, seconds=seconds, repeats=repeats)
    finally:
        for name in list(stack.processes):
            stack.stop(name)


def _made_up() -> pl.DataFrame:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(ROWS, COLUMNS))
    score = matrix @ random.normal(size=COLUMNS) + random.normal(size=ROWS)
    frame = pl.DataFrame(matrix, schema=[f"c{at:02d}" for at in range(COLUMNS)])
    return frame.with_columns(y=pl.when(pl.Series(score > 0)).then(pl.lit("yes")).otherwise(pl.lit("no")))


def _train_served(stack: Stack) -> None:
    job, house = stack.train(SERVED), stack.house
    done = house.jobs.wait(job, lambda *_: None, timeout_s=PATIENCE_S)
    if done.state is not JobState.COMPLETED:
        raise RuntimeError(done.message)


def _measure(stack: Stack, api: ServedApi, script: Path, told: str, *, seconds: int, repeats: int) -> None:
    url = f"{api.url}/models/{SERVED}/predict"
    run_wrk(url, script, CONNECTIONS, 1)  # the traffic that the training decides by
    job = stack.train(ENDLESS)
    until(lambda: _rounds(stack.house, job), "the first boosting rounds")
    (child,) = children_of(stack.processes["runner"].pid)
    idle: list[Load] = []
    beside: list[Load] = []
    busy_s = 0.0
    for _ in range(repeats):
        os.killpg(child, signal.SIGSTOP)
        idle.append(run_wrk(url, script, CONNECTIONS, seconds))
        os.killpg(child, signal.SIGCONT)
        before_s = _processor_s(child)
        beside.append(run_wrk(url, script, CONNECTIONS, seconds))
        busy_s += _processor_s(child) - before_s
    stack.house.jobs.cancel(job, who="ann")
    until(lambda: not children_of(stack.processes["runner"].pid), "the training's end")
    quiet, loud = middle(idle), middle(beside)
    print(
        f"{told:>24}: p99 {loud.p99_us:.0f} us beside {quiet.p99_us:.0f} idle, {loud.p99_us / quiet.p99_us:.2f} x; "
        f"p50 {loud.p50_us / quiet.p50_us:.2f} x, requests a second {loud.rate / quiet.rate:.2f} x; the training had "
        f"{busy_s / (repeats * seconds):.2f} cores{'  FAILED REQUESTS' if quiet.failed or loud.failed else ''}"
    )


def _rounds(house: Appliance, job: str) -> bool:
    progress = house.jobs.progress(job)
    return progress is not None and bool(progress.curve)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

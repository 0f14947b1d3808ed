"""How soon a training runs: from asking for it to "running", and to its first and last step.

``python -m tests.bench.job_start [--times 7]`` starts the real processes on free ports, adds 5,000 rows, and asks for a
training over HTTP as the dashboard's button does; each ask waits for the one before to end. Held against the floor, a
Python process that imports what a job cannot do without (Prefect's engine and LightGBM), started in turn with them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from tests.bench.idle import appliance_command, own_environment
from tests.bench.serving.machine import describe_machine
from tests.model_bundles import add_key, prepare_state

TARGET_S = 3.0
LOOK_S = 0.02
FLOOR = (sys.executable, "-c", "import prefect.flow_engine, lightgbm")


def main() -> None:
    """Start, ask, print, stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=7)
    times = parser.parse_args().times
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare_state(Path(folder) / "state")
        key = add_key(layout, "bench", "admin")
        environment = own_environment(layout)
        rng = np.random.default_rng(0)
        frame = pl.DataFrame({name: rng.normal(size=5_000) for name in ("a", "b", "c")})
        frame.with_columns(y=pl.col("a") + pl.col("b")).write_parquet(Path(folder) / "rows.parquet")
        try:
            for words in (
                "up --detach", f"data add rows {folder}/rows.parquet", "model create m --dataset rows --target y",
            ):  # fmt: skip
                appliance_command(environment, *words.split())
            url = f"http://127.0.0.1:{environment['APPLIANCE_UI_PORT']}/api"
            with httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=60.0) as client:
                _train(client)  # the first one reads the libraries from the disk
                found, floors = [], []
                for _ in range(times):
                    floors.append(_floor())
                    found.append(_train(client))
        finally:
            appliance_command(environment, "down")
    floor = statistics.median(floors)
    print(f"\n{'':<36}{'median s':>9}{'most s':>9}{'x floor':>9}")
    print(f"{'floor: a process with the libraries':<36}{floor:>9.2f}{max(floors):>9.2f}{1:>9.2f}")
    for name, moments in zip(("asked to running", "asked to done"), zip(*found, strict=True), strict=True):
        median = statistics.median(moments)
        print(f"{name:<36}{median:>9.2f}{max(moments):>9.2f}{median / floor:>9.2f}")
    print(f"target: running after {TARGET_S:.0f} s at most")


def _train(client: httpx.Client) -> tuple[float, float]:
    """Seconds from asking to running, and to the end."""
    began = time.monotonic()
    answer = client.post("/models/m/train")
    answer.raise_for_status()
    path, running_s = f"/jobs/{answer.json()['job_id']}", None
    while True:
        job = client.get(path).raise_for_status().json()["job"]
        after_s = time.monotonic() - began
        if job["state"] not in {"scheduled", "running"}:
            assert job["state"] == "completed", job
            return running_s or after_s, after_s
        if job["state"] == "running" and running_s is None:
            running_s = after_s
        time.sleep(LOOK_S)


def _floor() -> float:
    began = time.monotonic()
    subprocess.run(FLOOR, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()

"""What the appliance costs while nobody asks: memory and processor time of each process, and how soon it answers.

``python -m tests.bench.idle [--minutes 5]`` starts the real processes with one served model on free ports, lets them
settle for a minute, and reads what the kernel counted. The processor time of children that have ended is in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx

from appliance.processes.procfs import find_pss_mb, list_tree
from appliance.schema import Task
from storage.deployment_rows import NewDeployment, put_deployment
from storage.layout import Layout
from storage.statedb import connect
from tests.bench.serving.machine import describe_machine
from tests.install.place import free_ports
from tests.model_bundles import add_key, deploy, numeric_columns, prepare_state, publish, sample_rows, train_model

ROOT = Path(__file__).parents[2]
SETTLE_S = 60
TARGET_MB, TARGET_SHARE = 600, 0.05
COLUMNS = numeric_columns(8)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start, settle, measure, stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    minutes = parser.parse_args().minutes
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare_state(Path(folder) / "state")
        publish(layout, train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS))
        deploy(layout, {"m": 1})
        _write_down(layout)
        environment = own_environment(layout)
        try:
            _start(layout, environment)
            time.sleep(SETTLE_S)
            _measure(environment, minutes)
        finally:
            appliance_command(environment, "down")


def _write_down(layout: Layout) -> None:
    """The runner publishes what the database says serves."""
    new = NewDeployment(
        model="m", version=1, role="champion", who="bench", reason="bench", started_at=datetime.now(UTC)
    )
    with closing(connect(layout.database)) as connection:
        put_deployment(connection, new, replaces=None)


def own_environment(layout: Layout) -> dict[str, str]:
    """For processes on a state of their own: free ports, one worker of the API, nothing of the caller's settings."""
    ports = dict(zip(("API", "UI", "ORCHESTRATOR", "MLFLOW", "UI_MLFLOW", "UI_PREFECT"), free_ports(6), strict=True))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    return {
        **clean, **{f"APPLIANCE_{name}_PORT": str(port) for name, port in ports.items()},
        "APPLIANCE_STATE": str(layout.root), "APPLIANCE_API_WORKERS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def _start(layout: Layout, environment: Mapping[str, str]) -> None:
    """Print how long the first prediction, the dashboard and the whole take from the command on."""
    key = add_key(layout, "bench", "predict")
    api = f"http://127.0.0.1:{environment['APPLIANCE_API_PORT']}/models/m/predict"
    ui = f"http://127.0.0.1:{environment['APPLIANCE_UI_PORT']}/login"
    body = {"rows": sample_rows(COLUMNS, 1)}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli.main", "up", "--detach"], env=dict(environment),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with httpx.Client(timeout=5.0) as client:
        _until(lambda: client.post(api, json=body, headers={"x-api-key": key}).status_code == 200)
        print(f"start to the first prediction: {time.monotonic() - began:.1f} s")
        _until(lambda: client.get(ui).status_code == 200)
        print(f"start to the dashboard's login: {time.monotonic() - began:.1f} s")
    process.wait()
    print(f"start until every process is well: {time.monotonic() - began:.1f} s")


def _until(is_there: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if is_there():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the appliance does not answer")


def _measure(environment: Mapping[str, str], minutes: float) -> None:
    pids = {
        one["name"]: int(one["pid"])
        for one in json.loads(appliance_command(environment, "status", "--json"))["services"]
        if one["pid"]
    }
    before = {name: _processor_s(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(minutes * 60)
    took_s = time.monotonic() - began
    shares = {name: (_processor_s(pid) - before[name]) / took_s for name, pid in pids.items()}
    weights = {name: find_pss_mb(pid) or 0.0 for name, pid in pids.items()}
    print(f"\nidle for {took_s / 60:.1f} minutes, after {SETTLE_S} s of rest")
    print(f"{'process':<14}{'PSS MB':>8}{'% of a core':>13}")
    for name in pids:
        print(f"{name:<14}{weights[name]:>8.1f}{shares[name]:>13.2%}")
    print(f"{'all':<14}{sum(weights.values()):>8.1f}{sum(shares.values()):>13.2%}")
    print(f"{'target':<14}{TARGET_MB:>8}{TARGET_SHARE:>13.0%}")


def _processor_s(pid: int) -> float:
    """User and system time of the process, of everything below it, and of its children that were waited for."""
    total = 0
    for member in list_tree(pid):
        try:
            fields = (Path("/proc") / str(member) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS_PER_S


def appliance_command(environment: Mapping[str, str], *words: str) -> str:
    """What the command says on standard output."""
    return subprocess.run(
        [sys.executable, "-m", "appliance.cli.main", *words], env=dict(environment), check=False,
        stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


if __name__ == "__main__":
    main()

"""Prints the served routes beside their floors, as ratios within one run: ``python -m tests.bench.serving``.

Needs ``wrk`` (Debian package). Everything is on as shipped: authentication, validation, event log, metrics.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.serving.batch import compare_batch
from tests.bench.serving.machine import describe_machine
from tests.bench.serving.models import LARGE, SMALL, Size, train_size
from tests.bench.serving.one_row import compare_one_row
from tests.bench.serving.training import compare_training
from tests.bench.serving.weight import print_cold_starts, print_growth
from tests.model_bundles import TrainedModel, deploy, prepare_state, publish
from tests.served_api import serve_api

PARTS = ("one-row", "batch", "weight", "training")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half of the time; figures are rough")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    length = Length(seconds=1, repeats=1) if arguments.quick else Length(seconds=2, repeats=3)
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory() as name, (Path(name) / "api.log").open("w+") as log:
        _keep_bytecode(Path(name) / "bytecode")
        try:
            run(Path(name), arguments.only or PARTS, length, log.fileno())
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read())
            raise
    print(f"\nat the end: {describe_machine()}")


def _keep_bytecode(folder: Path) -> None:
    """Have the processes start as installed ones do: compiling takes half a second of a cold start, and 6 MB."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    modules = "appliance.api.inference.process, appliance.api.inference.app, uvicorn.protocols.http.httptools_impl"
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long one run of wrk takes, and how often each thing is measured."""

    seconds: int
    repeats: int


def run(folder: Path, parts: Sequence[str], length: Length, log: int) -> None:
    """Measure and print these parts; the servers write to that log."""
    if {"one-row", "batch", "weight"} & set(parts):
        models = {size: train_size(size) for size in (SMALL, LARGE)}
        _serve_models(folder, parts, models, length, log)
    if "training" in parts:
        compare_training(folder, seconds=length.seconds, repeats=length.repeats, log=log)


def _serve_models(
    folder: Path, parts: Sequence[str], models: Mapping[Size, TrainedModel], length: Length, log: int
) -> None:
    layout = prepare_state(folder / "state")
    for model in models.values():
        publish(layout, model)
    if "weight" in parts:
        deploy(layout, {SMALL.name: 1})
        print_cold_starts(layout, SMALL.name, length.repeats + 2, log)
        print_growth(folder, models, log)
    deploy(layout, {size.name: 1 for size in models}, revision=2)
    with serve_api(layout, log=log) as api:
        for size in models:
            api.wait_until_serving(size.name, 1)
        if "batch" in parts:
            for size, model in models.items():
                compare_batch(api, size, model, 20 * length.repeats)
        if "one-row" in parts:
            compare_one_row(api, folder, seconds=length.seconds, repeats=length.repeats)


if __name__ == "__main__":
    main()

"""Prints other servers with the same model beside ours: ``python -m tests.bench.neighbours``.

One model (100 trees of 31 leaves, 28 numbers), one row a request, 16 connections, one worker each; ours with
authentication, validation, event log and metrics on. Each neighbour that is not in our own environment gets one from
the package index. Needs ``wrk`` (Debian package).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bench.neighbours.environment import CannotInstall, make_environment
from tests.bench.neighbours.roster import NEIGHBOURS, Neighbour, Place
from tests.bench.serving.load import middle, run_wrk, write_script
from tests.bench.serving.machine import describe_machine
from tests.bench.serving.models import SMALL, make_rows, train_size
from tests.bench.serving.server import wait_for_port
from tests.model_bundles import deploy, prepare_state, publish
from tests.served_api import ServedApi, free_port, serve_api

CONNECTIONS = 16
PATIENCE_S = 120.0


class Failed(Exception):
    """A neighbour that does not start, or answers something else than the model says."""


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=[known.name for known in NEIGHBOURS], help="this one")
    parser.add_argument("--seconds", type=int, default=2, help="of each wrk run")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    print(f"{describe_machine()}\n\nneighbour              req/s       p50       p99    ours/s     times    wanted")
    model = train_size(SMALL)
    row = {name: float(value) for name, value in make_rows(1)[0].items()}
    ((expected,),) = model.expect([row])
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w+") as log:
        folder = Path(name)
        file = folder / "model.txt"
        model.booster.save_model(str(file))
        layout = prepare_state(folder / "state")
        publish(layout, model)
        deploy(layout, {SMALL.name: 1})
        with serve_api(layout, log=log.fileno()) as api:
            api.wait_until_serving(SMALL.name, 1)
            script = write_script(
                folder / "ours.lua", json.dumps({"rows": [row]}).encode(), {"Authorization": f"Bearer {api.key}"}
            )
            for index, neighbour in enumerate(NEIGHBOURS):
                if arguments.only and neighbour.name not in arguments.only:
                    continue
                own = folder / f"neighbour-{index}"
                own.mkdir()
                try:
                    place = _settle(neighbour, own, file)
                    with _start(neighbour, place, own / "log") as url:
                        _check_answer(url, neighbour.body(row), expected)
                        _compare(neighbour, url, row, (api, script, own), arguments.seconds)
                except (CannotInstall, Failed) as exc:
                    print(f"{neighbour.name:<18} left out: {exc}", flush=True)
    print(f"\nat the end: {describe_machine()}")


def _settle(neighbour: Neighbour, own: Path, model: Path) -> Place:
    bin_ = make_environment(own / "env", neighbour.packages) if neighbour.packages else Path(sys.executable).parent
    place = Place(bin=bin_, folder=own, model=model, port=free_port())
    neighbour.prepare(place)
    return place


@contextmanager
def _start(neighbour: Neighbour, place: Place, log: Path) -> Iterator[str]:
    """The neighbour's URL, once it listens; all that it started ends with it."""
    environment = {
        **os.environ, **neighbour.environment, "BENCH_MODEL": str(place.model),
        "OMP_NUM_THREADS": "1",  # one row gains nothing from a second thread, and waits for it
        "PATH": f"{place.bin}:{os.environ['PATH']}",
    }  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(
            list(neighbour.command(place)), cwd=place.folder, env=environment, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    try:
        try:
            wait_for_port(place.port, process, PATIENCE_S)
        except RuntimeError as exc:
            raise Failed(f"{exc}: {log.read_text()[-500:]}") from exc
        yield f"http://127.0.0.1:{place.port}{neighbour.path}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _check_answer(url: str, body: object, expected: float) -> None:
    """Until it answers, which must be what LightGBM says, digit for digit as far as its answer goes."""
    deadline, said = time.monotonic() + PATIENCE_S, "nothing"
    while time.monotonic() < deadline:
        try:
            answer = httpx.post(url, json=body, timeout=10.0)
        except httpx.HTTPError as exc:
            said = str(exc)
        else:
            if f"{expected:.12f}"[:10] in answer.text:
                return
            said = f"{answer.status_code} {answer.text[:300]}"
        time.sleep(0.2)
    raise Failed(f"it answers {said}, LightGBM says {expected}")


def _compare(
    neighbour: Neighbour, url: str, row: Mapping[str, float], ours: tuple[ServedApi, Path, Path], seconds: int
) -> None:
    api, script, folder = ours
    theirs = write_script(
        folder / "theirs.lua", json.dumps(neighbour.body(row)).encode(), {"Content-Type": "application/json"}
    )
    loads, own = [], []
    run_wrk(url, theirs, CONNECTIONS, 1)  # warm
    for _ in range(3):
        loads.append(run_wrk(url, theirs, CONNECTIONS, seconds))
        own.append(run_wrk(f"{api.url}/models/{SMALL.name}/predict", script, CONNECTIONS, seconds))
    load, best = middle(loads), middle(own)
    print(
        f"{neighbour.name:<18} {load.rate:>9.0f} {load.p50_us / 1000:>7.1f}ms {load.p99_us / 1000:>7.1f}ms "
        f"{best.rate:>9.0f} {best.rate / load.rate:>9.1f} {neighbour.wanted:>9}"
        f"{'  FAILED REQUESTS' if load.failed or best.failed else ''}",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""What a process of the API weighs, what each further model adds, and how long it takes to its first answer."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.layout import Layout
from tests.bench.serving.load import Client, Refused, write_request
from tests.bench.serving.models import LARGE, Size, one_row_body, publish_as, text_mb
from tests.model_bundles import TrainedModel, add_key, deploy, prepare_state
from tests.served_api import ServedApi, free_port, serve_api

FURTHER = 5
FILLERS = 3
"""Large models that take the holes which starting left in the heap; the first small ones cost nothing otherwise."""
MANY = 6


def print_cold_starts(layout: Layout, model: str, starts: int, log: int) -> None:
    """From the start of the process to the first prediction, median of several starts."""
    key = add_key(layout, "cold", "predict")
    taken = sorted(_cold_start_s(layout, model, key, log) for _ in range(starts))
    print(
        f"\ncold start to the first answer: {statistics.median(taken):.2f} s, median of {starts} "
        f"({taken[0]:.2f} to {taken[-1]:.2f})"
    )


def print_growth(folder: Path, models: Mapping[Size, TrainedModel], log: int) -> None:
    """Memory with one model after its first answer, what five more add, and what each costs once the heap is full."""
    print("\nmemory of the process")
    for size, model in models.items():
        layout = prepare_state(folder / f"state-{size.name}")
        names = [f"{size.name}-{index}" for index in range(1 + FURTHER + MANY)]
        for name in names:
            publish_as(layout, model, name)
        fillers = [f"filler-{index}" for index in range(FILLERS)]
        for name in fillers:
            publish_as(layout, models[LARGE], name)
        stages = ([names[0]], names[: 1 + FURTHER], [*names[: 1 + FURTHER], *fillers], [*names, *fillers])
        deploy(layout, {names[0]: 1})
        with serve_api(layout, log=log) as api:
            one, six, full, many = [_weigh_with(api, served, stage) for stage, served in enumerate(stages)]
        each, text = (many.own_mb - full.own_mb) / MANY, text_mb(model)
        print(
            f"{size.shape:>9}: {one.pss_mb:.1f} MB PSS after the first answer ({one.own_mb:.1f} its own; "
            f"{one.rss_mb:.1f} RSS, with every page that it shares); {FURTHER} more models add "
            f"{six.own_mb - one.own_mb:.1f} MB;\n"
            f"           once the heap has no holes left each adds {each:.2f} MB, {each / text:.2f} x its text "
            f"of {text:.2f} MB"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Memory of a process, MB of 2**20 bytes; ``pss_mb`` counts shared pages in parts, ``own_mb`` is anonymous."""

    pss_mb: float
    rss_mb: float
    own_mb: float


def weigh(pid: int) -> Weight:
    """What the kernel says of a process."""
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE))
    pss, rss, own = (int(sizes[name]) / 1024 for name in ("Pss", "Rss", "Anonymous"))
    return Weight(pss_mb=pss, rss_mb=rss, own_mb=own)


def _weigh_with(api: ServedApi, names: Sequence[str], stage: int) -> Weight:
    """With these models, each of which has answered."""
    deploy(api.layout, dict.fromkeys(names, 1), revision=2 + stage)
    for name in names:
        api.wait_until_serving(name, 1)
        _predict(api, name)
    return weigh(api.process.pid)


def _predict(api: ServedApi, name: str) -> None:
    answer = api.client.post(f"/models/{name}/predict", content=one_row_body())
    answer.raise_for_status()


def _cold_start_s(layout: Layout, model: str, key: str, log: int) -> float:
    port = free_port()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = write_request(f"/models/{model}/predict", one_row_body(), headers)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.api.inference.process"], start_new_session=True, stderr=log,
        env={**os.environ, "APPLIANCE_STATE": str(layout.root), "APPLIANCE_API_PORT": str(port)},
    )  # fmt: skip
    try:
        while process.poll() is None:
            try:
                client = Client(port)
                client.exchange(request)
            except (ConnectionRefusedError, Refused):
                time.sleep(0.002)
            else:
                client.close()
                return time.perf_counter() - started
        raise RuntimeError(f"the API ended with {process.returncode}")
    finally:
        process.terminate()
        process.wait()

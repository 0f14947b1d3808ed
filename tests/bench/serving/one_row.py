"""One row a request, over keep-alive connections, beside the bare floor and an empty typed Litestar handler."""

from __future__ import annotations

from pathlib import Path

from tests.bench.serving.load import Load, middle, run_wrk, write_script
from tests.bench.serving.models import LARGE, SMALL, one_row_body
from tests.bench.serving.server import start_module
from tests.served_api import ServedApi

CONNECTIONS = (1, 16, 64)
_HEAD = "connections  server                 req/s  of floor  of handler       p50  of floor       p99  p99/p50"


def compare_one_row(api: ServedApi, folder: Path, *, seconds: int, repeats: int) -> None:
    """Print the table; in each repeat every server has its turn, so that all see the same machine."""
    script = write_script(
        folder / "one.lua", one_row_body(), {"Content-Type": "application/json", "Authorization": f"Bearer {api.key}"}
    )
    print(f"\nOne row a request, 28 numbers, median of {repeats} runs of {seconds} s each\n{_HEAD}")
    with start_module("tests.bench.serving.floor") as floor, start_module("tests.bench.serving.handler") as handler:
        urls = {
            "floor": f"{floor}/models/small/predict",
            "typed Litestar handler": f"{handler}/models/small/predict",
            f"ours, {SMALL.shape}": f"{api.url}/models/{SMALL.name}/predict",
            f"ours, {LARGE.shape}": f"{api.url}/models/{LARGE.name}/predict",
        }
        for connections in CONNECTIONS:
            runs: dict[str, list[Load]] = {name: [] for name in urls}
            for _ in range(repeats):
                for name, url in urls.items():
                    runs[name].append(run_wrk(url, script, connections, seconds))
            _print_loads(connections, {name: middle(loads) for name, loads in runs.items()})


def _print_loads(connections: int, loads: dict[str, Load]) -> None:
    floor, handler = loads["floor"], loads["typed Litestar handler"]
    for name, load in loads.items():
        print(
            f"{connections:>11}  {name:<22} {load.rate:>5.0f} {load.rate / floor.rate:>9.2f} "
            f"{load.rate / handler.rate:>11.2f} {load.p50_us:>7.0f}us {load.p50_us / floor.p50_us:>9.2f} "
            f"{load.p99_us:>7.0f}us {load.p99_us / load.p50_us:>8.1f}{'  FAILED REQUESTS' if load.failed else ''}"
        )

"""Prints the served routes beside their floors, as ratios within one run: ``python -m tests.bench.serving``.

Needs ``wrk`` (Debian package). Everything is on as shipped: authentication, validation, event log, metrics.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from appliance.encoder import RowEncoder
from appliance.schema import Task
from appliance.serving.lightgbm_c import Booster
from tests.model_bundles import TrainedModel, deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, free_port, serve_api

COLUMNS = 28
TREES = 100
CONNECTIONS = (1, 16, 64)
BATCH = 1000

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
_MARKS = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw."""

    rate: float
    p50_us: float
    p99_us: float
    failed: bool


def run_wrk(url: str, script: Path, connections: int, seconds: int) -> Load:
    """Load a URL over keep-alive connections from one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    marks = {name: float(value) * _UNITS[unit] for name, value, unit in _MARKS.findall(text)}
    rate = _RATE.search(text)
    if rate is None:
        raise RuntimeError(text)
    failed = "Non-2xx" in text or "Socket errors" in text
    return Load(rate=float(rate[1]), p50_us=marks["50"], p99_us=marks["99"], failed=failed)


def write_script(path: Path, body: bytes, key: str) -> Path:
    """A wrk script that posts a body."""
    path.write_text(
        f'wrk.method = "POST"\nwrk.body = {json.dumps(body.decode())}\n'
        f'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Authorization"] = "Bearer {key}"\n'
    )
    return path


@contextmanager
def serve_floor() -> Iterator[str]:
    """The bare floor in a process of its own; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.serving.floor"], env={**os.environ, "FLOOR_PORT": str(port)}
    )
    try:
        while process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def median_ms(call: object, repeats: int) -> float:
    """Median time of a call, milliseconds."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def compare_one_row(api: ServedApi, body: bytes, folder: Path, seconds: int) -> None:
    """One row a request: the floor and ours in turns, so that both see the same machine."""
    script = write_script(folder / "one.lua", body, api.key)
    url = f"{api.url}/models/bench/predict"
    print("connections   floor/s    ours/s  ratio  floor p50  ours p50  ratio  p99/p50")
    with serve_floor() as floor_url:
        for connections in CONNECTIONS:
            floors, ours = [], []
            for _ in range(3):
                floors.append(run_wrk(floor_url, script, connections, seconds))
                ours.append(run_wrk(url, script, connections, seconds))
            floor = sorted(floors, key=lambda load: load.rate)[1]
            own = sorted(ours, key=lambda load: load.rate)[1]
            print(
                f"{connections:>11} {floor.rate:>9.0f} {own.rate:>9.0f} {own.rate / floor.rate:>6.2f} "
                f"{floor.p50_us:>8.0f}us {own.p50_us:>7.0f}us {own.p50_us / floor.p50_us:>6.2f} "
                f"{own.p99_us / own.p50_us:>8.1f}{'  FAILED REQUESTS' if own.failed else ''}"
            )


def write_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A request's bytes, made once: a client's own encoding is not what is measured."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def exchange(connection: socket.socket, request: bytes) -> None:
    """Send a request and take in its whole answer, which must be a good one."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 20)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode(errors="replace"))
    found = re.search(rb"content-length: (\d+)", head)
    left = int(found[1]) - len(body) if found else 0
    while left > 0:
        left -= len(connection.recv(1 << 20))


def compare_batch(api: ServedApi, model: TrainedModel, repeats: int) -> None:
    """A large request against LightGBM's C API on the same matrix with the same threads."""
    rows = sample_rows(model.schema.columns, BATCH)
    matrix = RowEncoder(model.schema).encode(rows).matrix
    booster = Booster(model.booster.model_to_string().encode())
    threads = len(os.sched_getaffinity(0))
    floor = median_ms(lambda: booster.predict(matrix, threads=threads), repeats)
    native = json.dumps({"rows": rows}).encode()
    tensor = {"name": "x", "shape": [BATCH, COLUMNS], "datatype": "FP64"}
    v2_json = json.dumps({"inputs": [{**tensor, "data": matrix.ravel().tolist()}]}).encode()
    raw = matrix.tobytes()
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    bodies = {
        "native JSON": ("/models/bench/predict", native, {}),
        "V2 JSON": ("/v2/models/bench/infer", v2_json, {}),
        "V2 binary": ("/v2/models/bench/infer", head + raw, {"inference-header-content-length": str(len(head))}),
    }
    print(f"\n{BATCH} rows: C API on {threads} threads {floor:.2f} ms")
    for name, (path, body, headers) in bodies.items():
        with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = write_request(path, body, {**headers, "authorization": f"Bearer {api.key}"})
            took = median_ms(lambda c=connection, r=request: exchange(c, r), repeats)
        floor = median_ms(lambda: booster.predict(matrix, threads=threads), repeats)
        print(f"{name:>14} {took:7.2f} ms, {took / floor:5.2f} x the C API call of {floor:.2f} ms")


def weigh(api: ServedApi, when: str) -> None:
    """Memory of the process."""
    rollup = Path(f"/proc/{api.process.pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", rollup, re.MULTILINE))
    private = int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])
    print(
        f"memory {when}: PSS {int(sizes['Pss']) / 1024:.1f} MB, RSS {int(sizes['Rss']) / 1024:.1f} MB, "
        f"private {private / 1024:.1f} MB"
    )


def processor_time_s(api: ServedApi) -> float:
    """What the process has used of the processors."""
    fields = Path(f"/proc/{api.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each wrk run")
    parser.add_argument("--repeats", type=int, default=60, help="of each large request")
    arguments = parser.parse_args()
    model = train_model("bench", 1, task=Task.BINARY, columns=numeric_columns(COLUMNS), trees=TREES, rows=20_000)
    body = json.dumps({"rows": sample_rows(model.schema.columns, 1)}).encode()
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare_state(Path(folder) / "state")
        publish(layout, model)
        deploy(layout, {"bench": 1})
        start = time.perf_counter()
        with serve_api(layout) as api:
            while api.client.post("/models/bench/predict", content=body).status_code != 200:
                time.sleep(0.01)
            cold_start_s = time.perf_counter() - start
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
            print(f"cold start to first answer {cold_start_s:.2f} s (processor time {processor_time_s(api):.2f} s)")
            weigh(api, "after the first answer")
            compare_one_row(api, body, Path(folder), arguments.seconds)
            compare_batch(api, model, arguments.repeats)
            weigh(api, "at the end")


if __name__ == "__main__":
    main()

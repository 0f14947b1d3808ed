"""A day of 50 predictions a second, compressed: what grows in a process, in its open files, and on the disk.

``python -m tests.bench.soak [--minutes 20]`` starts the real processes with one served model on free ports and sends
5,000 rows a second, a hundred a request, each request with the event time that a whole day puts there; labels follow
for one row in twenty, and both ``/metrics`` are scraped. Nothing else of the product is sped up but the compaction
(``--compaction-s``), so that it runs often enough to be seen. Exit code 1 when a process grew by more than a tenth
after the first five minutes; open files and sizes on the disk are printed beside.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl

from appliance.processes.procfs import list_tree
from storage.layout import Layout
from tests.bench.idle import appliance_command, own_environment
from tests.bench.serving.machine import describe_machine
from tests.model_bundles import add_key, numeric_columns, prepare_state, sample_rows

ROWS_A_REQUEST, REQUESTS_A_SECOND, CONNECTIONS = 100, 50, 2
LABEL_EVERY = 20
"""Requests; of such a one every row is labelled."""
LOOK_S, SCRAPE_S, WARM_S = 15.0, 15.0, 300.0
GROWTH = 1.10
BODIES = 100
COLUMNS = numeric_columns(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One process at one moment; memory of itself alone, in MB of 10**6 bytes, beside that of its tree."""

    at_s: float
    own_mb: float
    tree_mb: float
    files: int


@dataclass(slots=True)
class Sent:
    """What the clients sent and were answered."""

    rows: int = 0
    labels: int = 0
    unrecorded: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Day:
    """The day that ends now, laid over the minutes of the run."""

    def __init__(self, began: float, lasts_s: float) -> None:
        self.began = began
        self._lasts_s = lasts_s
        self._first = datetime.now(UTC) - timedelta(days=1)

    def at(self, moment: float) -> datetime:
        """The time of the day at a moment of the monotonic clock."""
        return self._first + timedelta(days=1) * min(1.0, (moment - self.began) / self._lasts_s)


def main() -> int:
    """Start, load, look, stop, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--compaction-s", type=float, default=60.0)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare_state(Path(folder) / "state")
        key = add_key(layout, "soak", "predict,label,read")
        environment = {
            **own_environment(layout),
            "APPLIANCE_COMPACTION_INTERVAL_S": str(options.compaction_s),
        }
        try:
            _serve_model(Path(folder) / "rows.parquet", environment)
            sent, looks, disk = _soak(layout, environment, key, minutes=options.minutes)
            print(_describe_sent(sent, options.minutes))
            print(_describe_disk(disk))
            print(json.dumps(_windows(layout)))
        finally:
            appliance_command(environment, "down")
    return _judge(looks, failures=len(sent.failures))


def _serve_model(file: Path, environment: Mapping[str, str]) -> None:
    """Start, train and deploy as an operator does, so that there is a reference to count against."""
    rows = sample_rows(COLUMNS, 5_000, seed=1)
    noise = random.Random(0)
    frame = pl.DataFrame([{**row, "y": sum(map(float, row.values())) + noise.gauss(0, 1)} for row in rows])
    frame.write_parquet(file)
    for words in (
        "up --detach",
        f"data add rows {file}",
        "model create m --dataset rows --target y",
        "train m --wait",
        "deploy m",
    ):
        appliance_command(environment, *words.split())
    time.sleep(2.0)  # the API looks for deployments every second


def _soak(
    layout: Layout, environment: Mapping[str, str], key: str, *, minutes: float
) -> tuple[Sent, dict[str, list[Look]], list[tuple[float, dict[str, float]]]]:
    pids = {
        one["name"]: int(one["pid"])
        for one in json.loads(appliance_command(environment, "status", "--json"))["services"]
        if one["pid"]
    }
    sent, stop = Sent(), threading.Event()
    began = time.monotonic()
    clients = [
        threading.Thread(target=_send, args=(_client(environment, key), sent, stop, Day(began, minutes * 60), seed))
        for seed in range(CONNECTIONS)
    ]
    clients.append(threading.Thread(target=_scrape, args=(environment, key, stop)))
    for client in clients:
        client.start()
    looks: dict[str, list[Look]] = {name: [] for name in pids}
    disk: list[tuple[float, dict[str, float]]] = []
    try:
        while (at_s := time.monotonic() - began) < minutes * 60:
            for name, pid in pids.items():
                looks[name].append(_look(at_s, pid))
            disk.append((at_s, _disk(layout)))
            if len(disk) % 4 == 1:
                print(_line(at_s, looks, disk[-1][1], sent), flush=True)
            time.sleep(max(0.0, min(at_s + LOOK_S, minutes * 60) - (time.monotonic() - began)))
    finally:
        stop.set()
        for client in clients:
            client.join()
    return sent, looks, disk


def _send(client: httpx.Client, sent: Sent, stop: threading.Event, day: Day, seed: int) -> None:
    """One connection: its share of the rate, by the clock and not by the answers; what is late is sent at once."""
    rows = sample_rows(COLUMNS, ROWS_A_REQUEST * BODIES, seed=seed)
    bodies = [
        json.dumps(rows[start : start + ROWS_A_REQUEST]).encode() for start in range(0, len(rows), ROWS_A_REQUEST)
    ]
    pause_s, count = CONNECTIONS / REQUESTS_A_SECOND, 0
    noise = random.Random(seed)
    with client:
        while not stop.is_set():
            due = day.began + count * pause_s
            if (wait_s := due - time.monotonic()) > 0:
                time.sleep(wait_s)
            body = b'{"time":"%s","rows":%s}' % (day.at(due).isoformat().encode(), bodies[count % BODIES])
            try:
                answer = client.post("/models/m/predict", content=body)
                answer.raise_for_status()
                labels = [
                    {"id": one["id"], "label": one["value"] + noise.gauss(0, 1)}
                    for one in (answer.json()["predictions"] if count % LABEL_EVERY == 0 else ())
                ]
                if labels:
                    client.post("/models/m/labels", json={"labels": labels}).raise_for_status()
            except httpx.HTTPError as exc:
                with sent.lock:
                    sent.failures.append(str(exc))
            else:
                with sent.lock:
                    sent.rows += ROWS_A_REQUEST
                    sent.labels += len(labels)
                    sent.unrecorded += answer.headers.get("x-capture") == "off"
            count += 1


def _scrape(environment: Mapping[str, str], key: str, stop: threading.Event) -> None:
    with _client(environment, key) as api, _client(environment, key, port="UI") as ui:
        while not stop.wait(SCRAPE_S):
            api.get("/metrics")
            ui.get("/api/metrics")


def _client(environment: Mapping[str, str], key: str, *, port: str = "API") -> httpx.Client:
    url = f"http://127.0.0.1:{environment[f'APPLIANCE_{port}_PORT']}"
    return httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=60.0)


def _look(at_s: float, pid: int) -> Look:
    tree = list_tree(pid)
    return Look(at_s=at_s, own_mb=_pss_mb(pid), tree_mb=sum(map(_pss_mb, tree)), files=_open_files(pid))


def _pss_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / 1e6


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def _disk(layout: Layout) -> dict[str, float]:
    """MB of 10**6 bytes: each database with its write-ahead log, the event log, the history."""
    sizes = {}
    for name in ("appliance.db", "mlflow/mlflow.db", "prefect/prefect.db"):
        path = layout.root / name
        sizes[name] = sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal"))
    sizes["events"] = sum(_size(path) for path in layout.events.rglob("*"))
    sizes["history"] = sum(_size(path) for path in layout.history.rglob("*"))
    return {name: size / 1e6 for name, size in sizes.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _windows(layout: Layout) -> dict[str, int]:
    """Rows of each table of the state database that has any."""
    with closing(sqlite3.connect(layout.database)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608
    return {name: count for name, count in counts.items() if count}


def _line(at_s: float, looks: Mapping[str, list[Look]], disk: Mapping[str, float], sent: Sent) -> str:
    parts = [f"{name} {found[-1].own_mb:.0f} MB {found[-1].files} files" for name, found in looks.items()]
    parts += [f"{name} {size:.1f}" for name, size in disk.items()]
    return f"{at_s / 60:5.1f} min, {sent.rows:,} rows: " + ", ".join(parts)


def _describe_sent(sent: Sent, minutes: float) -> str:
    text = (
        f"\n{sent.rows:,} predictions in {minutes:g} minutes ({sent.rows / minutes / 60:,.0f} a second), "
        f"{sent.labels:,} labels, {len(sent.failures)} failures, {sent.unrecorded} requests not recorded"
    )
    return text + (f"; the first: {sent.failures[0]}" if sent.failures else "")


def _describe_disk(disk: list[tuple[float, dict[str, float]]]) -> str:
    lines = [f"{'MB on the disk':<22}{'start':>9}{'5 min':>9}{'largest':>9}{'end':>9}"]
    for name in disk[0][1]:
        sizes = [found[name] for _, found in disk]
        warm = next((found[name] for at_s, found in disk if at_s >= WARM_S), sizes[-1])
        lines.append(f"{name:<22}{sizes[0]:>9.1f}{warm:>9.1f}{max(sizes):>9.1f}{sizes[-1]:>9.1f}")
    return "\n".join(lines)


def _judge(looks: Mapping[str, list[Look]], *, failures: int) -> int:
    """The minute after the first five beside the last one; the middle of four looks each."""
    print(f"\n{'process':<14}{'start MB':>10}{'5 min':>8}{'end':>8}{'growth':>8}{'tree at most':>14}{'files':>12}")
    worst = 1.0
    for name, found in looks.items():
        warm = [look.own_mb for look in found if WARM_S <= look.at_s < WARM_S + 60] or [found[0].own_mb]
        end = [look.own_mb for look in found[-4:]]
        before, after = sorted(warm)[len(warm) // 2], sorted(end)[len(end) // 2]
        growth = after / before if before else 1.0
        worst = max(worst, growth)
        files = f"{found[0].files} to {found[-1].files}"
        peak = max(look.tree_mb for look in found)
        print(f"{name:<14}{found[0].own_mb:>10.1f}{before:>8.1f}{after:>8.1f}{growth:>8.2f}{peak:>14.1f}{files:>12}")
    return int(worst > GROWTH or bool(failures))


if __name__ == "__main__":
    sys.exit(main())

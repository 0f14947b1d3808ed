"""What the event log costs, beside the floor of each part, in one run: ``python -m tests.bench.eventlog``.

- Append: one record against a bare ``os.write`` of the same bytes.
- Group commit: 64 requests at a time that wait for a shared flush, against one ``fdatasync`` a request.
- Compaction: events a second and peak memory, against DuckDB's COPY of the same NDJSON to Parquet, each in a process of
  its own; then the look-up of 1,000 predictions by id, in the segments and in the history.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np

from appliance.compaction import compact
from appliance.events import PredictionEvent
from appliance.history import find_predictions
from appliance.prediction_ids import issue
from appliance.serving.group_commit import GroupCommit
from appliance.settings import Settings
from storage.duck import open_duckdb, sql_text
from storage.eventlog import EventWriter, list_segments
from storage.migrations import migrate
from storage.statedb import connect
from storage.window_rows import advance_cursor

COLUMNS = 28
APPENDS = 100_000
REQUESTS = 2048
AT_ONCE = 64
EVENTS = 300_000
LOOKUPS = 1000
ROUNDS = 5
START_US = 1_790_000_000_000_000


def main() -> None:
    """Run all parts, or, as a child, one compaction or copy."""
    if len(sys.argv) > 1:
        _report({"compact": _compact, "copy": _copy}[sys.argv[1]], Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:  # noqa: S108  (a disk, not a tmpfs)
        root = Path(folder)
        _bench_append(root)
        _bench_commit(root)
        _bench_compaction(root)


def records(count: int) -> tuple[list[str], list[bytes]]:
    """Tokens and events of one row of 28 numbers, a second apart."""
    rng = np.random.default_rng(0)
    encode = msgspec.json.Encoder().encode
    tokens, lines = [], []
    for i, row in enumerate(rng.normal(size=(count, COLUMNS)).tolist()):
        at = START_US + i * 250_000
        tokens.append(issue(b"x" * 32, "bench", at, 1))
        lines.append(
            encode(PredictionEvent(id=tokens[-1], t=at, at=at, m="bench", v=1, n=1, x=row, y=[0.5], us=400, d="v2"))
        )
    return tokens, lines


def _bench_append(root: Path) -> None:
    _, (record,) = records(1)
    line = record + b"\n"
    floors, ours = [], []
    for turn in range(ROUNDS):
        fd = os.open(root / f"bare-{turn}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        floors.append(_seconds(lambda fd=fd: [os.write(fd, line) for _ in range(APPENDS)]))  # type: ignore[misc]
        os.close(fd)
        writer = EventWriter(root / "append")
        ours.append(_seconds(lambda writer=writer: [writer.append(record) for _ in range(APPENDS)]))  # type: ignore[misc]
        writer.close()
    floor, own = min(floors) / APPENDS * 1e6, min(ours) / APPENDS * 1e6
    _line(f"append, {len(line)} bytes", f"{own:.2f} us", f"os.write {floor:.2f} us", own / floor)


def _bench_commit(root: Path) -> None:
    _, (record,) = records(1)
    single = EventWriter(root / "single")

    def one_each() -> None:
        for _ in range(REQUESTS // 8):
            single.append(record)
            single.sync()

    floor = REQUESTS // 8 / _seconds(one_each)
    single.close()
    writer = EventWriter(root / "group", durable=True)

    async def together() -> float:
        commit = GroupCommit(writer.take_unsynced, _fail)

        async def ask() -> None:
            for _ in range(REQUESTS // AT_ONCE):
                writer.append(record)
                await commit.wait()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        took = time.perf_counter() - began
        commit.close()
        print(f"  {REQUESTS} requests, {AT_ONCE} at once, took {commit.syncs} flushes")
        return REQUESTS / took

    rate = asyncio.run(together())
    writer.close()
    _line("group commit", f"{rate:,.0f} requests/s", f"a flush each {floor:,.0f}/s", rate / floor)


def _fail(exc: Exception) -> None:
    raise exc


def _bench_compaction(root: Path) -> None:
    settings = Settings(state=root / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    tokens, lines = records(EVENTS)
    writer = EventWriter(settings.layout.events / "predictions")
    for line in lines:
        writer.append(line)
    writer.close()
    size = sum(map(len, lines))
    with closing(connect(settings.layout.database)) as connection:
        for path in list_segments(settings.layout.events / "predictions"):
            advance_cursor(connection, "predictions", path.name, start=0, end=path.stat().st_size)
    wanted = random.Random(0).sample(tokens, LOOKUPS)
    in_log = _seconds(lambda: find_predictions(settings.layout, ["bench"], wanted))
    floor = _child("copy", settings.state)
    ours = _child("compact", settings.state)
    written = sum(path.stat().st_size for path in settings.layout.history.rglob("*.parquet"))
    _line(
        f"compaction, {EVENTS:,} events, {size / 1e6:.0f} MB", f"{EVENTS / ours['seconds']:,.0f} events/s",
        f"DuckDB COPY {EVENTS / floor['seconds']:,.0f}/s", ours["seconds"] / floor["seconds"],
    )  # fmt: skip
    _line(
        "  peak memory beyond the imports", f"{ours['peak_mb'] - ours['start_mb']:.0f} MB of {ours['peak_mb']:.0f}",
        f"{floor['peak_mb'] - floor['start_mb']:.0f} MB", None,
    )  # fmt: skip
    copied = (root / "state" / "copy.parquet").stat().st_size
    _line("  Parquet", f"{written / 1e6:.0f} MB", f"{copied / 1e6:.0f} MB", written / copied)
    in_history = _seconds(lambda: find_predictions(settings.layout, ["bench"], wanted))
    _line(
        f"look-up of {LOOKUPS:,} ids", f"history {in_history * 1e3:.0f} ms", f"segments {in_log * 1e3:.0f} ms",
        in_history / in_log,
    )  # fmt: skip


def _child(what: str, state: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.eventlog", what, str(state)], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _report(work: Callable[[Path], None], state: Path) -> None:
    start = _peak_mb()
    seconds = _seconds(lambda: work(state))
    print(json.dumps({"seconds": seconds, "start_mb": start, "peak_mb": _peak_mb()}))


def _compact(state: Path) -> None:
    assert compact(Settings(state=state)).rows == EVENTS


def _copy(state: Path) -> None:
    source, target = sql_text(state / "events/predictions/*.ndjson"), sql_text(state / "copy.parquet")
    with open_duckdb(state / "tmp") as connection:
        connection.execute(
            "COPY (SELECT * FROM read_ndjson("  # noqa: S608  (quoted)
            + source
            + ", columns = {id: 'VARCHAR', t: 'BIGINT', 'at': 'BIGINT', "
            "m: 'VARCHAR', v: 'INTEGER', n: 'INTEGER', x: 'DOUBLE[]', y: 'DOUBLE[]', us: 'BIGINT', d: 'VARCHAR'})) "
            "TO " + target + " (FORMAT parquet, COMPRESSION zstd)"
        )


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _line(what: str, ours: str, floor: str, ratio: float | None) -> None:
    print(f"{what:<44} {ours:<28} {floor:<28} {f'{ratio:.2f} x' if ratio is not None else ''}", flush=True)


if __name__ == "__main__":
    main()

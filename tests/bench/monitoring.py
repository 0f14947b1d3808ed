"""What monitoring costs, beside a peer: ``python -m tests.bench.monitoring [--rows N] [--only PART]``.

- ``compare``: ``drift-compare`` of N rows (10 million) x 28 columns against a tenth of them; the same at a tenth and a
  hundredth of the rows, and of 30, 300 and 3,000 columns of 10,000 rows.
- ``evidently``: Evidently's ``DataDriftPreset`` on two files of 28 columns, at sizes that grow until it does not finish
  within its patience and memory, and ours beside each. Its environment is made for the run: it needs another pandas.
- ``watch``: requests of one row and a label for each, counted by the watch loop without a history and after a year of
  it, with models of the errors, and what the keeper takes beside it.

Every comparison runs in a process of its own; figures of two noisy cores are good for ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from tests.bench.drift import as_frame, encoded
from tests.bench.monitoring_watch import bench_watch
from tests.bench.neighbours.environment import CannotInstall, make_environment

ROWS = 10_000_000
BLOCK = 500_000
COLUMNS = (30, 300, 3_000)
EVIDENTLY = ("evidently==0.7.23", "pandas<3", "pyarrow")
EVIDENTLY_ROWS = (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000)
PATIENCE_S = 300
MEMORY_BYTES = 16 << 30

_MEASURED = """
import json, os, sys, time
start = time.perf_counter()
{imports}
ready = time.perf_counter()
{work}
with open("/proc/self/status") as status:  # ru_maxrss would be the parent's where that is larger
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
used = os.times()
print(json.dumps([ready - start, time.perf_counter() - ready, used.user + used.system, peak / 1024]))
"""
OURS = _MEASURED.format(
    imports="from appliance.monitoring.compare import compare_files", work="compare_files(sys.argv[1], sys.argv[2])"
)
THEIRS = _MEASURED.format(
    imports="import pandas\nfrom evidently import Report\nfrom evidently.presets import DataDriftPreset",
    work="""
reference, current = (pandas.read_parquet(path) for path in sys.argv[1:3])
Report([DataDriftPreset()]).run(current, reference).dict()
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of a process: seconds of its imports and of its work, processor seconds of both, peak resident MiB."""

    imports_s: float
    work_s: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return (
            f"{self.work_s:8.2f} s   (imports {self.imports_s:5.2f} s, processor {self.cpu_s:7.2f} s)   "
            f"{self.peak_mb:6.0f} MB"
        )


def measure(python: Path, code: str, files: tuple[Path, Path]) -> Cost | None:
    """Run a program in a process of its own; None when it fails, takes too long or too much memory."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    child = subprocess.Popen(
        [str(python), "-c", code, *map(str, files)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=bound, start_new_session=True,  # noqa: PLW1509  (no thread of ours is running)
    )  # fmt: skip
    try:
        said, _ = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None
    if child.returncode:
        return None
    imports, work, cpu, peak = json.loads(said.splitlines()[-1])
    return Cost(imports_s=imports, work_s=work, cpu_s=cpu, peak_mb=peak)


def write_rows(path: Path, rows: int, seed: int) -> Path:
    """A Parquet file of 28 columns: 20 numbers, 5 categories, 3 booleans."""
    writer = None
    for start in range(0, rows, BLOCK):
        table = as_frame(encoded(min(BLOCK, rows - start), seed + start)).to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def pair(folder: Path, reference: int, current: int) -> tuple[Path, Path]:
    """Two files of so many rows."""
    return write_rows(folder / "reference.parquet", reference, 5), write_rows(folder / "current.parquet", current, 999)


def bench_compare(folder: Path, rows: int) -> None:
    print("drift-compare, 28 columns")
    for current in (rows // 100, rows // 10, rows):
        files = pair(folder, max(1, current // 10), current)
        print(f"  {current:>12,} rows against {current // 10:>9,}   {measure(Path(sys.executable), OURS, files)}")
    print("drift-compare, 10,000 rows against 10,000")
    rng = np.random.default_rng(1)
    for columns in COLUMNS:
        made = []
        for side in ("reference", "current"):
            path = folder / f"{side}.parquet"
            frame = pl.DataFrame({f"n{at}": rng.normal(size=10_000) for at in range(columns)})
            frame.write_parquet(path)
            made.append(path)
        cost = measure(Path(sys.executable), OURS, (made[0], made[1]))
        print(f"  {columns:>12,} columns                  {cost}")


def bench_evidently(folder: Path) -> None:
    print(f"{EVIDENTLY[0]}, DataDriftPreset, 28 columns, as many rows on each side")
    try:
        python = make_environment(folder / "evidently", EVIDENTLY) / "python"
    except CannotInstall as exc:
        print(f"  not compared: it cannot be installed here ({exc})")
        return
    for rows in EVIDENTLY_ROWS:
        files = pair(folder, rows, rows)
        theirs, ours = measure(python, THEIRS, files), measure(Path(sys.executable), OURS, files)
        print(f"  {rows:>12,} rows   Evidently   {theirs or f'not done in {PATIENCE_S} s and {MEMORY_BYTES >> 30} GB'}")
        print(f"  {'':>12}        ours        {ours}")
        if theirs is None or ours is None:
            return
        print(f"  {'':>12}        {theirs.work_s / ours.work_s:.1f} x the time without imports, "
              f"{theirs.peak_mb / ours.peak_mb:.1f} x the memory")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=("compare", "evidently", "watch"))
    asked = parser.parse_args()
    parts = {
        "compare": lambda folder: bench_compare(folder, asked.rows), "evidently": bench_evidently, "watch": bench_watch,
    }  # fmt: skip
    for name, run in parts.items():
        if asked.only in {None, name}:
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                run(Path(folder))
            print(f"  ({name}: {time.perf_counter() - started:.0f} s)")


if __name__ == "__main__":
    main()

"""What a profile costs: ``python -m tests.bench.profile [ROWS] [--ydata PYTHON]``; 10 million rows.

Our profile of a dataset of 30 columns, beside DuckDB's own SUMMARIZE of the same files with the same memory limit and
threads: each in a process of its own, wall and CPU time, peak resident memory. SUMMARIZE estimates distinct values and
quantiles and has neither frequent values, nor histograms, nor repeated rows.

``--ydata`` names a Python that has ydata-profiling; it profiles the first 100,000 rows, in its minimal mode, since it
holds the table in memory several times; ours does the same rows beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from storage.datasets import IngestInfo, snapshot_files
from storage.ingest import ingest
from storage.layout import Layout

MEMORY = "600MB"
BLOCK = 250_000
YDATA_ROWS = 100_000

_MEASURED = """
import json, resource, sys, time
wall = time.perf_counter()
{work}
took = time.perf_counter() - wall
used = resource.getrusage(resource.RUSAGE_SELF)
with open("/proc/self/status") as status:  # ru_maxrss would be the parent's where that is larger
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([took, used.ru_utime + used.ru_stime, peak / 1024]))
"""

OURS = """
from pathlib import Path
from storage.layout import Layout
from storage.profile import profile
profile(Layout(root=Path(sys.argv[1])), sys.argv[2], memory=sys.argv[3])
"""

SUMMARIZE = """
import duckdb
connection = duckdb.connect(config={"memory_limit": sys.argv[3], "threads": 1, "temp_directory": sys.argv[1] + "/tmp"})
connection.execute(f"SUMMARIZE SELECT * FROM read_parquet({json.loads(sys.argv[2])})").fetchall()
"""

YDATA = """
import pandas
from ydata_profiling import ProfileReport
ProfileReport(pandas.read_parquet(sys.argv[1]), minimal=True, progress_bar=False).to_json()
"""


def blocks(rows: int) -> Iterator[pa.RecordBatch]:
    """15 measurements, 6 whole numbers, an id, a flag, 4 texts, a time, a day, and one with 30 % missing."""
    noise = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        columns: dict[str, object] = {
            f"x{i}": noise.normal(size=count) if i % 3 else noise.lognormal(size=count) for i in range(15)
        }
        for i, top in enumerate((5, 100, 1000, 100_000, 10**6, 10**9)):
            columns[f"n{i}"] = noise.integers(0, top, count)
        for i, levels in enumerate((4, 30, 500, 20_000)):
            names = np.array([f"level {level}" for level in range(levels)])
            columns[f"c{i}"] = pa.DictionaryArray.from_arrays(noise.integers(0, levels, count), names)
        columns["id"] = np.arange(start, start + count)
        columns["flag"] = noise.random(count) < 0.2
        columns["at"] = (np.datetime64("2020-01-01") + noise.integers(0, 10**8, count).astype("m8[s]")).astype("M8[us]")
        columns["day"] = np.datetime64("2020-01-01") + noise.integers(0, 2000, count).astype("m8[D]")
        columns["gaps"] = pa.array(noise.random(count), mask=noise.random(count) < 0.3)
        yield pa.record_batch(columns)


def measure(work: str, *arguments: str, python: str = sys.executable) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of a process that does ``work``."""
    program = _MEASURED.format(work=work)
    done = subprocess.run([python, "-c", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    wall, cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, peak


def show(what: str, rows: int, found: tuple[float, float, float]) -> None:
    print(f"{what:<42} {rows:>11,} rows  {found[0]:7.1f} s  {found[1]:7.1f} s CPU  {found[2]:6.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--ydata")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as made:
        layout = Layout(root=Path(made))
        layout.create()
        info = IngestInfo(who="bench", source="made")
        batches = blocks(asked.rows)
        first = next(batches)
        stream = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
        ingest(layout, "large", stream, append=False, info=info)
        files = json.dumps(snapshot_files(layout, "large"))
        ours = measure(OURS, made, "large", MEMORY)
        theirs = measure(SUMMARIZE, made, files, MEMORY)
        show(f"profile (DuckDB limit {MEMORY}, 1 thread)", asked.rows, ours)
        show("SUMMARIZE (the same limit and thread)", asked.rows, theirs)
        print(f"ratio {ours[0] / theirs[0]:.2f} (wall), {ours[1] / theirs[1]:.2f} (CPU)")
        if asked.ydata:
            head = pl.scan_parquet(json.loads(files)).head(YDATA_ROWS).collect()
            head.write_parquet(f"{made}/head.parquet")
            ingest(layout, "head", head, append=False, info=info)
            ours, theirs = (
                measure(OURS, made, "head", MEMORY),
                measure(YDATA, f"{made}/head.parquet", python=asked.ydata),
            )
            show("profile", head.height, ours)
            show("ydata-profiling, minimal", head.height, theirs)
            print(f"ratio {ours[0] / theirs[0]:.3f} (wall)")


if __name__ == "__main__":
    main()

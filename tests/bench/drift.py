"""What drift costs: ``python -m tests.bench.drift [ROWS]`` prints each time beside a floor taken in the same run.

- Counting encoded rows into hourly windows, as the watch loop does, against the least that must be done: numpy (one
  search and one bincount a column) and DuckDB (one group-by a column over a table in memory).
- ``drift-compare`` of two Parquet files, and of two CSV files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from appliance.monitoring.bins import EdgeBins, LevelBins, ValueBins
from appliance.monitoring.reference import Reference, fit_reference
from appliance.monitoring.windows import Counter
from appliance.schema import Column, FeatureSchema, Kind, Task

Matrix = npt.NDArray[np.float64]
NUMBERS, CATEGORIES, FLAGS = 20, 5, 3
LEVELS = tuple(f"level {i}" for i in range(30))
HOURS = 24


def schema() -> FeatureSchema:
    """28 columns: 20 numbers, 5 categories, 3 booleans."""
    columns = (
        *(Column(name=f"n{i}", kind=Kind.NUMBER) for i in range(NUMBERS)),
        *(Column(name=f"c{i}", kind=Kind.CATEGORY, levels=LEVELS) for i in range(CATEGORIES)),
        *(Column(name=f"b{i}", kind=Kind.BOOLEAN) for i in range(FLAGS)),
    )
    return FeatureSchema(model="bench", version=1, task=Task.REGRESSION, target="y", columns=columns)


def encoded(rows: int, seed: int) -> Matrix:
    """Rows as logged, 1 % of the numbers missing."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, NUMBERS))
    numbers[rng.random(numbers.shape) < 0.01] = np.nan
    categories = rng.integers(0, len(LEVELS), (rows, CATEGORIES))
    flags = rng.random((rows, FLAGS)) < 0.2
    return np.ascontiguousarray(np.column_stack([numbers, categories, flags]), np.float64)


def as_frame(matrix: Matrix) -> pl.DataFrame:
    """The same rows as a dataset has them."""
    data: dict[str, pl.Series] = {}
    for i, column in enumerate(schema().columns):
        values = pl.Series(column.name, matrix[:, i]).fill_nan(None)
        if column.kind is Kind.CATEGORY:
            values = pl.Series(column.name, np.array(LEVELS)[matrix[:, i].astype(int)])
        data[column.name] = values.cast(pl.Boolean) if column.kind is Kind.BOOLEAN else values
    return pl.DataFrame(data)


def numpy_floor(reference: Reference, matrix: Matrix, hours: npt.NDArray[np.int64]) -> int:
    """One search and one bincount a column, nothing else: no nulls, no sums, no blocks."""
    total = 0
    for i, column in enumerate(reference.columns):
        values = np.ascontiguousarray(matrix[:, i])
        match column.bins:
            case EdgeBins(edges=edges):
                index = np.searchsorted(np.asarray(edges), values)
            case ValueBins() | LevelBins():
                index = values.astype(np.int64)
        total += len(np.bincount(hours * 64 + index))
    return total


def duckdb_floor(connection: duckdb.DuckDBPyConnection, reference: Reference) -> int:
    """One group-by a column over a table that is in memory already; binning numbers needs a sum of comparisons."""
    total = 0
    for i, column in enumerate(reference.columns):
        key = f"f{i}"
        if isinstance(column.bins, EdgeBins):
            key = " + ".join(f"(f{i} > {edge})::INT" for edge in column.bins.edges)
        total += len(connection.execute(f"SELECT hour, {key} AS bin, count(*) FROM rows GROUP BY ALL").fetchall())  # noqa: S608
    return total


def timed(what: str, run: Callable[[], object], floor: float | None = None) -> float:
    """Run once, print seconds of the processor (all threads) and of the clock, and the ratio to the floor."""
    start, clock = time.process_time(), time.perf_counter()
    run()
    seconds, waited = time.process_time() - start, time.perf_counter() - clock
    ratio = f"   {seconds / floor:.2f} x the floor" if floor else ""
    print(f"  {what:<62} {seconds:8.3f} s cpu {waited:8.3f} s{ratio}")
    return seconds


def bench_counting(rows: int) -> None:
    matrix = encoded(rows, 1)
    hours = np.sort(np.random.default_rng(2).integers(0, HOURS, rows))
    answers = matrix[None, :, 0]
    reference = make_reference()
    counter = Counter(reference)
    print(f"counting {rows:,} rows x {len(reference.columns)} columns into {HOURS} hours")
    floor = timed("floor: numpy, a search and a bincount a column", lambda: numpy_floor(reference, matrix, hours))
    with duckdb.connect(config={"threads": 1}) as connection:
        frame = pl.DataFrame({"hour": hours} | {f"f{i}": matrix[:, i] for i in range(matrix.shape[1])})
        connection.register("source", frame.to_arrow())
        connection.execute("CREATE TABLE rows AS SELECT * FROM source")
        other = timed("floor: DuckDB, a group-by a column, one thread", lambda: duckdb_floor(connection, reference))
    ours = timed("ours: Counter.count, with nulls, unseen, sums", lambda: counter.count(matrix, answers, hours), floor)
    print(f"  ours over DuckDB's floor: {ours / other:.2f} x; {rows / ours:,.0f} rows a second")


def make_reference() -> Reference:
    matrix = encoded(100_000, 3)
    return fit_reference(
        as_frame(matrix), schema(), outputs=matrix[:, 0], labels=pl.Series("y", matrix[:, 0]), quality={"rmse": 1.0}
    )


def bench_compare(rows: int, directory: Path) -> None:
    print(f"drift-compare, {rows:,} rows x 28 columns on each side")
    for side, seed in (("reference", 5), ("current", 6)):
        frame = as_frame(encoded(rows, seed))
        frame.write_parquet(directory / f"{side}.parquet")
        frame.write_csv(directory / f"{side}.csv")
    for suffix in ("parquet", "csv"):
        pair = [str(directory / f"{side}.{suffix}") for side in ("reference", "current")]
        # In a process of its own, so that its memory is its own too.
        clock = time.perf_counter()
        subprocess.run([sys.executable, "-c", COMPARE, *pair], check=True)
        print(f"  two {suffix} files, the interpreter's start included {time.perf_counter() - clock:29.3f} s")


COMPARE = """
import os, sys
from pathlib import Path
from appliance.monitoring.compare import compare_files
compare_files(sys.argv[1], sys.argv[2])
# Not getrusage: a child starts with its parent's maximum there.
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
used = os.times()
print(f"  cpu {used.user + used.system:.2f} s, peak RSS {peak} MB:", flush=True)
"""


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as tmp:
        bench_counting(rows)
        bench_compare(rows, Path(tmp))


if __name__ == "__main__":
    main()

"""What an ingest costs: ``python -m tests.bench.ingest [ROWS]``; 2 million rows of 30 columns, about 600 MB as CSV.

Each format becomes a dataset's snapshot, read, checked, flushed and committed, in a process of its own; beside it
DuckDB alone, with the same memory limit and thread, copies the same file to Parquet, and reads a CSV file into a table
of its own (``CREATE TABLE AS``, the floor: nothing is written), taking types from the file's first rows where we hold
every row against them. Wall and CPU time with the imports, peak resident memory.

``--late`` adds the CSV file once more, with a last row of other types, which DuckDB refuses: what two passes cost.
``--large`` does two other files instead: a CSV file of 2 GB, and one of 3 million rows with a column of a million
categories; each is ingested and then profiled.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from storage.layout import Layout
from tests.bench.profile import MEMORY, blocks, measure, show

OURS = """
from pathlib import Path
from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout
from storage.sources import SourceOptions, read_source
layout = Layout(root=Path(sys.argv[1]))
info = IngestInfo(who="bench", source="made")
read_source(
    sys.argv[2], SourceOptions(tmp=layout.tmp, memory=sys.argv[3]),
    lambda opened: ingest(layout, "bench", opened.batches, append=False, info=info),
)
"""

FLOOR = """
import duckdb
connection = duckdb.connect(config={"memory_limit": sys.argv[3], "threads": 1, "temp_directory": sys.argv[1] + "/tmp"})
connection.execute("SET enable_progress_bar = false")
connection.execute(f"CREATE TABLE t AS FROM read_csv('{sys.argv[2]}')")
"""

DUCKDB = """
import duckdb
connection = duckdb.connect(config={"memory_limit": sys.argv[3], "threads": 1, "temp_directory": sys.argv[1] + "/tmp"})
connection.execute("SET enable_progress_bar = false")
connection.execute(f"COPY (FROM '{sys.argv[2]}') TO '{sys.argv[1]}/copy.parquet' (COMPRESSION zstd)")
"""


PROFILED = """
from pathlib import Path
from storage.layout import Layout
from storage.profile import profile
found = profile(Layout(root=Path(sys.argv[1])), "bench", memory=sys.argv[3], threads=1)
assert found.rows == int(sys.argv[4])
"""

LARGE_BYTES = 2 << 30
CATEGORIES = 1_000_000
PIECE_ROWS = 500_000

WIDE_ROW = ", ".join(
    [f"(random() * 1e6)::INTEGER AS n{i}" for i in range(10)]
    + [f"round(random() * 100, 6) AS x{i}" for i in range(15)]
    + [f"'level ' || (random() * 50)::INTEGER AS t{i}" for i in range(5)]
)
CATEGORY_ROW = f"'shop-' || (i * 7919 % {CATEGORIES}) AS shop, round(random(), 6) AS x, i % 2 AS y"


def large(made: Path) -> None:
    """Ingest and profile a file of 2 GB, and one with a million categories."""
    wide, categories = made / "wide.csv", made / "categories.csv"
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 1}) as connection:
        connection.execute("SET enable_progress_bar = false")
        rows = {wide: _write(connection, wide, WIDE_ROW, pieces=None), categories: 0}
        rows[categories] = _write(connection, categories, CATEGORY_ROW, pieces=6)
    for file in (wide, categories):
        layout = Layout(root=made / f"state-{file.stem}")
        layout.create()
        size = file.stat().st_size >> 20
        show(f"{file.name} ({size} MB)", rows[file], measure(OURS, str(layout.root), str(file), MEMORY))
        work = measure(PROFILED, str(layout.root), str(file), MEMORY, str(rows[file]))
        show("    its profile", rows[file], work)
        file.unlink()


def _write(connection: duckdb.DuckDBPyConnection, file: Path, row: str, *, pieces: int | None) -> int:
    """Append pieces of rows to a CSV file: so many, or until it has ``LARGE_BYTES``; returns the rows."""
    piece, rows = file.with_suffix(".piece"), 0
    with file.open("wb") as out:
        while rows < pieces * PIECE_ROWS if pieces else out.tell() < LARGE_BYTES:
            head = "true" if rows == 0 else "false"
            made = f"SELECT {row} FROM range({rows}, {rows + PIECE_ROWS}) AS r(i)"  # noqa: S608  (our own)
            connection.execute(f"COPY ({made}) TO '{piece}' (FORMAT csv, HEADER {head})")
            with piece.open("rb") as part:
                shutil.copyfileobj(part, out)
            rows += PIECE_ROWS
    piece.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--late", action="store_true")
    parser.add_argument("--large", action="store_true")
    asked = parser.parse_args()
    rows = asked.rows
    if asked.large:
        with tempfile.TemporaryDirectory(prefix="bench-ingest-") as made:
            large(Path(made))
        return
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as made:
        layout = Layout(root=Path(made) / "state")
        layout.create()
        parquet = Path(made) / "rows.parquet"
        batches = blocks(rows)
        first = next(batches)
        with pq.ParquetWriter(parquet, first.schema) as writer:
            for batch in itertools.chain([first], batches):
                writer.write_batch(batch)
        arrow = Path(made) / "rows.arrow"
        with pa.ipc.new_file(arrow, first.schema) as out:
            for batch in pq.ParquetFile(parquet).iter_batches():
                out.write_batch(batch.cast(first.schema))
        files = [parquet, arrow]
        with duckdb.connect(config={"memory_limit": MEMORY, "threads": 1}) as connection:
            connection.execute("SET enable_progress_bar = false")
            for name in ("rows.csv", "rows.csv.gz", "rows.ndjson"):
                files.append(Path(made) / name)
                connection.execute(f"COPY (FROM '{parquet}') TO '{files[-1]}'")
        if asked.late:
            files.append(Path(made) / "late.csv")
            shutil.copy(Path(made) / "rows.csv", files[-1])
            with files[-1].open("a") as out:
                out.write(",".join(["?"] * len(first.schema)) + "\n")
        for file in files:
            ours = measure(OURS, str(layout.root), str(file), MEMORY)
            show(f"{file.name} ({file.stat().st_size >> 20} MB)", rows, ours)
            if file is arrow or file.name == "late.csv":
                continue  # DuckDB does not read these by itself
            beside = {"COPY": DUCKDB} | ({"CREATE TABLE AS": FLOOR} if file.suffix == ".csv" else {})
            for what, work in beside.items():
                theirs = measure(work, str(layout.root), str(file), MEMORY)
                show(f"    DuckDB's {what}", rows, theirs)
                print(f"    ratio {ours[0] / theirs[0]:.2f} (wall), {ours[1] / theirs[1]:.2f} (CPU)")


if __name__ == "__main__":
    main()

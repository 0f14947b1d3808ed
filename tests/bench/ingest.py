"""What an ingest costs: ``python -m tests.bench.ingest [ROWS]``; 2 million rows of 30 columns, about 600 MB as CSV.

Each format becomes a dataset's snapshot, read, checked, flushed and committed, in a process of its own; beside it
DuckDB alone, with the same memory limit and thread, copies the same file to Parquet, and reads a CSV file into a table
of its own (``CREATE TABLE AS``, the floor: nothing is written), taking types from the file's first rows where we hold
every row against them. Wall and CPU time with the imports, peak resident memory.

``--late`` adds the CSV file once more, with a last row of other types, which DuckDB refuses: what two passes cost.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--late", action="store_true")
    asked = parser.parse_args()
    rows = asked.rows
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

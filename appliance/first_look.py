"""A first look at a source that was not added yet: its first rows, its columns in figures, what is suspicious."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from appliance.checks import check_table
from appliance.column_types import glance_at_source
from appliance.orders import FirstLook
from storage.profile import TableProfile
from storage.profiling import Rows, profile_rows
from storage.scratch import open_scratch
from storage.sources import Source

MOST_CELLS = 4_000_000
"""Rows times columns that are looked at: 32 MB of numbers."""
FEWEST_ROWS = 1_000


def look_through(opened: Source, rows: int, most_rows: int, tmp: Path, memory: str) -> FirstLook:
    """Look at the beginning of an open source.

    Args:
        opened: It is read as far as it is looked at, and by one row more.
        rows: So many first rows are shown.
        most_rows: At most so many are looked at; fewer, but not below 1,000, where columns are many.
        tmp: Where the rows that are looked at lie meanwhile.
        memory: DuckDB's memory limit.

    Raises:
        SourceUnreadable: It has no columns, or one of these rows cannot be read.
        StateUnwritable: The disk is full or read-only.
    """
    columns = max(1, len(opened.batches.schema))
    most = min(most_rows, max(FEWEST_ROWS, MOST_CELLS // columns))
    seen = glance_at_source(opened, most + 1)
    frame = seen.rows.head(most)
    with contextlib.ExitStack() as stack:
        file = open_scratch(tmp, stack) / "rows.parquet"
        frame.write_parquet(file)
        told = Rows(told="the file", files=[str(file)], columns=seen.columns, count=frame.height)
        found = profile_rows(told, tmp, memory, 1)
    profile = TableProfile(
        dataset="", version=0, rows=frame.height, duplicate_rows=found.duplicate_rows, columns=found.columns
    )
    return FirstLook(
        glance=replace(seen, rows=frame.head(rows)), profile=found.columns, findings=tuple(check_table(profile)),
        looked_at=frame.height, is_whole=seen.rows.height <= most,
    )  # fmt: skip

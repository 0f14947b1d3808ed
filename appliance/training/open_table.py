"""A snapshot's rows for a training: in memory where they are few, else a column at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from appliance.settings import Settings
from appliance.training.table import Table
from storage.datasets import Snapshot, scan_snapshot
from storage.scratch import open_scratch

IN_MEMORY_CELLS = 10_000_000
"""Rows times columns up to which a snapshot is read into memory: 80 MB of numbers."""


def open_table(settings: Settings, snapshot: Snapshot, stack: ExitStack) -> tuple[Table, Path | None]:
    """The rows, and a place for encoded ones where memory need not hold them; ``stack`` takes the place away."""
    rows = scan_snapshot(settings.layout, snapshot.dataset, snapshot.version)
    if snapshot.rows * len(snapshot.columns) <= IN_MEMORY_CELLS:
        return Table.of(rows.collect()), None
    return Table.scan(rows, height=snapshot.rows), open_scratch(settings.layout.tmp, stack)

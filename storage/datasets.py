"""Datasets as Delta tables: each ingest is a new snapshot, complete or not there at all; old snapshots stay readable.

Snapshot n of a dataset is version n - 1 of its Delta table. What an ingest knew of itself is in the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import polars as pl
import pyarrow as pa

from storage.columns import ColumnInfo
from storage.layout import Layout


class ArrowStream(Protocol):
    """A Polars frame, a PyArrow table or reader, a DuckDB relation: anything that streams Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand out the stream (Arrow's PyCapsule protocol)."""
        ...


class Mode(StrEnum):
    """What an ingest did to the rows that were there."""

    REPLACE = "replace"
    APPEND = "append"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestInfo:
    """What an ingest knows of itself.

    Attributes:
        who: A user's name, or ``cli``, ``schedule``, ``demo``.
        source: Where the rows came from: a path, a glob, or a sentence like ``labelled predictions``.
        sha256: Of the source's bytes, where it had bytes.
        query: The SQL that picked the rows, where there was one.
        notes: What the reader decided, one sentence each.
    """

    who: str
    source: str
    sha256: str | None = None
    query: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One immutable version of a dataset.

    Attributes:
        version: 1, 2, 3 …
        rows: Rows of the whole snapshot, also after an append.
        added_at: When it was committed, UTC.
        mode: What the ingest did to the rows that were there.
        warnings: The reader's notes.
    """

    dataset: str
    version: int
    rows: int
    columns: tuple[ColumnInfo, ...]
    added_at: datetime
    who: str
    source: str
    sha256: str | None
    mode: Mode
    query: str | None
    warnings: tuple[str, ...]


def ingest(layout: Layout, name: str, batches: ArrowStream, *, append: bool, info: IngestInfo) -> Snapshot:
    """Add a snapshot from a stream of rows, in bounded memory: all of it, or none.

    The first ingest makes the dataset. Otherwise ``append`` adds the rows to the newest snapshot's (columns are matched
    by name), else they replace it.

    Raises:
        SourceUnreadable: The name is no dataset name, there are no columns or rows, a name stands twice, or a value
            does not fit.
        SchemaChanged: An append has other columns than the dataset; names them.
        StateUnwritable: The disk is full or read-only.
    """
    raise NotImplementedError


def list_datasets(layout: Layout) -> list[str]:
    """The names of the datasets that have a snapshot, sorted."""
    raise NotImplementedError


def get_snapshot(layout: Layout, name: str, version: int | None = None) -> Snapshot:
    """One snapshot; the newest without a version.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError


def list_snapshots(layout: Layout, name: str) -> list[Snapshot]:
    """Every snapshot of a dataset, newest first.

    Raises:
        DatasetNotFound: No dataset has that name.
    """
    raise NotImplementedError


def scan_snapshot(layout: Layout, name: str, version: int | None = None) -> pl.LazyFrame:
    """The rows of a snapshot, lazily, in the order they were ingested.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError


def read_snapshot(
    layout: Layout, name: str, version: int | None = None, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows of a snapshot, or some of its columns, in memory.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError


def arrow_reader(
    layout: Layout, name: str, version: int | None = None, columns: Sequence[str] | None = None
) -> pa.RecordBatchReader:
    """The rows of a snapshot as a stream of Arrow batches, in bounded memory.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError


def snapshot_files(layout: Layout, name: str, version: int | None = None) -> list[str]:
    """The absolute paths of a snapshot's Parquet files, in the order of its rows; for DuckDB's ``read_parquet``.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    raise NotImplementedError

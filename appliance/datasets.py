"""Datasets as an operator knows them: add, list, show, compare."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from appliance.checks import Finding
from appliance.settings import Settings
from storage.columns import ColumnInfo, Dtype
from storage.datasets import ArrowStream, IngestInfo, Snapshot
from storage.profile import ColumnProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """A snapshot that was added, and what is suspicious about it."""

    dataset: str
    version: int
    rows: int
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """How a column differs between two snapshots; shares are 0 to 1, means None where there is none.

    Attributes:
        dtype: Old and new type.
        missing_share: Old and new share of missing values.
        mean: Old and new mean.
    """

    name: str
    dtype: tuple[Dtype, Dtype]
    missing_share: tuple[float, float]
    mean: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDiff:
    """What changed from one snapshot to another.

    Attributes:
        rows: Old and new count.
        added: Columns only the new one has.
        removed: Columns only the old one has.
        changed: Columns of both whose type, missing share or mean differ.
    """

    dataset: str
    versions: tuple[int, int]
    rows: tuple[int, int]
    added: tuple[ColumnInfo, ...]
    removed: tuple[ColumnInfo, ...]
    changed: tuple[ColumnChange, ...]


class Datasets:
    """The datasets of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def add(
        self,
        name: str,
        source: str,
        *,
        query: str | None = None,
        append: bool = False,
        target: str | None = None,
        who: str,
    ) -> Ingest:
        """Read a source into a new snapshot; nothing changes when it cannot be read to its end.

        Args:
            name: The dataset; it is made when it is new.
            source: A path, a glob, a database file (with a query), or a directory with a Delta table.
            query: SQL that picks the rows; a file is the table ``source`` in it.
            append: Add to the newest snapshot's rows, else replace them.
            target: A column that must be there and have at least two values.
            who: Who adds it.

        Raises:
            BadInput: The name, the source, the query, or the columns of an append are wrong; names it.
            BadTable: The target is missing or constant.
        """
        raise NotImplementedError

    def add_frame(self, name: str, rows: ArrowStream, *, append: bool, info: IngestInfo) -> Ingest:
        """Add rows that are in memory or on a stream already, a Polars frame for example.

        Raises:
            BadInput: The name or the columns are wrong; names them.
        """
        raise NotImplementedError

    def versions(self, name: str) -> tuple[Snapshot, ...]:
        """Every snapshot of a dataset, newest first.

        Raises:
            NotFound: No such dataset.
        """
        raise NotImplementedError

    def list(self) -> tuple[Snapshot, ...]:
        """The newest snapshot of every dataset, by name."""
        raise NotImplementedError

    def show(self, name: str, version: int | None = None) -> Snapshot:
        """One snapshot; the newest without a version.

        Raises:
            NotFound: No such dataset or version.
        """
        raise NotImplementedError

    def diff(self, name: str, old: int, new: int) -> SnapshotDiff:
        """What changed between two snapshots.

        Raises:
            NotFound: No such dataset or version.
        """
        raise NotImplementedError

    def preview(self, name: str, version: int | None = None, rows: int = 100) -> pl.DataFrame:
        """The first rows of a snapshot.

        Raises:
            NotFound: No such dataset or version.
        """
        raise NotImplementedError

    def profile(self, name: str, version: int | None = None) -> tuple[ColumnProfile, ...]:
        """The columns of a snapshot in figures.

        Raises:
            NotFound: No such dataset or version.
        """
        raise NotImplementedError

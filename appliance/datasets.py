"""Datasets as an operator knows them: add, list, show, compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from appliance.access import Access
from appliance.checks import Code, Finding, check_table
from appliance.errors import BadInput, BadTable, NotFound
from appliance.settings import Settings
from storage.columns import ColumnInfo, Dtype
from storage.datasets import (
    ArrowStream,
    IngestInfo,
    Snapshot,
    get_snapshot,
    list_datasets,
    list_snapshots,
    scan_snapshot,
)
from storage.errors import DatasetNotFound, SchemaChanged, SnapshotNotFound, SourceUnreadable, StateUnwritable
from storage.ingest import ingest, require_name
from storage.profile import ColumnProfile, TableProfile, profile
from storage.sources import SourceOptions, open_source


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
        self._layout = settings.layout

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
            target: A column that must be there and have at least two values; an append needs one.
            who: Who adds it.

        Raises:
            BadInput: The name, the source, the query, or the columns of an append are wrong; names it.
            BadTable: The target is missing or constant.
            StateUnwritable: The disk is full or read-only.
        """
        with _as_bad_input():
            require_name(name)
            exists = name in list_datasets(self._layout)
            like = get_snapshot(self._layout, name).columns if append and exists else ()
            options = SourceOptions(
                tmp=self._layout.tmp, query=query, like=like, memory=self._settings.duckdb_memory, threads=_threads()
            )
            with open_source(source, options) as opened:
                info = IngestInfo(
                    who=who, source=_told_source(source), sha256=opened.sha256, query=query, notes=opened.notes
                )
                rows = opened.batches
                if target is not None:
                    rows = require_target(rows, target, values=1 if like else 2)
                snapshot = ingest(self._layout, name, rows, append=append, info=info)
        return self._added(snapshot)

    def add_frame(self, name: str, rows: ArrowStream, *, append: bool, info: IngestInfo) -> Ingest:
        """Add rows that are in memory or on a stream already, a Polars frame for example.

        Raises:
            BadInput: The name or the columns are wrong; names them.
            StateUnwritable: The disk is full or read-only.
        """
        with _as_bad_input():
            snapshot = ingest(self._layout, name, rows, append=append, info=info)
        return self._added(snapshot)

    def versions(self, name: str) -> tuple[Snapshot, ...]:
        """Every snapshot of a dataset, newest first.

        Raises:
            NotFound: No such dataset.
        """
        with _as_not_found():
            return tuple(list_snapshots(self._layout, name))

    def list(self) -> tuple[Snapshot, ...]:
        """The newest snapshot of every dataset, by name."""
        return tuple(get_snapshot(self._layout, name) for name in list_datasets(self._layout))

    def show(self, name: str, version: int | None = None) -> Snapshot:
        """One snapshot; the newest without a version.

        Raises:
            NotFound: No such dataset or version.
        """
        with _as_not_found():
            return get_snapshot(self._layout, name, version)

    def diff(self, name: str, old: int, new: int) -> SnapshotDiff:
        """What changed between two snapshots.

        Raises:
            NotFound: No such dataset or version.
        """
        before, after = self.show(name, old), self.show(name, new)
        had = {column.name: column for column in self.profile(name, old)}
        has = {column.name: column for column in self.profile(name, new)}
        changes = [_change(had[column], has[column]) for column in had if column in has]
        return SnapshotDiff(
            dataset=name,
            versions=(old, new),
            rows=(before.rows, after.rows),
            added=tuple(column for column in after.columns if column.name not in had),
            removed=tuple(column for column in before.columns if column.name not in has),
            changed=tuple(change for change in changes if change is not None),
        )

    def preview(self, name: str, version: int | None = None, rows: int = 100) -> pl.DataFrame:
        """The first rows of a snapshot.

        Raises:
            NotFound: No such dataset or version.
        """
        with _as_not_found():
            return scan_snapshot(self._layout, name, version).head(rows).collect()

    def profile(self, name: str, version: int | None = None) -> tuple[ColumnProfile, ...]:
        """The columns of a snapshot in figures.

        Raises:
            NotFound: No such dataset or version.
        """
        return self._profile(name, version).columns

    def findings(self, name: str, version: int | None = None) -> tuple[Finding, ...]:
        """What is suspicious about a snapshot; what the reader decided comes first.

        Raises:
            NotFound: No such dataset or version.
        """
        notes = self.show(name, version).warnings
        told = [Finding(column=None, code=Code.READER, message=note) for note in notes]
        return (*told, *check_table(self._profile(name, version)))

    def _profile(self, name: str, version: int | None) -> TableProfile:
        with _as_not_found():
            return profile(self._layout, name, version, memory=self._settings.duckdb_memory)

    def _added(self, snapshot: Snapshot) -> Ingest:
        told = f"version {snapshot.version} with {snapshot.rows} rows from {snapshot.source}"
        try:
            Access(self._settings).record(snapshot.who, f"dataset.{snapshot.mode}", snapshot.dataset, told)
            warnings = self.findings(snapshot.dataset, snapshot.version)
        except StateUnwritable as exc:
            raise StateUnwritable(f"version {snapshot.version} of {snapshot.dataset!r} was added, but {exc}") from exc
        return Ingest(dataset=snapshot.dataset, version=snapshot.version, rows=snapshot.rows, warnings=warnings)


def require_target(batches: pa.RecordBatchReader, target: str, *, values: int) -> pa.RecordBatchReader:
    """The same stream; it ends in an error, and so does its ingest, when the target has fewer distinct values.

    Raises:
        BadTable: No column has that name.
    """
    if target not in batches.schema.names:
        raise BadTable(f"there is no column {target!r} to predict; columns: {', '.join(batches.schema.names)[:300]}")

    def watched() -> Iterator[pa.RecordBatch]:
        seen: set[object] = set()
        for batch in batches:
            if len(seen) < values:
                seen.update(pc.unique(batch.column(batch.schema.get_field_index(target))).drop_null().to_pylist())
            yield batch
        if len(seen) < values:
            told = f"the one value {next(iter(seen))!r}" if seen else "no value at all"
            raise BadTable(f"the target {target!r} has {told}; there is nothing to learn from it")

    return pa.RecordBatchReader.from_batches(batches.schema, watched())


def _told_source(source: str) -> str:
    return str(Path(source).absolute())


def _threads() -> int:
    return max(1, (os.cpu_count() or 1) - 1)


def _change(old: ColumnProfile, new: ColumnProfile) -> ColumnChange | None:
    change = ColumnChange(
        name=old.name,
        dtype=(old.dtype, new.dtype),
        missing_share=(old.missing / old.rows, new.missing / new.rows),
        mean=(old.mean, new.mean),
    )
    same = change.dtype[0] == change.dtype[1] and change.missing_share[0] == change.missing_share[1]
    return None if same and change.mean[0] == change.mean[1] else change


@contextmanager
def _as_bad_input() -> Iterator[None]:
    try:
        yield
    except (SourceUnreadable, SchemaChanged) as exc:
        raise BadInput(str(exc)) from exc


@contextmanager
def _as_not_found() -> Iterator[None]:
    try:
        yield
    except (DatasetNotFound, SnapshotNotFound) as exc:
        raise NotFound(str(exc)) from exc

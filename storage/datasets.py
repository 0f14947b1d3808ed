"""Datasets as Delta tables: each ingest is a new snapshot, complete or not there at all; old snapshots stay readable.

Snapshot n of a dataset is version n - 1 of its Delta table. What an ingest knew of itself is in the commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from storage.columns import ColumnInfo, Dtype
from storage.dataset_log import (
    Commit,
    commit_path,
    live_files,
    newest_version,
    read_commit,
    read_commits,
    read_forgotten,
)
from storage.errors import DatasetNotFound, SnapshotNotFound, SourceUnreadable
from storage.layout import Layout
from storage.readings import Reading

if TYPE_CHECKING:  # 45 MB, and whoever only asks which snapshots there are needs neither
    import pyarrow as pa
    from deltalake import DeltaTable

REJECTED = "_rejected"
"""The folder, in a dataset's, of the rows that its rules rejected; Delta's readers pass over it."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a dataset may be called."""


_COMMITS_READ = 200
"""More than so many appends in a row are read from Delta's checkpoint."""


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
        prepare: The DuckDB SQL that prepared them, where there was one.
        sheet: The sheet of a workbook that was asked for.
        delimiter: The delimiter of a CSV file that was asked for.
        target: The column that had to be there and have two values.
        notes: What the reader decided, one sentence each.
        readings: How columns were read that may be read otherwise as well; an append keeps those of the rows before.
        once: A name for what is ingested, which no other ingest into the dataset may carry; it is recorded by the very
            commit that adds the rows.
    """

    who: str
    source: str
    sha256: str | None = None
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    target: str | None = None
    notes: tuple[str, ...] = ()
    readings: dict[str, Reading] = field(default_factory=dict)
    once: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One immutable version of a dataset.

    Attributes:
        version: 1, 2, 3 …
        rows: Rows of the whole snapshot, also after an append.
        added_at: When it was committed, UTC.
        mode: What the ingest did to the rows that were there.
        warnings: The reader's notes.
        rejected: Rows of this ingest that the dataset's rules rejected; ``read_rejected`` has them.
        rules: The sha256 of the rules that it was held against, or None.
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
    prepare: str | None
    sheet: str | None
    delimiter: str | None
    target: str | None
    warnings: tuple[str, ...]
    rejected: int = 0
    rules: str | None = None


def require_name(name: str) -> None:
    """Check a dataset's name.

    Raises:
        SourceUnreadable: It cannot be one.
    """
    if not NAME.fullmatch(name):
        raise SourceUnreadable(
            f"{name!r} cannot name a dataset: use 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit"
        )


def dataset_path(layout: Layout, name: str) -> Path:
    """Where the Delta table of a dataset lies, whether it exists or not."""
    return layout.datasets / name


def list_datasets(layout: Layout) -> list[str]:
    """The names of the datasets that have a snapshot, sorted."""
    return sorted(
        path.name for path in layout.datasets.glob("*") if NAME.fullmatch(path.name) and commit_path(path, 1).is_file()
    )


def get_snapshot(layout: Layout, name: str, version: int | None = None) -> Snapshot:
    """One snapshot; the newest without a version.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    path, version = _require(layout, name, version)
    commit = read_commit(commit_path(path, version), version)
    told = _told(commit)
    return _snapshot(name, commit, *(told or _found(layout, name, version)))


def _told(commit: Commit) -> tuple[int, tuple[ColumnInfo, ...]] | None:
    """Rows and columns as the commit says them; None where Delta's own log has to be asked."""
    if "columns" not in commit.facts:
        return None
    columns = tuple(ColumnInfo(name=name, dtype=Dtype(dtype)) for name, dtype in commit.facts["columns"])
    return int(commit.facts["rows"]), columns


def _found(layout: Layout, name: str, version: int) -> tuple[int, tuple[ColumnInfo, ...]]:
    """The same from Delta's log."""
    import pyarrow as pa  # noqa: PLC0415  (as above)

    from storage.conform import columns_of  # noqa: PLC0415  (loads PyArrow)

    table = open_table(layout, name, version)
    rows = sum(pa.table(table.get_add_actions(flatten=True))["num_records"].to_pylist())
    return rows, columns_of(pa.schema(table.schema().to_arrow()))


def get_readings(layout: Layout, name: str, version: int | None = None) -> dict[str, Reading]:
    """How the columns of a snapshot were read that may be read otherwise as well; none of an earlier release's.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    path, version = _require(layout, name, version)
    readings: dict[str, Reading] = read_commit(commit_path(path, version), version).facts.get("readings", {})
    return readings


def list_snapshots(layout: Layout, name: str) -> list[Snapshot]:
    """Every snapshot of a dataset that was not forgotten, newest first.

    Raises:
        DatasetNotFound: No dataset has that name.
    """
    path, _ = _require(layout, name, None)
    forgotten, found = read_forgotten(path), list[Snapshot]()
    columns: tuple[ColumnInfo, ...] = ()
    for commit in read_commits(path):
        if commit.version not in forgotten:
            rows, own = _told(commit) or _found(layout, name, commit.version)
            columns = columns if columns == own else own  # shared, since there may be thousands
            found.append(_snapshot(name, commit, rows, columns))
    return found[::-1]


def scan_snapshot(layout: Layout, name: str, version: int | None = None) -> pl.LazyFrame:
    """The rows of a snapshot, lazily, in the order they were ingested.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    return pl.scan_parquet(snapshot_files(layout, name, version), glob=False, hive_partitioning=False)


def read_snapshot(
    layout: Layout, name: str, version: int | None = None, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows of a snapshot, or some of its columns, in memory.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
        polars.exceptions.ColumnNotFoundError: A column is not one of the snapshot's.
    """
    rows = scan_snapshot(layout, name, version)
    return (rows if columns is None else rows.select(columns)).collect()


def arrow_reader(
    layout: Layout, name: str, version: int | None = None, columns: Sequence[str] | None = None
) -> pa.RecordBatchReader:
    """The rows of a snapshot as a stream of Arrow batches, in bounded memory.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    import pyarrow.dataset  # noqa: PLC0415  (imports pandas where it is installed: 1.7 s and 100 MB)

    files = pyarrow.dataset.dataset(snapshot_files(layout, name, version), format="parquet")
    wanted = None if columns is None else list(columns)
    return files.scanner(columns=wanted, batch_readahead=2, fragment_readahead=1).to_reader()


def snapshot_files(layout: Layout, name: str, version: int | None = None) -> list[str]:
    """The absolute paths of a snapshot's Parquet files, in the order of its rows; for DuckDB's ``read_parquet``.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    path, at = _require(layout, name, version)
    files = live_files(path, at, most=_COMMITS_READ)
    if files is None:
        import pyarrow as pa  # noqa: PLC0415  (as above)

        files = set(pa.table(open_table(layout, name, at).get_add_actions(flatten=True))["path"].to_pylist())
    if lost := next((file for file in sorted(files) if not (path / file).is_file()), None):
        raise SnapshotNotFound(
            f"the dataset {name!r} in {path} is damaged: version {at} has lost the file {lost}; put it back, or "
            "restore a backup"
        )
    # The names begin with the snapshot's version and the part's number.
    return [str((path / file).absolute()) for file in sorted(files)]


def open_table(layout: Layout, name: str, version: int | None = None) -> DeltaTable:
    """The Delta table of a dataset as it was at a snapshot.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    from deltalake import DeltaTable  # noqa: PLC0415  (as above)
    from deltalake.exceptions import DeltaError  # noqa: PLC0415

    path, at = _require(layout, name, version)
    try:
        return DeltaTable(path, version=None if version is None else at - 1)
    except (DeltaError, OSError) as exc:
        raise SnapshotNotFound(f"the dataset {name!r} in {path} is damaged: {exc}; restore it from a backup") from exc


def _require(layout: Layout, name: str, version: int | None) -> tuple[Path, int]:
    """The folder of a dataset, and the version that is meant.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version.
    """
    path = dataset_path(layout, name)
    if not NAME.fullmatch(name) or not commit_path(path, 1).is_file():
        known = ", ".join(list_datasets(layout)) or "none yet"
        raise DatasetNotFound(f"there is no dataset {name!r}; datasets: {known}. Add it with 'appliance data add'")
    if version is None:
        return path, newest_version(path)
    is_one = 0 < version < 1 << 63  # of others the file's name may be longer than the system looks up
    if not is_one or not commit_path(path, version).is_file():
        raise SnapshotNotFound(f"the dataset {name!r} has no version {version}; it has 1 to {newest_version(path)}")
    if version in read_forgotten(path):
        raise SnapshotNotFound(
            f"version {version} of the dataset {name!r} was let go (the settings snapshot_days and keep_snapshots); "
            f"'appliance data versions {name}' shows those that are kept"
        )
    return path, version


def is_ingested(layout: Layout, name: str, once: str) -> bool:
    """Whether an ingest of that name (``IngestInfo.once``) is in the dataset; False when there is no dataset."""
    return not find_new(layout, name, [once])


def find_new(layout: Layout, name: str, names: Sequence[str]) -> set[str]:
    """Those of the names (``IngestInfo.once``) under which nothing is in the dataset; all where there is no dataset."""
    from deltalake import DeltaTable  # noqa: PLC0415  (as above)

    path = dataset_path(layout, name)
    if not commit_path(path, 1).is_file():
        return set(names)
    table = DeltaTable(path)
    return {once for once in names if table.transaction_version(once) is None}


def read_rejected(layout: Layout, name: str, version: int | None = None, *, rows: int | None = None) -> pl.DataFrame:
    """The rows that an ingest's rules rejected: ``_row`` (from 1) and ``_reason``, then the columns as in the source.

    Empty, without columns, where none was; the first ``rows`` where that is given. A column of the source that is
    called ``_row`` or ``_reason`` itself is called ``_row_`` or ``_reason_``.

    Raises:
        DatasetNotFound: No dataset has that name.
        SnapshotNotFound: It has no such version, or the file is gone.
    """
    snapshot = get_snapshot(layout, name, version)
    path = dataset_path(layout, name)
    file = read_commit(commit_path(path, snapshot.version), snapshot.version).facts.get("rejected_file")
    if file is None:
        return pl.DataFrame()
    path = path / REJECTED / str(file)
    try:
        return pl.read_parquet(path, n_rows=rows, glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise SnapshotNotFound(f"{path} cannot be read: {exc}; restore it from a backup") from exc


def _snapshot(name: str, commit: Commit, rows: int, columns: tuple[ColumnInfo, ...]) -> Snapshot:
    facts = commit.facts
    return Snapshot(
        dataset=name,
        version=commit.version,
        rows=rows,
        columns=columns,
        added_at=datetime.fromtimestamp(commit.at_ms / 1000, UTC),
        who=facts.get("who", "?"),
        source=facts.get("source", "?"),
        sha256=facts.get("sha256"),
        mode=Mode(facts.get("mode", Mode.REPLACE)),
        query=facts.get("query"),
        prepare=facts.get("prepare"),
        sheet=facts.get("sheet"),
        delimiter=facts.get("delimiter"),
        target=facts.get("target"),
        warnings=tuple(facts.get("notes", ())),
        rejected=facts.get("rejected", 0),
        rules=facts.get("rules"),
    )

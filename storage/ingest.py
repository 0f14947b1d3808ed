"""Adds snapshots: a stream of rows becomes one Delta commit, complete or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from storage.columns import ColumnInfo
from storage.conform import appended_columns, arrow_schema, conform, told_evolution
from storage.dataset_log import COMMIT_KEY, read_commits
from storage.datasets import (
    REJECTED,
    ArrowStream,
    IngestInfo,
    Mode,
    Snapshot,
    arrow_reader,
    dataset_path,
    get_readings,
    get_snapshot,
    is_ingested,
    list_datasets,
    require_name,
    snapshot_files,
)
from storage.delta_log import flush, sync_log
from storage.errors import AlreadyIngested, SourceUnreadable, StateUnwritable
from storage.layout import Layout
from storage.read_ahead import read_ahead
from storage.readings import with_earlier
from storage.rules import find_rules
from storage.screening import Screened, Screening, as_declared, as_there, screened, typed_columns

KEEP_EVERY_VERSION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
"""By default Delta forgets versions that are older than 30 days."""

TARGET_FILE_BYTES = 128 << 20
ROW_GROUP = 131_072


def ingest(
    layout: Layout, name: str, batches: ArrowStream, *, append: bool, info: IngestInfo, evolve: bool = False
) -> Snapshot:
    """Add a snapshot from a stream of rows, in bounded memory: all of it, or none.

    The first ingest makes the dataset. Otherwise ``append`` adds the rows to the newest snapshot's (columns are matched
    by name), else they replace it. ``evolve`` lets an append add columns (null in the rows that are there) and widen
    int64 to float64 and date to datetime; the rows that are there are written anew then. Ingests into one dataset wait
    for each other.

    Raises:
        SourceUnreadable: The name is no dataset name, there are no columns or rows, a name stands twice, or a value
            does not fit.
        RulesBroken: Too many rows break the dataset's rules, or the rules do not go with the columns. Fewer rows than
            that are rejected: they are kept beside the snapshot, with their reasons.
        SchemaChanged: An append has other columns than the dataset; names them.
        AlreadyIngested: ``info.once`` is in the dataset.
        StateUnwritable: The disk is full or read-only.
    """
    require_name(name)
    # A PyArrow reader is taken as it is: through the C stream its errors would lose their class.
    is_reader = isinstance(batches, pa.RecordBatchReader)
    reader: pa.RecordBatchReader = batches if is_reader else pa.RecordBatchReader.from_stream(batches)
    rules = find_rules(layout, name)
    columns = as_declared(reader.schema, rules)
    with alone(layout, name), _without_orphans(dataset_path(layout, name)), contextlib.ExitStack() as stack:
        before = get_snapshot(layout, name) if name in list_datasets(layout) else None
        if info.once is not None and is_ingested(layout, name, info.once):
            raise AlreadyIngested(f"{info.source} is in the dataset {name!r} already; nothing was changed")
        added = bool(append and before)
        if rules is not None and append and before:
            columns = as_there(columns, before.columns, rules)
        typed = columns if rules is None else typed_columns(columns, rules)
        wanted = appended_columns(name, before.columns, typed, evolve=evolve) if append and before else typed
        if added:
            info = replace(info, readings=with_earlier(get_readings(layout, name), info.readings))
        screening = None
        if rules is not None:
            old = snapshot_files(layout, name) if added else []
            screening = Screening(rules=rules, old=old, found=Screened(file=_rejects(layout, name, before)))
            rows = stack.enter_context(screened(layout.tmp, conform(reader, columns), columns, screening))
            rows = _require_rows(conform(rows, wanted), info.source)
        else:
            rows = _require_rows(conform(reader, wanted), info.source)
        if before and added and wanted != before.columns:
            rows = itertools.chain(conform(arrow_reader(layout, name), wanted), rows)
            info = replace(info, notes=(*info.notes, *told_evolution(before.columns, wanted, before.rows)))
        plan = _Plan(before=before, append=append, columns=wanted, info=info, screening=screening)
        _write(layout, name, stack.enter_context(read_ahead(rows)), plan)
    return get_snapshot(layout, name)


def _rejects(layout: Layout, name: str, before: Snapshot | None) -> Path:
    version = before.version + 1 if before else 1
    return dataset_path(layout, name) / REJECTED / f"{version:08d}-{uuid.uuid4().hex}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What becomes of a dataset: ``before`` is its newest snapshot, if it has one."""

    before: Snapshot | None
    append: bool
    columns: tuple[ColumnInfo, ...]
    info: IngestInfo
    screening: Screening | None

    @property
    def mode(self) -> Mode:
        return Mode.APPEND if self.append and self.before else Mode.REPLACE

    @property
    def keeps_files(self) -> bool:
        """Whether the files that are there stay part of the dataset; an evolution writes their rows anew."""
        return self.mode is Mode.APPEND and self.before is not None and self.columns == self.before.columns

    def facts(self, written: int) -> str:
        """What the commit says of itself, once so many rows were written: ``get_snapshot`` needs no more."""
        kept = self.before.rows if self.keeps_files and self.before is not None else 0
        columns = [(column.name, column.dtype) for column in self.columns]
        facts = {**asdict(self.info), "mode": self.mode, "rows": kept + written, "columns": columns}
        if self.screening is not None:
            found = self.screening.found
            facts["rules"] = self.screening.rules.sha256
            facts["rejected"] = found.rejected
            facts["rejected_file"] = found.file.name if found.rejected else None
        return json.dumps(facts)


def _write(layout: Layout, name: str, rows: Iterator[pa.RecordBatch], plan: _Plan) -> None:
    path = dataset_path(layout, name)
    schema = arrow_schema(plan.columns)
    try:
        adds, written = _write_files(path, plan.before.version + 1 if plan.before else 1, rows, schema)
        if plan.screening is not None and plan.screening.found.rejected:
            flush(plan.screening.found.file)
            flush(plan.screening.found.file.parent)
        _commit(path, adds, schema, plan, plan.facts(written))
        sync_log(path, [path.parent])
    except (DeltaError, OSError) as exc:
        raise StateUnwritable(
            f"cannot write the dataset {name!r} below {path}: {_first_line(exc)}; nothing was changed; "
            "free space or make it writable"
        ) from exc


def _require_rows(batches: Iterator[pa.RecordBatch], source: str) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        raise SourceUnreadable(f"{source} has columns, but no rows; nothing was changed")
    return itertools.chain([first], batches)


def _write_files(
    path: Path, version: int, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> tuple[list[AddAction], int]:
    """Write the rows, in their order, to Parquet files that no commit names yet; the files, and how many rows.

    Delta's own writer deals batches out to several tasks and loses their order.
    """
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    adds: list[AddAction] = []
    written = 0
    # Numbers seldom repeat: a dictionary of them takes three times the time and more room.
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    batch = next(batches, None)
    while batch is not None:
        # The names sort in the order of the rows, across snapshots too.
        file = path / f"{version:08d}-{len(adds):05d}-{uuid.uuid4().hex}.parquet"
        rows = 0
        with file.open("xb") as out:
            with pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=texts or False) as writer:
                while batch is not None and (rows == 0 or out.tell() < TARGET_FILE_BYTES):
                    writer.write_batch(batch, row_group_size=ROW_GROUP)
                    rows += batch.num_rows
                    batch = next(batches, None)
            out.flush()
            os.fsync(out.fileno())
        written += rows
        adds.append(
            AddAction(
                path=file.name, size=file.stat().st_size, partition_values={}, data_change=True,
                modification_time=time.time_ns() // 1_000_000, stats=json.dumps({"numRecords": rows}),
            )
        )  # fmt: skip
    return adds, written


def _commit(path: Path, adds: list[AddAction], schema: pa.Schema, plan: _Plan, facts: str) -> None:
    """Make the files a new snapshot."""
    once = [] if plan.info.once is None else [Transaction(plan.info.once, 1)]
    properties = CommitProperties(custom_metadata={COMMIT_KEY: facts}, app_transactions=once)
    hooks = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
    if plan.before is None:
        create_table_with_add_actions(
            str(path), Schema.from_arrow(schema), adds, configuration=KEEP_EVERY_VERSION,
            commit_properties=properties, post_commithook_properties=hooks,
        )  # fmt: skip
        return
    DeltaTable(path).create_write_transaction(
        list(adds), "append" if plan.keeps_files else "overwrite", schema,
        commit_properties=properties, post_commithook_properties=hooks,
    )  # fmt: skip


@contextlib.contextmanager
def alone(layout: Layout, name: str) -> Iterator[None]:
    """Whoever changes a dataset does it alone; others wait.

    Raises:
        StateUnwritable: The lock cannot be made.
    """
    try:
        lock = os.open(layout.run / f"ingest-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise StateUnwritable(f"cannot write below {layout.run}: {exc.strerror}; run 'appliance doctor'") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _without_orphans(path: Path) -> Iterator[None]:
    _remove_orphans(path)
    try:
        yield
    finally:
        _remove_orphans(path)


def _remove_orphans(path: Path) -> None:
    """Remove what an ingest that was killed or failed left behind: files that no commit names."""
    named: set[str] = set()
    for commit in read_commits(path):
        named |= {*commit.added, str(commit.facts.get("rejected_file"))}
    with contextlib.suppress(OSError):  # a read-only disk keeps them; they are in nobody's way
        for file in (*path.glob("*.parquet"), *path.glob(f"{REJECTED}/*.parquet")):
            if file.name not in named:
                file.unlink()


def _first_line(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__

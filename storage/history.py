"""The event log's long memory: closed segments become rows of Delta tables, each segment exactly once.

One table a kind of event, ``history/KIND``, partitioned by model and day of arrival. A segment's rows are written to
files first and flushed, then one commit names the files together with the segment (Delta's application transaction):
either both are there or neither, and a segment that a commit names is never written again.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import FileIO
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction

from storage.delta_log import flush, sync_log
from storage.errors import StateUnwritable
from storage.layout import Layout

MODEL, DAY, ID = "model", "day", "id"
PARTITIONS = (MODEL, DAY)
TARGET_FILE_BYTES = 128 << 20
MOST_SMALL_FILES = 4
"""A finished day of a model is rewritten once it has more files than this."""
_REPEATED = ["version", "role", "rows", "dialect", "key", "class"]
"""Columns whose values repeat; a dictionary of ids or of inputs would cost time and room."""
BATCH_ROWS = 1_000
"""A request's row may hold the inputs of many rows."""
_BUFFER_BYTES = 1 << 20
GRACE_HOURS = 24
"""Files that no commit names any more stay so long: somebody may still be reading them."""

Step = Callable[[str], None]
"""Told what was just done; tests end the process there."""
_FILES, _HALF, _COMMITTED = "files written", "half of the files written", "committed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of one model and day; ``rows`` has the table's columns without these two."""

    model: str
    day: str
    rows: pa.RecordBatch


@dataclass(slots=True, kw_only=True)
class _Open:
    """A file being written."""

    path: Path
    file: FileIO
    writer: pq.ParquetWriter
    rows: int = 0
    ids: list[str] = field(default_factory=list)


def table_path(layout: Layout, kind: str) -> Path:
    """The Delta table of a kind of event."""
    return layout.history / kind


def has_segment(layout: Layout, kind: str, segment: str) -> bool:
    """Whether the segment's rows are in the table."""
    table = _find_table(layout, kind)
    return table is not None and table.transaction_version(segment) is not None


def add_segment(
    layout: Layout, kind: str, segment: str, parts: Iterable[Part], schema: pa.Schema, *, step: Step
) -> int:
    """Commit a segment's rows, flushed to the disk; none when it was committed before.

    Args:
        layout: The state.
        kind: Of event.
        segment: The segment's name.
        parts: Its rows, in bounded batches.
        schema: Of the rows, without model and day.
        step: Told after each step.

    Returns:
        Rows written.

    Raises:
        StateUnwritable: The disk is full or read-only; nothing was changed.
    """
    path = table_path(layout, kind)
    files: list[Path] = []
    rows = 0
    try:
        table = _open_table(path, schema)
        if table.transaction_version(segment) is None:
            adds, rows = _write_files(path, parts, schema, files, step)
            step(_FILES)
            properties = CommitProperties(app_transactions=[Transaction(segment, 1)])
            table.create_write_transaction(
                list(adds), "append", _table_schema(schema), list(PARTITIONS), commit_properties=properties
            )
            _sync_log(path, {file.parent for file in files})
        else:  # killed before it was flushed, and nobody remembers which folders it wrote to
            _sync_log(path, path.glob(f"{MODEL}=*/{DAY}=*"))
    except (DeltaError, OSError) as exc:
        _remove_uncommitted(layout, kind, segment, files)
        raise StateUnwritable(
            f"cannot write the history of {kind} below {path}: {_sentence(exc)}; the segment stays in the event log; "
            "free space or make it writable"
        ) from exc
    except Exception:  # whoever gives the rows ended it
        _remove_uncommitted(layout, kind, segment, files)
        raise
    step(_COMMITTED)
    return rows


def scan_history(
    layout: Layout, kind: str, *, models: Sequence[str], days: tuple[str, str] | None = None
) -> pl.LazyFrame | None:
    """The rows of some models, from the first day to the last, both included; None when there are none.

    Whoever reads segments too reads them first: a segment that goes meanwhile is here by then. A record may be met in
    both.
    """
    chosen = _choose_files(layout, kind, models, days)
    return pl.scan_parquet(chosen, glob=False, hive_partitioning=False) if chosen else None


def stream_history(
    layout: Layout, kind: str, *, model: str, days: tuple[str, str], time: str, span: tuple[int, int]
) -> Iterator[pl.DataFrame]:
    """The rows of ``scan_history`` with a time in a span, by file, ``BATCH_ROWS`` at a time at most.

    Memory does not grow with the rows: a merged file's group may hold a million of them, so it is read page by page.

    Args:
        layout: The state.
        kind: Of event.
        model: Whose rows.
        days: Of arrival, the first and the last.
        time: The column of the time.
        span: From, inclusive, and to, exclusive; microseconds since 1970.

    Yields:
        Rows in the order of the file, none of them empty.
    """
    inside = pl.col(time).to_physical().is_between(*span, closed="left")
    for path in _choose_files(layout, kind, [model], days):
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            groups = _groups_within(file, time, span)
            batches = file.iter_batches(BATCH_ROWS, row_groups=groups, use_threads=False) if groups else ()
            for batch in batches:
                rows = pl.DataFrame(batch).filter(inside)
                if rows.height:
                    yield rows


def tidy(
    layout: Layout,
    kind: str,
    *,
    today: date,
    keep_days: int,
    grace_h: int = GRACE_HOURS,
    is_wanted: Callable[[], bool] = lambda: False,
) -> bool:
    """Merge the small files of finished days, drop days older than ``keep_days`` (0: none), remove unnamed files.

    Each of these is a commit of its own and may be killed anywhere.

    Args:
        layout: The state.
        kind: Of event.
        today: Days before it are finished.
        keep_days: See above.
        grace_h: So long unnamed files stay.
        is_wanted: Asked between two days; True ends it early.

    Returns:
        Whether it came to its end.

    Raises:
        StateUnwritable: The disk is full or read-only; the table is as it was.
    """
    table = _find_table(layout, kind)
    if table is None:
        return True
    try:
        if keep_days:
            oldest = (today - timedelta(days=keep_days)).isoformat()
            if table.file_uris(file_pruning_predicate=f"{DAY} < '{oldest}'"):
                table.delete(f"{DAY} < '{oldest}'")
                sync_log(table_path(layout, kind))
        for model, day in _fragmented(table, today.isoformat()):
            if is_wanted():
                return False
            before = set(table.file_uris())
            table.optimize.compact(
                [(MODEL, "=", model), (DAY, "=", day)], target_size=TARGET_FILE_BYTES, max_concurrent_tasks=1
            )
            # The files that they came from stay for a day, and then there are no others.
            merged = [Path(uri) for uri in set(table.file_uris()) - before]
            for file in merged:
                flush(file)
            sync_log(table_path(layout, kind), {file.parent for file in merged})
        table.vacuum(grace_h, dry_run=False, enforce_retention_duration=False, full=True)
        sync_log(table_path(layout, kind))
    except (DeltaError, OSError) as exc:
        raise StateUnwritable(
            f"cannot tidy the history of {kind} below {table_path(layout, kind)}: {_sentence(exc)}"
        ) from exc
    return True


def list_old_days(layout: Layout, kind: str, *, before: str) -> list[tuple[str, str, int]]:
    """Model, day and bytes of what is older than a day (``2026-01-31``), sorted; ``tidy`` drops it."""
    table = _find_table(layout, kind)
    sizes: dict[tuple[str, str], int] = {}
    for row in [] if table is None else pa.table(table.get_add_actions(flatten=True)).to_pylist():
        key = row[f"partition.{MODEL}"], row[f"partition.{DAY}"]
        if key[1] < before:
            sizes[key] = sizes.get(key, 0) + row["size_bytes"]
    return [(*key, size) for key, size in sorted(sizes.items())]


def _fragmented(table: DeltaTable, today: str) -> Iterator[tuple[str, str]]:
    files: dict[tuple[str, str], int] = {}
    for row in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        if row["size_bytes"] < TARGET_FILE_BYTES // 2:
            key = row[f"partition.{MODEL}"], row[f"partition.{DAY}"]
            files[key] = files.get(key, 0) + 1
    return (key for key, count in sorted(files.items()) if count > MOST_SMALL_FILES and key[1] < today)


def _choose_files(layout: Layout, kind: str, models: Sequence[str], days: tuple[str, str] | None) -> list[str]:
    """Sorted, so by model and day."""
    table = _find_table(layout, kind)
    if table is None or not models:
        return []
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in models)
    predicate = f"{MODEL} IN ({names})"
    if days is not None:
        predicate += f" AND {DAY} >= '{days[0]}' AND {DAY} <= '{days[1]}'"
    return sorted(table.file_uris(file_pruning_predicate=predicate))


def _groups_within(file: pq.ParquetFile, time: str, span: tuple[int, int]) -> list[int]:
    """Groups of rows that may have a time in a span, by their statistics; those without any may."""
    facts = file.metadata
    place = next(at for at in range(facts.num_columns) if facts.schema.column(at).path == time)
    found = []
    for group in range(facts.num_row_groups):
        known = facts.row_group(group).column(place).statistics
        if known is None or not known.has_min_max or (known.min_raw < span[1] and known.max_raw >= span[0]):
            found.append(group)
    return found


def _find_table(layout: Layout, kind: str) -> DeltaTable | None:
    path = table_path(layout, kind)
    return DeltaTable(path) if (path / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(path)) else None


def _remove_uncommitted(layout: Layout, kind: str, segment: str, files: Sequence[Path]) -> None:
    """Remove the files of a segment, unless its commit is there after all and only what follows it failed."""
    with suppress(DeltaError, OSError):
        if not has_segment(layout, kind, segment):
            for file in files:
                file.unlink(missing_ok=True)


def _open_table(path: Path, schema: pa.Schema) -> DeltaTable:
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    DeltaTable.create(path, _table_schema(schema), mode="ignore", partition_by=list(PARTITIONS))
    return DeltaTable(path)


def _table_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in PARTITIONS] + list(schema))


def _write_files(
    path: Path, parts: Iterable[Part], schema: pa.Schema, files: list[Path], step: Step
) -> tuple[list[AddAction], int]:
    written: dict[tuple[str, str], _Open] = {}
    with ExitStack() as stack:
        for part in parts:
            key = part.model, part.day
            if key not in written:
                written[key] = _open_file(path / _folder(key), schema, stack)
                files.append(written[key].path)
            into = written[key]
            into.writer.write_batch(part.rows)
            into.rows += part.rows.num_rows
            span = pc.min_max(part.rows[ID]).as_py()
            into.ids = [min([span["min"], *into.ids]), max([span["max"], *into.ids])]
            step(_HALF)
        for one in written.values():
            one.writer.close()
            one.file.flush()
            os.fsync(one.file.fileno())
    return [_add_action(path, key, one) for key, one in written.items()], sum(one.rows for one in written.values())


def _open_file(folder: Path, schema: pa.Schema, stack: ExitStack) -> _Open:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.parquet"
    file = stack.enter_context(path.open("xb", buffering=0))
    writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=_REPEATED)
    stack.callback(writer.close)  # before its file, also when whoever gives the rows ends early
    return _Open(path=path, file=file, writer=writer)


def _add_action(path: Path, key: tuple[str, str], one: _Open) -> AddAction:
    low, high = one.ids
    stats = {"numRecords": one.rows, "minValues": {ID: low}, "maxValues": {ID: high}, "nullCount": {ID: 0}}
    return AddAction(
        path=str(one.path.relative_to(path)), size=one.path.stat().st_size,
        partition_values=dict(zip(PARTITIONS, key, strict=True)), data_change=True,
        modification_time=time.time_ns() // 1_000_000, stats=json.dumps(stats),
    )  # fmt: skip


def _folder(key: tuple[str, str]) -> str:
    named: Mapping[str, str] = dict(zip(PARTITIONS, key, strict=True))
    return "/".join(f"{name}={quote(value, safe='')}" for name, value in named.items())


def _sync_log(path: Path, folders: Iterable[Path]) -> None:
    """Wait until the disk has the newest commit and the names of its files, which lie in these folders."""
    days = sorted(folders)
    sync_log(path, [*days, *sorted({day.parent for day in days})])


def _sentence(exc: Exception) -> str:
    """An error in one line; Delta draws a tree of its causes, in colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m|↳", "", str(exc)).splitlines()
    return ": ".join(line.strip() for line in lines if line.strip())

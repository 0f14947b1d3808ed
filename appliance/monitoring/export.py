"""Events as one Parquet file, for anybody's tools: predictions with their inputs under their own names, and labels."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from appliance.errors import BadInput
from appliance.events import PredictionEvent
from appliance.history import scan_predictions
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.tally import read_inputs
from appliance.protected import read_group
from appliance.schema import Column, Kind
from storage import statedb
from storage.layout import Layout

BATCH_ROWS = 20_000
PREFIX = "input."
PROTECTED_PREFIX = "protected."
_FIXED = (
    ("id", pa.string()), ("event_time", pa.timestamp("us", tz="UTC")), ("arrived", pa.timestamp("us", tz="UTC")),
    ("version", pa.int32()), ("role", pa.string()), ("output", pa.list_(pa.float64())), ("label", pa.string()),
    ("duration_us", pa.int64()), ("key", pa.string()),
)  # fmt: skip


def export_events(layout: Layout, name: str, version: int, span: tuple[datetime, datetime], out: Path) -> int:
    """Write every prediction that a version made in a span of event time, one row each, in batches.

    Inputs are columns ``input.NAME``: numbers as they are, categories by their names, unseen ones as the caller wrote
    them; protected columns that are no inputs are ``protected.NAME``, in the same way, null where they were not sent. A
    file that could not be written to its end is not there.

    Args:
        layout: The state.
        name: The model.
        version: Of which the inputs' names are.
        span: From, inclusive, and to, exclusive.
        out: The Parquet file.

    Returns:
        Rows written.

    Raises:
        BadInput: The version has no readable bundle, or the file cannot be written.
    """
    known = KnownVersions(layout).find(name, version)
    if known is None:
        raise BadInput(f"version {version} of model {name!r} has no readable bundle; 'appliance versions {name}' lists")
    first, last = (int(moment.timestamp() * 1e6) for moment in span)
    half = out.with_name(f".{out.name}.half")
    try:
        rows = 0
        with (
            closing(statedb.connect(layout.database, read_only=True)) as connection,
            pq.ParquetWriter(half, _schema(known), compression="zstd") as writer,
        ):
            for batch in _batches(layout, known, name, version, (first, last)):
                writer.write_batch(_with_labels(batch, connection, known))
                rows += batch.num_rows
        half.replace(out)
    except OSError as exc:
        raise BadInput(f"cannot write {out}: {exc.strerror or exc}") from exc
    finally:
        half.unlink(missing_ok=True)
    return rows


def _schema(known: KnownVersion) -> pa.Schema:
    inputs = [
        (PREFIX + column.name, pa.string() if column.kind is Kind.CATEGORY else pa.float64())
        for column in known.schema.columns
    ]
    protected = [
        (PROTECTED_PREFIX + column.name, pa.string() if column.kind is Kind.CATEGORY else pa.float64())
        for column in known.schema.protected
    ]
    return pa.schema([*_FIXED, *inputs, *protected])


def _batches(
    layout: Layout, known: KnownVersion, name: str, version: int, span: tuple[int, int]
) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[object, ...]] = []
    for event in scan_predictions(layout, name, first_us=span[0], last_us=span[1]):
        if event.v != version:
            continue
        rows += _rows(event, known)
        if len(rows) >= BATCH_ROWS:
            yield _batch(rows, known)
            rows = []
    if rows:
        yield _batch(rows, known)


def _rows(event: PredictionEvent, known: KnownVersion) -> Iterator[tuple[object, ...]]:
    matrix = read_inputs(event)
    outputs = known.schema.outputs
    if matrix is None or matrix.shape[1] != len(known.schema.columns) or len(event.y) != event.n * outputs:
        return
    unseen = {(row, column): value for row, column, value in event.u}
    for row, values in enumerate(matrix.tolist()):
        inputs = [
            _input(values[i], column.levels if column.kind is Kind.CATEGORY else None, unseen.get((row, i)))
            for i, column in enumerate(known.schema.columns)
        ]
        inputs += [
            _protected(unseen.get((row, at)), column)
            for at, column in enumerate(known.schema.protected, len(known.schema.columns))
        ]
        output = event.y[row * outputs : (row + 1) * outputs]
        yield (
            f"{event.id}.{row}", _moment(event.t), _moment(event.at), event.v, event.r, output, None, event.us,
            event.k, *inputs,
        )  # fmt: skip


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


def _input(value: float, levels: tuple[str, ...] | None, unseen: str | None) -> float | str | None:
    if value != value:  # noqa: PLR0124  (NaN)
        return None
    if levels is None:
        return value
    return levels[int(value)] if 0 <= value < len(levels) else unseen


def _protected(text: str | None, column: Column) -> float | str | None:
    value = None if text is None else read_group(text, column)
    return float(value) if isinstance(value, bool) else value


def _batch(rows: list[tuple[object, ...]], known: KnownVersion) -> pa.RecordBatch:
    schema = _schema(known)
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _with_labels(batch: pa.RecordBatch, connection: sqlite3.Connection, known: KnownVersion) -> pa.RecordBatch:
    labels = []
    for one in batch.column("id").to_pylist():
        row = connection.execute("SELECT label FROM outcomes WHERE id = ?", (one,)).fetchone()
        labels.append(None if row is None else str(row["label"]))
    position = batch.schema.get_field_index("label")
    columns = [*batch.columns[:position], pa.array(labels, pa.string()), *batch.columns[position + 1 :]]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(known))

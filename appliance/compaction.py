"""Compaction: closed segments that the watch loop has counted move into the history; ``python -m`` of this module.

Per segment: its rows and its name are committed together, then the segment is removed, then its cursor. A kill anywhere
is mended by the next pass; no record is lost, none is there twice.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from appliance.clock import trusted_now
from appliance.events import LabelEvent, PredictionEvent
from appliance.history import day_of
from appliance.processes.loglines import start_log
from appliance.processes.priority import go_first, step_back
from appliance.settings import Settings, load_settings
from storage import statedb
from storage.errors import StorageError
from storage.eventlog import is_closed, list_segments, tail
from storage.held_rows import held_segments
from storage.history import Part, Step, add_segment, tidy
from storage.layout import Layout
from storage.statedb import transaction
from storage.stillness import compacting
from storage.window_rows import Heartbeat, forget_cursor, put_heartbeat, read_cursors

HEARTBEAT = "compaction"
CHUNK_BYTES = 4 << 20
log = logging.getLogger(__name__)

_LABEL = msgspec.json.Decoder(LabelEvent)
_PREDICTION = msgspec.json.Decoder(PredictionEvent)

_TIME = pa.timestamp("us", tz="UTC")
_UNSEEN = pa.struct([("row", pa.int32()), ("column", pa.int32()), ("value", pa.string())])

PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("event_time", _TIME), ("arrived", _TIME), ("version", pa.int32()), ("role", pa.string()),
        ("rows", pa.int32()), ("inputs", pa.list_(pa.float64())), ("unseen", pa.list_(_UNSEEN)),
        ("outputs", pa.list_(pa.float64())), ("duration_us", pa.int64()), ("dialect", pa.string()),
        ("key", pa.string()),
    ]
)  # fmt: skip
"""Of ``history/predictions``: one row a request, the fields of ``PredictionEvent`` under plain names."""

LABELS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("number", pa.float64()), ("class", pa.string()), ("known", _TIME), ("arrived", _TIME),
    ]
)  # fmt: skip
"""Of ``history/labels``: ``number`` or ``class``, whichever the label is."""


def prediction_parts(lines: Sequence[bytes], rejected: list[bytes]) -> Iterator[Part]:
    """Prediction records as rows; what cannot be decoded is added to ``rejected``."""
    groups: dict[tuple[str, str], list[tuple[object, ...]]] = defaultdict(list)
    for line in lines:
        try:
            event = _PREDICTION.decode(line)
            inputs = _inputs(event)
            day = day_of(event.at / 1e6)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError, OverflowError):
            rejected.append(line)
            continue
        unseen = [{"row": row, "column": column, "value": value} for row, column, value in event.u]
        groups[event.m, day].append(
            (
                event.id,
                event.t,
                event.at,
                event.v,
                event.r,
                event.n,
                inputs,
                unseen,
                event.y,
                event.us,
                event.d,
                event.k,
            )
        )
    return _parts(groups, PREDICTIONS)


def label_parts(lines: Sequence[bytes], rejected: list[bytes]) -> Iterator[Part]:
    """Label records as rows; what cannot be decoded is added to ``rejected``."""
    groups: dict[tuple[str, str], list[tuple[object, ...]]] = defaultdict(list)
    for line in lines:
        try:
            event = _LABEL.decode(line)
            day = day_of(event.at / 1e6)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError):
            rejected.append(line)
            continue
        is_class = isinstance(event.l, str)
        number, text = (None, event.l) if is_class else (event.l, None)
        groups[event.m, day].append((event.id, number, text, event.t, event.at))
    return _parts(groups, LABELS)


def _parts(groups: dict[tuple[str, str], list[tuple[object, ...]]], schema: pa.Schema) -> Iterator[Part]:
    for (model, day), rows in groups.items():
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), schema.types, strict=True)]
        yield Part(model=model, day=day, rows=pa.RecordBatch.from_arrays(columns, schema=schema))


def _inputs(event: PredictionEvent) -> list[float | None]:
    """The encoded rows, None for NaN."""
    if isinstance(event.x, list):
        return event.x
    values = np.frombuffer(base64.b64decode(event.x, validate=True), "<f8")
    return [None if missing else value for value, missing in zip(values.tolist(), np.isnan(values), strict=True)]


_Rows = Callable[[Sequence[bytes], list[bytes]], Iterator[Part]]
KINDS: dict[str, tuple[_Rows, pa.Schema]] = {
    "predictions": (prediction_parts, PREDICTIONS),
    "labels": (label_parts, LABELS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a pass did.

    Attributes:
        segments: Removed from the event log.
        rows: Added to the history.
        rejected: Lines that are no records; they are kept in ``history/rejected``.
    """

    segments: int = 0
    rows: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """How much of a segment is moved at once, and whether somebody waits for it to end."""

    chunk_bytes: int
    is_wanted: Callable[[], bool]


class _GaveWay(Exception):
    """Somebody waits for the log to stand still; the segment stays where it is."""


def compact(settings: Settings, *, step: Step = lambda _: None, chunk_bytes: int = CHUNK_BYTES) -> Compacted:
    """Move every closed, wholly counted segment into the history; fewer when somebody waits for the log to stand still.

    Those of refusals, which are counts already, are removed.

    Args:
        settings: Of this appliance.
        step: Told after each step.
        chunk_bytes: So much of a segment is read at once, and moved before it looks whether somebody waits.

    Raises:
        StateUnwritable: The disk is full or read-only; what was not moved stays where it is.
    """
    layout = settings.layout
    segments = rows = rejected = 0
    with compacting(layout) as is_wanted, closing(statedb.connect(layout.database)) as connection:
        for kind in KINDS:
            for path in _ready(layout, connection, kind):
                if is_wanted():
                    break
                try:
                    found = _move(layout, kind, path, step, _Pace(chunk_bytes=chunk_bytes, is_wanted=is_wanted))
                except _GaveWay:
                    break
                path.unlink()
                step("segment removed")
                segments, rows, rejected = segments + 1, rows + found.rows, rejected + found.rejected
            _forget_removed(layout, connection, kind)
        _drop_stats(layout, connection)
        detail = f"segments={segments} rows={rows} rejected={rejected}"
        put_heartbeat(connection, HEARTBEAT, Heartbeat(at=datetime.now(UTC), detail=detail))
    return Compacted(segments=segments, rows=rows, rejected=rejected)


def tidy_history(settings: Settings) -> bool:
    """Merge small files and drop what is older than ``history_days``.

    Returns:
        False when it ended early, since somebody waits for the history to stand still.

    Raises:
        StateUnwritable: The disk is full or read-only.
    """
    today = trusted_now(settings.layout).date()
    with compacting(settings.layout) as is_wanted:
        return all(
            tidy(settings.layout, kind, today=today, keep_days=settings.history_days, is_wanted=is_wanted)
            for kind in KINDS
        )


def _ready(layout: Layout, connection: sqlite3.Connection, kind: str) -> Iterator[Path]:
    """Segments that nobody writes and that the watch loop has counted to the end, torn tail included, whole."""
    cursors = read_cursors(connection, kind)
    waiting = held_segments(connection, kind)
    for path in list_segments(layout.events / kind):
        # Closed first: what is closed does not grow any more.
        if path.name not in waiting and is_closed(path) and path.stat().st_size <= cursors.get(path.name, -1):
            yield path


def _move(layout: Layout, kind: str, path: Path, step: Step, pace: _Pace) -> Compacted:
    rows_of, schema = KINDS[kind]
    rejected: list[bytes] = []

    def parts() -> Iterator[Part]:
        whole = 0
        for chunk in tail(path.parent, {}, max_bytes=pace.chunk_bytes, segments=[path]):
            if pace.is_wanted():
                raise _GaveWay
            yield from rows_of(chunk.lines, rejected)
            whole = chunk.end
        with path.open("rb") as file:
            file.seek(whole)
            rejected.extend(file.read().splitlines())
        if rejected:
            _keep_rejected(layout, kind, path.name, rejected)

    rows = add_segment(layout, kind, path.name, parts(), schema, step=step)
    return Compacted(rows=rows, rejected=len(rejected))


def _keep_rejected(layout: Layout, kind: str, segment: str, lines: list[bytes]) -> None:
    folder = layout.history / "rejected"
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    with (folder / f"{kind}-{segment}").open("wb") as file:
        file.write(b"\n".join(lines) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _forget_removed(layout: Layout, connection: sqlite3.Connection, kind: str) -> None:
    there = {path.name for path in list_segments(layout.events / kind)}
    for segment in read_cursors(connection, kind).keys() - there:
        with transaction(connection):
            forget_cursor(connection, kind, segment)


def _drop_stats(layout: Layout, connection: sqlite3.Connection) -> None:
    """Counted refusals live on in the windows, and nobody reads them again: each look would meet their segments."""
    for path in _ready(layout, connection, "stats"):
        path.unlink()
    _forget_removed(layout, connection, "stats")


def main() -> int:
    """One pass, out of everybody's way; then the tidying, once a day."""
    start_log()
    step_back()
    go_first()
    settings = load_settings()
    done = settings.layout.run / "history-tidied"
    today = datetime.now(UTC).date().isoformat()
    try:
        found = compact(settings)
        if found.segments:
            log.info("compacted %s", found)
        if (not done.is_file() or done.read_text() != today) and tidy_history(settings):
            done.write_text(today)
    except (StorageError, sqlite3.Error, OSError) as exc:
        log.error("%s; tried again later", exc)
        return os.EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())

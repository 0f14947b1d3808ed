"""The labelled rows of one version, each day of them packed once and read back until a label of that day changes.

A row of the state database is parsed in microseconds, a packed one in nanoseconds; both give the same bits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from appliance.monitoring.quality import Labelled, join
from appliance.schema import FeatureSchema, Task
from storage.figures import is_kept, keep, read_kept, stamp_of
from storage.outcome_rows import DAY_US, labelled_day
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import snapshot

Cells: TypeAlias = npt.NDArray[np.int16]
"""Bins of rows: they are bytes where they are kept, and -1 where there is none."""
_FORMAT = 1
"""Of a packed day; another one makes them all anew."""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """Columns of a day's rows as little-endian bytes: int64, int64, float64, float64."""

    event_us: bytearray
    label_us: bytearray
    truth: bytearray
    outputs: bytearray


class _Cells(msgspec.Struct, frozen=True, array_like=True):
    """How many bins each row of a day has (int32), and all of them one after the other (uint8)."""

    sizes: bytearray
    cells: bytearray


class LabelledRows:
    """Reads the labelled rows of one version; threads may share it.

    Args:
        folder: Where days are kept.
        model: Whose rows.
        version: Of this version.
        schema: Its classes and number of outputs.
        bundle: Differs when the version was trained again.
    """

    def __init__(self, folder: Path, *, model: str, version: int, schema: FeatureSchema, bundle: bytes) -> None:
        self._folder = folder
        self._model = model
        self._version = version
        self._schema = schema
        self._bundle = bundle

    def stamps(
        self, connection: sqlite3.Connection, *, first_us: int, last_us: int, shadow: bool = False
    ) -> dict[int, int]:
        """Day since 1970 to its stamp, of the days of a span of event time that had labels."""
        first, last = first_us // DAY_US, (last_us - 1) // DAY_US
        found = read_stamps(connection, Stamped.LABELS, self._model, first=first, last=last, shadow=shadow)
        return {day: stamp for (day, version), stamp in found.items() if version == self._version}

    def pack(
        self, connection: sqlite3.Connection, first_us: int, last_us: int, *, over: Callable[[], bool]
    ) -> bool:  # fmt: skip
        """Pack the days of a span that are not; False when it is over before all are."""
        for shadow in (False, True):
            for day, stamp in self.stamps(connection, first_us=first_us, last_us=last_us, shadow=shadow).items():
                if is_kept(self._path(day, shadow), self._made_of(stamp)):
                    continue
                if over():
                    return False
                self.read(connection, first_us=day * DAY_US, last_us=(day + 1) * DAY_US, shadow=shadow)
        return True

    def read(self, connection: sqlite3.Connection, *, first_us: int, last_us: int, shadow: bool = False) -> Labelled:
        """The rows of a span of event time, ``last_us`` excluded, by event time."""
        with snapshot(connection):
            stamps = self.stamps(connection, first_us=first_us, last_us=last_us, shadow=shadow)
            days = [self._day(connection, day, stamp, shadow) for day, stamp in stamps.items()]
        return join([_cut(day, first_us, last_us) for day in days] or [self._unpack(_pack([], self._schema))])

    def read_cells(
        self, connection: sqlite3.Connection, *, first_us: int, last_us: int, places: Sequence[int]
    ) -> tuple[Labelled, Cells]:
        """The rows of a span of what was answered, and in which bin of some columns they lie.

        Args:
            connection: The state database.
            first_us: Begin of the span.
            last_us: Its end, excluded.
            places: Columns, by their place among a row's cells.

        Returns:
            The rows, and the bins, shape ``(len(places), n)``; -1 where a row has none for that column.
        """
        with snapshot(connection):
            stamps = self.stamps(connection, first_us=first_us, last_us=last_us)
            found = []
            for day, stamp in stamps.items():
                rows = self._day(connection, day, stamp, shadow=False)
                inside = (rows.event_us >= first_us) & (rows.event_us < last_us)
                cells = _at(self._cells_of(connection, day, stamp), places)
                found.append((rows.where(inside), cells[:, inside]))
        nothing = self._unpack(_pack([], self._schema)), np.zeros((len(places), 0), np.int16)
        parts, cells_of = zip(*(found or [nothing]), strict=True)
        return join(parts), np.concatenate(cells_of, axis=1)

    def _day(self, connection: sqlite3.Connection, day: int, stamp: int, shadow: bool) -> Labelled:
        path, made_of = self._path(day, shadow), self._made_of(stamp)
        kept = read_kept(path, made_of)
        if kept is not None:
            return self._unpack(msgspec.msgpack.decode(kept, type=_Packed))
        packed = _pack(self._batches(connection, day, shadow=shadow), self._schema)
        keep(path, made_of, msgspec.msgpack.encode(packed))
        return self._unpack(packed)

    def _batches(self, connection: sqlite3.Connection, day: int, *, shadow: bool) -> Iterator[list[_Row]]:
        """Rows that the version can be held against, some at a time; others are of one that had its number before."""
        schema = self._schema
        for rows in labelled_day(connection, self._model, self._version, day=day, shadow=shadow):
            widths = [len(one) for one in _outputs(rows)]
            yield [
                row
                for row, width in zip(rows, widths, strict=True)
                if width == schema.outputs and (schema.task is Task.REGRESSION or row[2] in schema.classes)
            ]

    def _path(self, day: int, shadow: bool) -> Path:
        return self._folder / f"{day}{'-shadow' if shadow else ''}.rows"

    def _made_of(self, stamp: int) -> bytes:
        return stamp_of(_FORMAT, self._bundle, stamp)

    def _cells_of(self, connection: sqlite3.Connection, day: int, stamp: int) -> _Cells:
        path, made_of = self._folder / f"{day}.cells", self._made_of(stamp)
        kept = read_kept(path, made_of)
        if kept is not None:
            return msgspec.msgpack.decode(kept, type=_Cells)
        sizes, flat = bytearray(), bytearray()
        for rows in self._batches(connection, day, shadow=False):
            cells = [row[4] for row in rows]
            sizes += np.array([len(one) for one in cells], "<i4").tobytes()
            flat += b"".join(cells)
        packed = _Cells(sizes, flat)
        keep(path, made_of, msgspec.msgpack.encode(packed))
        return packed

    def _unpack(self, packed: _Packed) -> Labelled:
        event_us = np.frombuffer(packed.event_us, "<i8")
        return Labelled(
            truth=np.frombuffer(packed.truth, "<f8"),
            outputs=np.frombuffer(packed.outputs, "<f8").reshape(-1, self._schema.outputs),
            delay_s=(np.frombuffer(packed.label_us, "<i8") - event_us) / 1e6,
            event_us=event_us,
        )


_Row = tuple[int, str, str, int, bytes]
"""As ``labelled_day`` gives them."""


def _outputs(rows: Sequence[_Row]) -> list[list[float]]:
    return msgspec.json.decode(f"[{','.join(row[1] for row in rows)}]", type=list[list[float]])


def _pack(batches: Iterable[Sequence[_Row]], schema: FeatureSchema) -> _Packed:
    codes = {name: float(code) for code, name in enumerate(schema.classes)}
    event_us, label_us, truth, outputs = (bytearray() for _ in range(4))
    for rows in batches:
        event_us += np.array([row[0] for row in rows], "<i8").tobytes()
        label_us += np.array([row[3] for row in rows], "<i8").tobytes()
        labels = [float(row[2]) if schema.task is Task.REGRESSION else codes[row[2]] for row in rows]
        truth += np.array(labels, "<f8").tobytes()
        outputs += np.array(_outputs(rows), "<f8").tobytes()
    return _Packed(event_us, label_us, truth, outputs)


def _cut(rows: Labelled, first_us: int, last_us: int) -> Labelled:
    """Those of a span; rows come by event time."""
    if len(rows) == 0 or (rows.event_us[0] >= first_us and rows.event_us[-1] < last_us):
        return rows
    return rows.where((rows.event_us >= first_us) & (rows.event_us < last_us))


def _at(cells: _Cells, places: Sequence[int]) -> Cells:
    """The bin of each row at some places, shape ``(len(places), n)``; -1 where a row has fewer."""
    sizes, flat = np.frombuffer(cells.sizes, "<i4").astype(np.int64), np.frombuffer(cells.cells, np.uint8)
    starts = np.cumsum(sizes) - sizes
    found = np.full((len(places), len(sizes)), -1, np.int16)
    for at, place in enumerate(places):
        there = sizes > place
        found[at, there] = flat[starts[there] + place]
    return found

"""Encoded rows and the features made of them, a column or a block of rows at a time, in bounded memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.features import derive
from appliance.schema import Feature, Part

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BLOCK_CELLS = 2_000_000
"""Cells of a block: 16 MB."""


class ColumnStore:
    """Columns of float64, all of one length: in memory, or in a file without a name that goes with the process.

    A column is written while the next one is looked at; of a full disk the next call tells, whichever it is.
    """

    def __init__(self, rows: int, *, scratch: Path | None = None) -> None:
        """An empty store.

        Args:
            rows: The length of each column.
            scratch: Where a file may lie; None: the columns stay in memory.
        """
        self.rows = rows
        self.width = 0
        self._held: list[Floats] = []
        self._file = None if scratch is None else tempfile.TemporaryFile(dir=scratch, buffering=0)  # noqa: SIM115
        self._written: Future[None] | None = None
        if self._file is not None:
            self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="columns")
            weakref.finalize(self, self._file.close)

    def append(self, values: Floats) -> None:
        """One more column, shape ``(rows,)``, which is not to be changed any more.

        Raises:
            OSError: The disk is full.
        """
        self._settle()
        self.width += 1
        if self._file is None:
            self._held.append(values)
        else:
            self._written = self._writer.submit(_write, self._file, values)

    def read(self, at: int, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` of a column, to be read alone.

        Raises:
            OSError: The file cannot be read, or the disk was full.
        """
        self._settle()
        if self._file is None:
            return self._held[at][start:stop]
        found = np.empty(stop - start)
        left, offset = found.data.cast("B"), (at * self.rows + start) * 8
        while left:
            count = os.preadv(self._file.fileno(), [left], offset)
            if count == 0:
                raise OSError("the file of encoded columns ends before its rows do")
            left, offset = left[count:], offset + count
        return found

    def _settle(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()


def _write(file: IO[bytes], values: Floats) -> None:
    left = np.ascontiguousarray(values, dtype=np.float64).data.cast("B")
    while left:
        left = left[file.write(left) :]


class EncodedRows:
    """Some rows of a store, in an order of their own; a view, that copies nothing."""

    def __init__(self, store: ColumnStore, places: Places | None = None) -> None:
        self._store = store
        self._places = places
        self.width = store.width

    @classmethod
    def of(cls, frame: pl.DataFrame) -> EncodedRows:
        """The columns of a frame, ``f0 … fN``, float64."""
        store = ColumnStore(frame.height)
        for series in frame.iter_columns():
            store.append(series.to_numpy())
        return cls(store)

    def __len__(self) -> int:
        """How many rows."""
        return self._store.rows if self._places is None else len(self._places)

    def pick(self, places: Places) -> EncodedRows:
        """The rows at those places, in their order; ascending ones are read without detours."""
        return EncodedRows(self._store, places if self._places is None else self._places[places])

    def column(self, at: int) -> Floats:
        """One column, shape ``(rows,)``."""
        return self.part(at, 0, len(self))

    def part(self, at: int, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` of one column."""
        if self._places is None:
            return self._store.read(at, start, stop)
        places = self._places[start:stop]
        if not len(places):
            return np.empty(0)
        low, high = int(places.min()), int(places.max()) + 1
        # To read a few rows more costs less than to move so many places.
        low = 0 if low < high // 16 else low
        return self._store.read(at, low, high).take(places - low if low else places)


class FeatureRows:
    """Rows as LightGBM sees them: features of encoded rows, made block by block."""

    def __init__(
        self, rows: EncodedRows, features: Sequence[Feature] = (), given: Mapping[int, Floats] | None = None
    ) -> None:
        """Feature rows.

        Args:
            rows: Encoded.
            features: What is made of them; none: the columns themselves.
            given: By the feature's place: its values, ``(rows,)``, where they do not follow from its column.
        """
        self._rows = rows
        self._features = tuple(features) or tuple(Feature(column=at) for at in range(rows.width))
        self._given = given or {}
        self.width = len(self._features)
        self.block_rows = max(1, BLOCK_CELLS // max(1, self.width))

    def __len__(self) -> int:
        """How many rows."""
        return len(self._rows)

    @property
    def names(self) -> list[str]:
        """``f0 … fM``."""
        return [f"f{at}" for at in range(self.width)]

    def block(self, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop``, C-contiguous, shape ``(rows, features)``."""
        stop = min(stop, len(self))
        made = np.empty((max(0, stop - start), self.width))
        at, values = -1, np.empty(0)
        for place, feature in enumerate(self._features):
            if place in self._given:
                made[:, place] = self._given[place][start:stop]
                continue
            if feature.column != at:
                at, values = feature.column, self._rows.part(feature.column, start, stop)
            made[:, place] = values if feature.part is Part.VALUE else derive(values, feature)
        return made

    def blocks(self) -> Iterator[Floats]:
        """All rows, block by block."""
        for start in range(0, len(self), self.block_rows):
            yield self.block(start, start + self.block_rows)

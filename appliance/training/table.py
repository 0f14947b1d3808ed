"""The raw rows of a snapshot, a column at a time: rows that memory could not hold stay in their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Places = NDArray[np.int64]
Read = Callable[[str], pl.Series]
"""Reads one column by its name, all rows of it."""

Head = Callable[[int], pl.DataFrame]
"""Reads the first rows, all columns of them."""

AHEAD_CELLS = 1_000_000
"""Rows times columns that are read from files at a time: 8 MB of numbers."""


class Table:
    """Columns by name, each read when it is asked for."""

    def __init__(
        self, schema: Mapping[str, pl.DataType], rows: int, read: Read, head: Head, *, places: Places | None = None
    ) -> None:
        """A table.

        Args:
            schema: The columns' names and types.
            rows: How many rows ``read`` gives.
            read: Where the columns come from.
            head: Where the first rows come from.
            places: The rows that belong to it, in this order; None: all.
        """
        self.schema = dict(schema)
        self.columns = list(schema)
        self.height = rows if places is None else len(places)
        self._rows = rows
        self._read = read
        self._head = head
        self._places = places

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """The columns of a frame."""
        return cls(frame.schema, frame.height, frame.get_column, frame.head)

    @classmethod
    def scan(cls, rows: pl.LazyFrame, *, height: int) -> Self:
        """Columns that are read from files, as many rows as ``height``."""
        names = rows.collect_schema()

        def head(count: int) -> pl.DataFrame:
            return rows.head(count).collect()

        return cls(names, height, ColumnReader(rows, names.names(), height), head)

    def __len__(self) -> int:
        """How many rows."""
        return self.height

    def __getitem__(self, name: str) -> pl.Series:
        """One column; a KeyError's cousin of Polars when there is none."""
        series = self._read(name)
        return series if self._places is None else series.gather(self._places)

    def pick(self, places: Places) -> Table:
        """The rows at those places, in their order."""
        found = places if self._places is None else self._places[places]
        return Table(self.schema, self._rows, self._read, self._head, places=found)

    def head(self, count: int) -> pl.DataFrame:
        """The first rows, at most so many, without reading the others; all columns."""
        if self._places is None:
            return self._head(count)
        places = self._places[:count]
        last = int(places.max(initial=-1))
        if last < 10 * count:
            return self._head(last + 1)[places]
        return self.pick(np.arange(len(places))).frame(self.columns)

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        """Some of the columns, in memory: for few rows."""
        return pl.DataFrame([self[name] for name in names])


class ColumnReader:
    """Reads columns from files, those behind the one that was asked for with it where they have few rows.

    Each look at a file begins with the names of all its columns: one look a column takes an hour of ten thousand.
    """

    def __init__(self, rows: pl.LazyFrame, names: Sequence[str], height: int) -> None:
        """A reader of all columns, whose names are ``names``, of ``height`` rows each."""
        self._rows = rows
        self._names = names
        self._places = {name: at for at, name in enumerate(names)}
        self._width = max(1, AHEAD_CELLS // max(1, height))
        self._start, self._held = 0, pl.DataFrame()

    def __call__(self, name: str) -> pl.Series:
        """One column."""
        place = self._places.get(name)
        if self._width == 1 or place is None:
            return self._rows.select(name).collect().to_series()
        if not 0 <= place - self._start < self._held.width:
            try:
                self._held = self._rows.select(self._names[place : place + self._width]).collect()
            except pl.exceptions.PolarsError:  # one of them is broken: the others are still to be had
                return self._rows.select(name).collect().to_series()
            self._start = place
        return self._held.to_series(place - self._start)


RawRows = pl.DataFrame | Table
"""Raw rows: ``columns``, ``height`` and a column by its name."""


def in_turn(rows: RawRows, names: Sequence[str]) -> Iterator[tuple[str, pl.Series]]:
    """Each of those columns by its name; a long one is read while the caller looks at the one before it.

    Until the last one is given, nobody else may read of these rows.
    """
    if not names or len(rows) < AHEAD_CELLS:
        yield from ((name, rows[name]) for name in names)
        return

    def read(name: str) -> pl.Series:
        return rows[name].rechunk()  # in one piece, as whoever encodes it needs it

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as beside:
        ahead = beside.submit(read, names[0])
        for name, after in zip(names, (*names[1:], None), strict=True):
            series = ahead.result()
            if after is not None:
                ahead = beside.submit(read, after)
            yield name, series
            del series  # or three would be held

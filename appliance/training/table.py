"""The raw rows of a snapshot, a column at a time: rows that memory could not hold stay in their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Places = NDArray[np.int64]
Read = Callable[[str], pl.Series]
"""Reads one column by its name, all rows of it."""


class Table:
    """Columns by name, each read when it is asked for and not kept."""

    def __init__(self, columns: Sequence[str], rows: int, read: Read, *, places: Places | None = None) -> None:
        """A table.

        Args:
            columns: Their names.
            rows: How many rows ``read`` gives.
            read: Where the columns come from.
            places: The rows that belong to it, in this order; None: all.
        """
        self.columns = list(columns)
        self.height = rows if places is None else len(places)
        self._rows = rows
        self._read = read
        self._places = places

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """The columns of a frame."""
        return cls(frame.columns, frame.height, frame.get_column)

    @classmethod
    def scan(cls, rows: pl.LazyFrame, *, height: int) -> Self:
        """Columns that are read from files, as many rows as ``height``."""

        def read(name: str) -> pl.Series:
            return rows.select(name).collect().to_series()

        return cls(rows.collect_schema().names(), height, read)

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
        return Table(self.columns, self._rows, self._read, places=found)

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        """Some of the columns, in memory: for few rows."""
        return pl.DataFrame([self[name] for name in names])


RawRows = pl.DataFrame | Table
"""Raw rows: ``columns``, ``height`` and a column by its name."""

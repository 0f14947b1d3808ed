"""The interval around a regression's value: two more boosters, of the quantiles that its declaration names."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.serving.lightgbm_c import Booster, SingleRow

FILES = ("interval_low.txt", "interval_high.txt")
"""Their texts in a bundle."""


class Interval:
    """The lower and the upper end; where the two boosters cross, the ends change places. Safe in any thread."""

    def __init__(self, low: bytes, high: bytes) -> None:
        self.boosters = (Booster(low), Booster(high))
        self._pack = struct.Struct(f"{self.boosters[0].columns}d")
        self._rows = threading.local()

    def matrix(self, features: NDArray[np.float64], *, threads: int) -> list[float]:
        """Flat ``low, high, low, …`` of rows as LightGBM sees them, bit for bit as ``row`` gives each."""
        ends = np.column_stack([one.predict(features, threads=threads, raw=False).ravel() for one in self.boosters])
        ends.sort(axis=1)
        found: list[float] = ends.ravel().tolist()
        return found

    def row(self, features: Sequence[float]) -> list[float]:
        """Low and high of one row."""
        singles: tuple[SingleRow, ...] | None = getattr(self._rows, "singles", None)
        if singles is None:
            singles = self._rows.singles = tuple(one.single_row(raw=False) for one in self.boosters)
        ends = []
        for single in singles:
            self._pack.pack_into(single.buffer, 0, *features)
            ends += single.predict()
        ends.sort()
        return ends

"""Columns that a study of columns together leaves out: one of them would decide it alone and hide the others. Pure.

What is wrong with such a column is told by its own drift and data quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.schema import Column, Kind

Floats = NDArray[np.float64]

LARGEST = 1e100
"""The square of a larger value, or a sum of such squares, leaves the range of a float64 soon."""


def find_unfit(reference: Floats, current: Floats, columns: tuple[Column, ...]) -> dict[str, str]:
    """Name of each column that tells nothing about how columns hang together, and why.

    Args:
        reference: Encoded rows, shape ``(n, columns)``.
        current: Likewise.
        columns: Names and kinds.
    """
    found = {}
    for at, column in enumerate(columns):
        reasons = (_why(values[:, at], column, when) for values, when in ((reference, "in training"), (current, "now")))
        if reason := next(filter(None, reasons), None):
            found[column.name] = reason
    return found


def _why(values: Floats, column: Column, when: str) -> str | None:
    present = values[~np.isnan(values)]
    if not len(present):
        return f"it has no values {when}"
    if (np.abs(present) > LARGEST).any():
        return f"it has infinite values or values beyond {LARGEST:.0e} {when}"
    if (present == present[0]).all() and len(values) == len(present):
        unseen = column.kind is Kind.CATEGORY and present[0] < 0
        return f"it has {'only categories that training lacks' if unseen else 'one value alone'} {when}"
    return None

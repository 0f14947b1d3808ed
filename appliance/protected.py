"""Protected columns that are no inputs: what an event keeps of them as text, read back as the column's kind.

Callers may send them beside the inputs (``RowEncoder.encode``); no prediction ever depends on them.
"""

from __future__ import annotations

import math

from appliance.encoder import MISSING_TEXT, UNSEEN, read_instant
from appliance.schema import Column, Kind

_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def encode_group(text: str, column: Column) -> float | None:
    """A value's text as ``Kind`` encodes it, NaN where it is missing; None when it is no value of the column."""
    if text == MISSING_TEXT:
        return math.nan
    try:
        match column.kind:
            case Kind.CATEGORY:
                return float(column.levels.index(text)) if text in column.levels else UNSEEN
            case Kind.BOOLEAN:
                return _BOOLEANS.get(text.lower())
            case Kind.DATETIME:
                return read_instant(text)
            case Kind.NUMBER:
                number = float(text)
                return number if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None


def read_group(text: str, column: Column) -> str | float | bool | None:
    """A value's text as a dataset holds it; None where it is missing or no value of the column."""
    if column.kind is Kind.CATEGORY:
        return text or None
    value = encode_group(text, column)
    if value is None or math.isnan(value):
        return None
    return value != 0.0 if column.kind is Kind.BOOLEAN else value

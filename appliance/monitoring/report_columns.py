"""Which columns or classes of a wide model a report tells in full, so that it stays below 1 MB. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.monitoring.data_quality_report import ColumnQuality
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.quality_report import ClassQuality
from appliance.monitoring.spans import State

MOST_COLUMNS = 250
"""Of each chapter: about 1 kB a column as JSON, half of that as HTML."""
_WORST = (State.ALARM, State.WARN, State.NOT_ENOUGH_DATA, State.OK)


def first_drifted(columns: Sequence[ColumnDrift]) -> Sequence[ColumnDrift]:
    """All of them as they are; of more than ``MOST_COLUMNS`` the worst, the largest psi first."""
    if len(columns) <= MOST_COLUMNS:
        return columns
    worst = sorted(columns, key=lambda one: (_WORST.index(one.state), -(one.psi or 0.0)))
    return worst[:MOST_COLUMNS]


def first_odd(columns: Sequence[ColumnQuality]) -> Sequence[ColumnQuality]:
    """All of them as they are; of more than ``MOST_COLUMNS`` the worst."""
    if len(columns) <= MOST_COLUMNS:
        return columns
    return sorted(columns, key=lambda one: _WORST.index(one.state))[:MOST_COLUMNS]


def first_classes(classes: Sequence[ClassQuality]) -> Sequence[ClassQuality]:
    """All of them as they are; of more than ``MOST_COLUMNS`` those with the most labelled rows."""
    if len(classes) <= MOST_COLUMNS:
        return classes
    return sorted(classes, key=lambda one: -one.now.rows)[:MOST_COLUMNS]


def left_out(count: int, what: str) -> str:
    """The sentence under a table that is not whole; empty where it is."""
    return f"And {count:,} more; {what}." if count > 0 else ""

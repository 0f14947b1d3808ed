"""What changed from one snapshot of a dataset to another: rows, columns, figures, distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.monitoring.drift_report import ColumnDrift, DatasetDrift
from storage.columns import ColumnInfo, Dtype
from storage.datasets import Snapshot
from storage.profile import ColumnProfile

SAME_MEAN = 1e-12
"""Means that differ by less, as a share of them or of the spread, are of the same values in another order."""

_KINDS = {Dtype.INT: Dtype.FLOAT, Dtype.DATE: Dtype.DATETIME}
"""Types that hold the same kind of values as another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """How a column differs between two snapshots; shares are 0 to 1, means None where there is none.

    Attributes:
        dtype: Old and new type.
        missing_share: Old and new share of missing values.
        mean: Old and new mean.
    """

    name: str
    dtype: tuple[Dtype, Dtype]
    missing_share: tuple[float, float]
    mean: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDiff:
    """What changed from one snapshot to another.

    Attributes:
        rows: Old and new count.
        added: Columns only the new one has.
        removed: Columns only the old one has.
        changed: Columns of both whose type, missing share or mean differ.
        distributions: The columns of both that hold the same kind of values, by the drift rule, the old snapshot being
            the reference.
        drift: The verdict over them.
    """

    dataset: str
    versions: tuple[int, int]
    rows: tuple[int, int]
    added: tuple[ColumnInfo, ...]
    removed: tuple[ColumnInfo, ...]
    changed: tuple[ColumnChange, ...]
    distributions: tuple[ColumnDrift, ...]
    drift: DatasetDrift


def changed_columns(old: Sequence[ColumnProfile], new: Sequence[ColumnProfile]) -> tuple[ColumnChange, ...]:
    """The columns of both whose figures differ."""
    has = {column.name: column for column in new}
    changes = [_change(column, has[column.name]) for column in old if column.name in has]
    return tuple(change for change in changes if change is not None)


def only_in(one: Snapshot, other: Snapshot) -> tuple[ColumnInfo, ...]:
    """The columns of one snapshot that the other lacks."""
    names = {column.name for column in other.columns}
    return tuple(column for column in one.columns if column.name not in names)


def _change(old: ColumnProfile, new: ColumnProfile) -> ColumnChange | None:
    change = ColumnChange(
        name=old.name,
        dtype=(old.dtype, new.dtype),
        missing_share=(old.missing / old.rows, new.missing / new.rows),
        mean=(old.mean, new.mean),
    )
    same = change.dtype[0] == change.dtype[1] and change.missing_share[0] == change.missing_share[1]
    return None if same and _have_one_mean(old, new) else change


def _have_one_mean(old: ColumnProfile, new: ColumnProfile) -> bool:
    """Whether the means are equal, but for the order in which the rows were added up."""
    if old.mean is None or new.mean is None:
        return old.mean is new.mean
    return math.isclose(old.mean, new.mean, rel_tol=SAME_MEAN, abs_tol=SAME_MEAN * (old.std or 0.0))


def comparable_columns(old: Snapshot, new: Snapshot) -> list[str]:
    """The columns of both whose distributions can be held against each other: texts are no numbers' drift."""
    kinds = {column.name: _KINDS.get(column.dtype, column.dtype) for column in new.columns}
    return [
        column.name for column in old.columns if kinds.get(column.name) is _KINDS.get(column.dtype, column.dtype)
    ]  # fmt: skip

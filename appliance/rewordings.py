"""Columns that are the target in other words: yes and no for 1 and 0, each value always beside the same one."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from storage.profile import ColumnProfile, TableProfile

MOST_VALUES = 100
MIN_ROWS_A_VALUE = 10
"""Fewer rows a value pair off by chance."""
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewording:
    """A column whose every value stands for one of the target; ``pairs`` are its value and the target's, as text."""

    column: str
    pairs: tuple[tuple[str, str], ...]
    rows: int

    def sentence(self, target: str) -> str:
        """What it means, and what to do."""
        told = ", ".join(f"{mine!r} for {its!r}" for mine, its in self.pairs[:SHOWN])
        more = " and so on" if len(self.pairs) > SHOWN else ""
        return (
            f"{self.column!r} is the target {target!r} in other words ({told}{more}) in all {self.rows} rows: a model "
            "would only copy it; exclude it, or leave it out with a query"
        )


def find_rewordings(rows: pl.LazyFrame, target: str, profile: TableProfile) -> list[Rewording]:
    """The columns that say the same as the target, in their order.

    Args:
        rows: The table.
        target: The column to predict; with more than ``MOST_VALUES`` values nothing is looked for.
        profile: Of the same table.
    """
    mine = next((column for column in profile.columns if column.name == target), None)
    if mine is None or not _is_scale(mine):
        return []
    alike = [
        column.name
        for column in profile.columns
        if column.name != target and _is_scale(column)
        and (column.distinct, column.missing) == (mine.distinct, mine.missing)
    ]  # fmt: skip
    if not alike:
        return []
    values = mine.distinct + (mine.missing > 0)
    counts = rows.select(pl.struct(name, target).n_unique().alias(name) for name in alike).collect()
    return [
        Rewording(column=name, pairs=_pairs(rows, name, target), rows=profile.rows)
        for name in alike
        if counts[name].item() == values
    ]


def _is_scale(column: ColumnProfile) -> bool:
    present = column.rows - column.missing
    return column.distinct_exact and 2 <= column.distinct <= min(MOST_VALUES, present // MIN_ROWS_A_VALUE)


def _pairs(rows: pl.LazyFrame, name: str, target: str) -> tuple[tuple[str, str], ...]:
    found = rows.select(name, target).drop_nulls().unique().sort(target).collect()
    return tuple((str(mine), str(its)) for mine, its in found.rows())

"""Which rows are fitted on, which decide when to stop, and which are held out for the metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

STOP_SHARE = 0.125
"""Share of the rows that are not held out which decide when to stop."""

FEWEST_STOP_ROWS = 10
"""With fewer rows to decide on, the fit does not stop early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row indices, disjoint, together all labelled rows; ``stop`` may be empty."""

    fit: NDArray[np.int64]
    stop: NDArray[np.int64]
    holdout: NDArray[np.int64]
    sentence: str


def split_by_time(times: pl.Series, *, holdout: float) -> Split | None:
    """The newest rows are held out, the newest of the others decide when to stop.

    Rows of one instant stay on one side; rows without a time count as the oldest.

    Args:
        times: Dates or datetimes, one a row.
        holdout: Share held out, in (0, 0.5].

    Returns:
        None when too many rows share an instant for both sides to have rows.
    """
    stamps = times.cast(pl.Datetime("us")).dt.epoch("us").fill_null(np.iinfo(np.int64).min).to_numpy()
    order = np.argsort(stamps, kind="stable").astype(np.int64)
    ordered = stamps[order]
    cut = _instant_start(ordered, round(len(order) * (1.0 - holdout)))
    if cut == 0:
        return None
    stop = _instant_start(ordered[:cut], round(cut * (1.0 - STOP_SHARE)))
    if stop == 0 or cut - stop < FEWEST_STOP_ROWS:
        stop = cut
    first_held = times[int(order[cut])]
    return Split(
        fit=order[:stop], stop=order[stop:cut], holdout=order[cut:],
        sentence=f"by time: the {len(order) - cut} rows from {first_held} on are held out, {cut} older rows train",
    )  # fmt: skip


def split_at_random(strata: NDArray[np.float64] | None, rows: int, *, holdout: float, seed: int) -> Split:
    """A seeded draw, within each class where there are classes.

    The draw of a row depends on its place and the seed only, so rows appended later leave nearly all earlier rows
    on the side where they were: a champion is hardly ever judged on rows it was fitted on.

    Args:
        strata: Class index a row, or None for regression.
        rows: How many.
        holdout: Share held out, in (0, 0.5].
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed).random(rows)
    groups = np.zeros(rows) if strata is None else strata
    fit: list[NDArray[np.int64]] = []
    stop: list[NDArray[np.int64]] = []
    held: list[NDArray[np.int64]] = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group).astype(np.int64)
        members = members[np.argsort(draw[members], kind="stable")]
        count = min(max(round(len(members) * holdout), 1), len(members) - 1) if len(members) > 1 else 0
        kept = len(members) - count
        stopping = round(kept * STOP_SHARE)
        held.append(members[:count])
        stop.append(members[count : count + stopping])
        fit.append(members[count + stopping :])
    fitted, stopped, held_out = (np.sort(np.concatenate(part)) for part in (fit, stop, held))
    if len(stopped) < FEWEST_STOP_ROWS:
        fitted, stopped = np.sort(np.concatenate([fitted, stopped])), stopped[:0]
    drawn = "at random within each class" if strata is not None else "at random"
    return Split(
        fit=fitted, stop=stopped, holdout=held_out,
        sentence=f"{drawn} (seed {seed}): {len(held_out)} rows are held out, {rows - len(held_out)} train",
    )  # fmt: skip


def _instant_start(ordered: NDArray[np.int64], index: int) -> int:
    """The first row of the instant that row ``index`` belongs to."""
    index = min(max(index, 0), len(ordered) - 1)
    return int(np.searchsorted(ordered, ordered[index], side="left"))

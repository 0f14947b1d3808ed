"""Fairness: what each group of a protected column is given, with intervals; small groups are shown, not judged."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.figures import figure
from appliance.model_evaluation import ErrorGroup, Fairness, Group, GroupErrors, Mean, Share

FEWEST_ROWS = 100
"""Rows a group needs to be compared: with fewer, ratios swing by chance."""

FOUR_FIFTHS = 0.8
MOST_GROUPS = 20
"""Groups that are shown; a protected number is cut into quartiles."""

Z = 1.96
_MISSING = "missing"

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]


def wilson(hits: int, rows: int) -> Share:
    """A share with its Wilson score interval at 95 % (Wilson, 1927)."""
    if rows == 0:
        return Share(rows=0, value=None, low=None, high=None)
    share, square = hits / rows, Z**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2)) / (1 + square / rows)
    return Share(rows=rows, value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def compare_groups(column: pl.Series, truth: Booleans, given: Booleans, *, outcome: str | None = None) -> Fairness:
    """Compare the groups of one protected column.

    Args:
        column: Its raw values, one a row; missing is a group of its own.
        truth: Whether the positive class is true.
        given: Whether it was given.
        outcome: Multiclass: the class that is meant by the positive one.
    """
    names = group_names(column)
    counted = names.alias("group").value_counts(sort=True).head(MOST_GROUPS)
    groups = tuple(_group(name, (names == name).to_numpy(), truth, given) for name in counted["group"].to_list())
    subject = repr(column.name) if outcome is None else f"{column.name!r}, for class {outcome!r}"
    title = column.name if outcome is None else f"{column.name} ({outcome})"
    what = "the positive class" if outcome is None else "it"
    judged = [group for group in groups if group.judged]
    if len(judged) < 2:
        return Fairness(
            column=title, groups=groups, difference=None, ratio=None, equalised_odds=None, flagged=False,
            sentence=f"{subject} has fewer than two groups of {FEWEST_ROWS} held-out rows; they are not compared",
        )  # fmt: skip
    rates = sorted((group.selected.value or 0.0, group.name) for group in judged)
    (least, poorest), (most, richest) = rates[0], rates[-1]
    ratio = least / most if most > 0 else None
    odds = max(_range([group.true_positive for group in judged]), _range([group.false_positive for group in judged]))
    flagged = ratio is not None and ratio < FOUR_FIFTHS
    verdict = "below the four-fifths rule" if flagged else "within the four-fifths rule"
    return Fairness(
        column=title, groups=groups, difference=most - least, ratio=ratio, equalised_odds=odds, flagged=flagged,
        sentence=f"{subject}: {least:.1%} of {poorest!r} and {most:.1%} of {richest!r} are given {what}, "
        f"a ratio of {'-' if ratio is None else f'{ratio:.2f}'}, {verdict}; equalised odds differ by {odds:.2f}",
    )  # fmt: skip


def compare_errors(column: pl.Series, error: Floats) -> GroupErrors:
    """Compare the errors of the groups of one protected column in a regression.

    Args:
        column: Its raw values, one a row; missing is a group of its own.
        error: Prediction - truth, shape ``(rows,)``.
    """
    names = group_names(column)
    counted = names.alias("group").value_counts(sort=True).head(MOST_GROUPS)
    groups = []
    for name in counted["group"].to_list():
        inside = error[(names == name).to_numpy()]
        groups.append(
            ErrorGroup(
                name=name, rows=len(inside), mae=_mean(np.abs(inside)), bias=_mean(inside),
                judged=len(inside) >= FEWEST_ROWS,
            )
        )  # fmt: skip
    ranked = sorted((group for group in groups if group.judged), key=lambda group: (group.mae.value, group.name))
    if len(ranked) < 2:
        sentence = f"{column.name!r} has fewer than two groups of {FEWEST_ROWS} held-out rows; they are not compared"
        return GroupErrors(column=column.name, groups=tuple(groups), ratio=None, flagged=False, sentence=sentence)
    best, worst = ranked[0], ranked[-1]
    ratio = worst.mae.value / best.mae.value if best.mae.value > 0 else None
    low, high = worst.mae.low, best.mae.high
    apart = low is not None and high is not None and low > high
    flagged = apart and (ratio is None or ratio > 1 / FOUR_FIFTHS)
    none = "as large" if worst.mae.value == 0 else "where the other has no error at all"
    said = none if ratio is None else f"{ratio:.2f} times as large"
    sentence = (
        f"{column.name!r}: predictions miss by {figure(best.mae.value)} on average for {best.name!r} and by "
        f"{figure(worst.mae.value)} for {worst.name!r}, {said}; on average {figure(best.bias.value, sign=True)} and "
        f"{figure(worst.bias.value, sign=True)} beside the truth"
    )
    return GroupErrors(column=column.name, groups=tuple(groups), ratio=ratio, flagged=flagged, sentence=sentence)


def _mean(values: Floats) -> Mean:
    mean = float(values.mean())
    if len(values) < 2:
        return Mean(value=mean, low=None, high=None)
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Mean(value=mean, low=mean - half, high=mean + half)


def group_names(column: pl.Series) -> pl.Series:
    """The group of each row in words: the value, or the quartile of a number with many values; missing is a group."""
    if column.dtype.is_numeric() and _has_many_values(column):
        labels, places = _quartiles(column)
        return pl.Series(column.name, labels, pl.Categorical).gather(places)
    return column.cast(pl.String).fill_null(_MISSING)


def group_codes(column: pl.Series) -> tuple[list[str], NDArray[np.integer]]:
    """The groups that have rows, by name, and the place among them of each row's; without a text for each row."""
    if column.dtype.is_numeric() and _has_many_values(column):
        labels, places = _quartiles(column)
        present = [label for label, rows in zip(labels, np.bincount(places), strict=False) if rows]
        levels = sorted(set(present))
        return levels, np.array([levels.index(label) if label in levels else -1 for label in labels])[places]
    names = group_names(column)
    found = names.unique().sort()
    return found.to_list(), names.cast(pl.Enum(found)).to_physical().to_numpy()


def _quartiles(column: pl.Series) -> tuple[list[str], NDArray[np.uint8]]:
    """The quartiles of a number in words, missing last, and which of them each row is in."""
    numbers = column.cast(pl.Float64).to_numpy()
    null = np.isnan(numbers)
    present = numbers[~null] if null.any() else numbers
    at = [round(share * (len(present) - 1)) for share in (0.25, 0.5, 0.75)]
    cuts = np.unique(np.partition(present, at)[at])
    edges = ["", *(f"{cut:g}" for cut in cuts.tolist()), ""]
    labels = [
        f"above {low}" if not high else f"up to {high}" if not low else f"{low} to {high}"
        for low, high in pairwise(edges)
    ]
    # Some comparisons of all rows are faster than one search a row.
    places = null.view(np.uint8) * np.uint8(len(labels))
    for cut in cuts:
        places += (numbers > cut).view(np.uint8)
    return [*labels, _MISSING], places


def _has_many_values(column: pl.Series) -> bool:
    """More than are shown one by one; mostly the first rows tell."""
    return column.head(1000).n_unique() > MOST_GROUPS or column.n_unique() > MOST_GROUPS


def _group(name: str, inside: Booleans, truth: Booleans, given: Booleans) -> Group:
    rows = int(inside.sum())
    positive, negative = inside & truth, inside & ~truth
    return Group(
        name=name, rows=rows, selected=wilson(int((inside & given).sum()), rows),
        true_positive=wilson(int((positive & given).sum()), int(positive.sum())),
        false_positive=wilson(int((negative & given).sum()), int(negative.sum())), judged=rows >= FEWEST_ROWS,
    )  # fmt: skip


def _range(shares: list[Share]) -> float:
    values = [share.value for share in shares if share.value is not None]
    return max(values) - min(values) if values else 0.0

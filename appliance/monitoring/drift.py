"""The drift rule, on counts: pure, no clock, no disk, no randomness.

A column has drifted when its psi is large (0.1 warn, 0.2 alarm) and larger than chance makes it at these row counts
(the noise floor). Either condition alone raises false alarms: the first on small windows, the second on large ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from appliance.monitoring.bins import EdgeBins, Floats, Ints, LevelBins
from appliance.monitoring.chi_square_tail import upper_quantile, upper_tail
from appliance.monitoring.drift_report import ColumnDrift, DatasetDrift, strongest
from appliance.monitoring.reference import ColumnReference
from appliance.monitoring.spans import Pair, State

WARN_PSI = 0.1
ALARM_PSI = 0.2
ALPHA = 0.001
"""How often chance alone may pass the noise floor."""
TOO_LARGE = "the window has values that are infinite or too large to be added up"
MIN_ROWS = 50
"""Fewer rows on either side are never 'no drift'."""
ALARM_SHARE = 0.3
"""From this share of drifted columns on, plain or by gain, the dataset is in alarm; from one column on, in warn."""


def population_stability_index(reference: Ints, current: Ints, *, smoothing: float = 0.5) -> float:
    """Population stability index of two histograms over the same bins.

    Sum of ``(q - p) * ln(q / p)`` over the bins that are non-empty in either sample, on shares smoothed by
    ``smoothing`` counts a bin; in nats, 0 when the shares are equal, no upper bound.

    Args:
        reference: Row counts a bin, shape ``(n_bins,)``, at least one row.
        current: Row counts over the same bins.
        smoothing: Counts added to each bin, > 0.
    """
    return float(_psi_terms(reference, current, smoothing=smoothing).sum())


def noise_floor(reference: Ints, current: Ints, *, alpha: float = ALPHA, reference_rows: float | None = None) -> float:
    """What psi exceeds by chance with probability ``alpha`` when nothing moved.

    ``chi2.ppf(1 - alpha, k - 1) * (1/n + 1/m)`` for k bins that are non-empty in either sample, n and m rows; 0 for
    one bin.

    Args:
        reference: Row counts a bin.
        current: Likewise.
        alpha: In (0, 1).
        reference_rows: n, where the reference tells less than its rows; see ``telling_rows``.
    """
    k = int(np.count_nonzero((reference > 0) | (current > 0)))
    if k < 2:
        return 0.0
    rows = float(reference.sum()) if reference_rows is None else reference_rows
    return upper_quantile(alpha, k - 1) * (1.0 / rows + 1.0 / float(current.sum()))


def telling_rows(reference: ColumnReference) -> float:
    """How many rows of fixed bins would tell as much as this reference does, at least one.

    Bins of categories are chosen by the reference's own counts: a level that has its own bin had luck, and the rarer
    ones lack what it has. And the mass of the unseen is known from the levels seen once alone, so the less, the larger
    it is: the variance of Good and Turing's estimate is that of ``1 - unseen share`` as many rows, or fewer. Half of
    those rows keeps false alarms of references of 100 rows at one in a thousand, measured on shuffled real tables.
    """
    rows = float(sum(reference.counts))
    bins = reference.bins
    if not isinstance(bins, LevelBins):
        return rows
    rarer, unseen = reference.counts[len(bins.codes)], reference.counts[bins.unseen]
    if not (rarer or unseen):
        return rows
    return max(1.0, rows * (1.0 - unseen / rows) / 2.0)


def held_counts(reference: ColumnReference, current: Ints) -> Ints:
    """The counts that a window is held against, shape ``(bins,)``.

    The unseen share of rows that are none of the reference's is Good and Turing's; that of the reference's own rows is
    0, and a window may have both: a table and the same one with new rows, a file scored again. How many are which is
    not known, so the unseen get the part of that mass with which psi is smallest: unseen and rarer in the window's
    proportion, as far as the mass reaches.

    Args:
        reference: Its counts, with the whole mass in the unseen.
        current: Counts over the same bins.
    """
    counts, bins = np.array(reference.counts, np.int64), reference.bins
    if not isinstance(bins, LevelBins):
        return counts
    rarer, unseen = len(bins.codes), bins.unseen
    supposed = int(counts[unseen]) if reference.supposed is None else reference.supposed
    of_both = int(current[rarer] + current[unseen])
    if supposed == 0 or of_both == 0:
        return counts
    both = int(counts[rarer] + counts[unseen])
    # (q - p) ln(q / p) falls until p = q, so with p + p' fixed the sum is least where both ratios are equal.
    like = (both + 1) * (int(current[unseen]) + 0.5) / (of_both + 1) - 0.5
    most = int(counts[unseen])
    near = {min(max(whole, most - supposed), most) for whole in (math.floor(like), math.ceil(like))}
    held = []
    for there in sorted(near):
        counts[rarer], counts[unseen] = both - there, there
        held.append(counts.copy())
    return min(held, key=lambda one: population_stability_index(one, current))


def jensen_shannon_distance(reference: Ints, current: Ints) -> float:
    """Jensen-Shannon distance of the raw shares: base 2, with the root, 0 … 1."""
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    return float(np.sqrt(max(0.0, (_kullback_leibler(p, middle) + _kullback_leibler(q, middle)) / 2)))


def hellinger_distance(reference: Ints, current: Ints) -> float:
    """Hellinger distance of the raw shares, ``sqrt(1 - sum sqrt(pq))``: 0 … 1."""
    p, q = reference / reference.sum(), current / current.sum()
    return float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(p * q).sum()))))


def chi_square(reference: Ints, current: Ints) -> tuple[float, float]:
    """Statistic and p-value of the two-sample contingency test (Pearson), over the bins that either side has.

    Without a correction for few rows; 0 and 1 for one bin.

    Args:
        reference: Row counts a bin, at least one row.
        current: Row counts over the same bins, at least one row.
    """
    table = np.vstack([reference, current])[:, (reference > 0) | (current > 0)].astype(np.float64)
    k = table.shape[1]
    if k < 2:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, upper_tail(statistic, k - 1)


def kolmogorov_smirnov(reference: Ints, current: Ints) -> float:
    """Largest difference of the cumulated shares of ordered bins: at most the D of the raw values."""
    return float(np.abs(_cumulated(reference) - _cumulated(current)).max(initial=0.0))


def wasserstein_distance(reference: Ints, current: Ints, centers: Floats) -> float:
    """Integral of ``|F - G|`` when each bin's rows lie at its center; ``centers`` ascends, one a bin."""
    gap = np.abs(_cumulated(reference) - _cumulated(current))[:-1]
    return float((gap * np.diff(centers)).sum())


def judge(psi: float, floor: float, *, reference_rows: int, current_rows: int) -> State:
    """The state by the rule."""
    if min(reference_rows, current_rows) < MIN_ROWS:
        return State.NOT_ENOUGH_DATA
    if psi < WARN_PSI or psi <= floor:
        return State.OK
    return State.ALARM if psi >= ALARM_PSI else State.WARN


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """KS D and normed Wasserstein distance, where they are defined; approximate where not of every raw value."""

    ks: float | None = None
    wasserstein: float | None = None
    approximate: bool = False


def column_drift(
    reference: ColumnReference, current: Ints, *, total: float = 0.0, exact: Distances | None = None
) -> ColumnDrift:
    """One column by the rule.

    Args:
        reference: Its bins and counts.
        current: Counts over the same bins.
        total: Sum of the current non-null values, of a column with numbers; NaN where there is none.
        exact: Distances of the raw values, where the caller has them; else they come from the counts, as lower bounds.
    """
    before = held_counts(reference, current)
    n, m = int(before.sum()), int(current.sum())
    shares = Pair(reference=_share(before[-1], n), current=_share(current[-1], m))
    rows = Pair(reference=n, current=m)
    if n == 0 or m == 0:
        side = "reference" if n == 0 else "window"
        return ColumnDrift(
            name=reference.name, kind=reference.kind, rows=rows, psi=None, noise_floor=None, js=None, wasserstein=None,
            ks=None, null_share=shares, unseen_share=0.0, moved_bin=None, state=State.NOT_ENOUGH_DATA,
            sentence=f"`{reference.name}`: the {side} has no rows.",
        )  # fmt: skip
    terms = _psi_terms(before, current)
    psi = float(terms.sum())
    floor = noise_floor(np.asarray(reference.counts, np.int64), current, reference_rows=telling_rows(reference))
    state = judge(psi, floor, reference_rows=n, current_rows=m)
    distances = exact or _distances(reference, current, total)
    most = int(terms.argmax()) if psi > 0 else None
    statistic, p_value = chi_square(before, current)
    return ColumnDrift(
        name=reference.name, kind=reference.kind, rows=rows, psi=psi, noise_floor=floor,
        js=jensen_shannon_distance(before, current), wasserstein=distances.wasserstein, ks=distances.ks,
        null_share=shares, unseen_share=_unseen(reference, current, m),
        moved_bin=None if most is None else reference.bins.labels()[most], state=state,
        sentence=_sentence(reference, before, current, state, most), hellinger=hellinger_distance(before, current),
        chi_square=statistic, p_value=p_value, approximate=distances.approximate,
        faults=() if math.isfinite(total) else (TOO_LARGE,),
    )  # fmt: skip


def dataset_drift(columns: Sequence[ColumnDrift], importance: Mapping[str, float] | None = None) -> DatasetDrift:
    """The verdict over all columns.

    Args:
        columns: Each with its state; those without enough data do not count.
        importance: Column name to gain, >= 0, on any scale.
    """
    judged = [column for column in columns if column.state is not State.NOT_ENOUGH_DATA]
    drifted = tuple(column.name for column in strongest(columns))
    if not judged:
        return DatasetDrift(state=State.NOT_ENOUGH_DATA, drifted_share=0.0)
    share = len(drifted) / len(judged)
    weighted = None
    if importance is not None:
        total = sum(importance.get(column.name, 0.0) for column in judged)
        weighted = sum(importance.get(name, 0.0) for name in drifted) / total if total > 0 else 0.0
    state = State.OK
    if drifted:
        state = State.ALARM if max(share, weighted or 0.0) >= ALARM_SHARE else State.WARN
    return DatasetDrift(state=state, drifted_share=share, weighted_share=weighted, drifted=drifted)


def _psi_terms(reference: Ints, current: Ints, *, smoothing: float = 0.5) -> Floats:
    filled = (reference > 0) | (current > 0)
    k = int(np.count_nonzero(filled))
    p = (reference + smoothing) / (reference.sum() + smoothing * k)
    q = (current + smoothing) / (current.sum() + smoothing * k)
    return np.where(filled, (q - p) * np.log(q / p), 0.0)


def _kullback_leibler(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())


def _cumulated(counts: Ints) -> Floats:
    return np.cumsum(counts) / max(1, int(counts.sum()))


def _distances(reference: ColumnReference, current: Ints, total: float) -> Distances:
    """From the counts of the ordered bins, nulls left out; both are lower bounds of the raw values' own."""
    if isinstance(reference.bins, LevelBins):
        return Distances()
    before, after = np.asarray(reference.counts[:-1], np.int64), current[:-1]
    summary = reference.summary
    if before.sum() == 0 or after.sum() == 0 or summary is None:
        return Distances()
    ks = kolmogorov_smirnov(before, after)
    if summary.std <= 0:
        return Distances(ks=ks, approximate=True)
    ordered = before.size if isinstance(reference.bins, EdgeBins) else before.size - 1
    with np.errstate(over="ignore", invalid="ignore"):
        moved = abs(total / int(after.sum()) - summary.mean)
        inside = wasserstein_distance(before[:ordered], after[:ordered], np.asarray(reference.centers[:ordered]))
        distance = float(np.fmax(inside, moved)) / summary.std
    return Distances(ks=ks, wasserstein=distance if math.isfinite(distance) else None, approximate=True)


def _unseen(reference: ColumnReference, current: Ints, rows: int) -> float:
    return _share(current[reference.bins.unseen], rows) if isinstance(reference.bins, LevelBins) else 0.0


def _share(count: int | np.int64, rows: int) -> float:
    return int(count) / rows if rows else 0.0


def _sentence(reference: ColumnReference, before: Ints, current: Ints, state: State, most: int | None) -> str:
    name = reference.name
    if state is State.NOT_ENOUGH_DATA:
        fewer = min(int(before.sum()), int(current.sum()))
        rows = "1 row is" if fewer == 1 else f"{fewer} rows are"
        return f"`{name}`: {rows} not enough to tell; {MIN_ROWS} are needed."
    if state is State.OK or most is None:
        return f"`{name}` has not moved beyond chance."
    was, now = before[most] / before.sum(), current[most] / current.sum()
    verb = "rose" if now > was else "fell"
    return f"`{name}` moved: {reference.bins.phrase(most)} {verb} from {_percent(was)} to {_percent(now)}."


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")

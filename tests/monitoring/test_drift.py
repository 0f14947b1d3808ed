"""The drift rule against figures computed independently; SciPy 1.17 where it has the formula."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from appliance.monitoring.distances import raw_distances
from appliance.monitoring.drift import (
    column_drift,
    dataset_drift,
    jensen_shannon_distance,
    judge,
    noise_floor,
    population_stability_index,
)
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.reference import ColumnReference, fit_column
from appliance.monitoring.spans import Pair, State
from appliance.schema import Column, Kind

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def counts(*values: int) -> Ints:
    return np.array(values, np.int64)


def number(values: Floats, name: str = "temp", kind: Kind = Kind.NUMBER) -> ColumnReference:
    return fit_column(Column(name=name, kind=kind), values)


def category(codes: Floats, levels: int) -> ColumnReference:
    return fit_column(Column(name="city", kind=Kind.CATEGORY, levels=tuple(f"L{i}" for i in range(levels))), codes)


def drift(reference: ColumnReference, values: Floats) -> ColumnDrift:
    counted = np.bincount(reference.bins.index(values), minlength=reference.bins.size)
    return column_drift(reference, counted, total=float(np.nansum(values)))


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        (counts(50, 30, 20), counts(20, 30, 50)),
        (counts(100, 0, 7), counts(0, 90, 3)),
        (counts(10, 10, 0), counts(1000, 900, 0)),
    ],
)
def test_psi_is_the_formula_written_out(reference: Ints, current: Ints) -> None:
    bins = [(int(a), int(b)) for a, b in zip(reference, current, strict=True) if a or b]
    n, m, k = sum(a for a, _ in bins), sum(b for _, b in bins), len(bins)
    expected = 0.0
    for a, b in bins:
        p, q = (a + 0.5) / (n + 0.5 * k), (b + 0.5) / (m + 0.5 * k)
        expected += (q - p) * math.log(q / p)
    assert population_stability_index(reference, current) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "k"), [(1000, 100, 10), (50, 50, 2), (10**6, 300, 21)])
def test_the_noise_floor_is_the_chi_square_quantile(n: int, m: int, k: int) -> None:
    reference, current = np.full(k, n // k), np.full(k, m // k)
    reference[0] += n - reference.sum()
    current[0] += m - current.sum()
    expected = stats.chi2.ppf(0.999, k - 1) * (1 / n + 1 / m)
    assert noise_floor(reference, current) == pytest.approx(expected, rel=1e-9)


def test_bins_empty_on_both_sides_do_not_count() -> None:
    few, many = (counts(40, 60), counts(45, 55)), (counts(40, 0, 60, 0), counts(45, 0, 55, 0))
    assert noise_floor(*few) == noise_floor(*many)
    assert population_stability_index(*few) == pytest.approx(population_stability_index(*many))


def test_js_is_scipys_in_base_two() -> None:
    reference, current = counts(50, 30, 20, 0), counts(5, 30, 0, 65)
    expected = jensenshannon(reference / 100, current / 100, base=2)
    assert jensen_shannon_distance(reference, current) == pytest.approx(expected, abs=1e-12)
    assert jensen_shannon_distance(counts(10, 0), counts(0, 7)) == pytest.approx(1.0)


def test_raw_distances_are_scipys() -> None:
    rng = np.random.default_rng(3)
    reference, current = rng.normal(0, 2, 900).round(1), rng.normal(0.5, 3, 700).round(1)
    found = raw_distances(reference, current)
    assert found.ks == pytest.approx(stats.ks_2samp(reference, current).statistic, abs=1e-12)
    expected = stats.wasserstein_distance(reference, current) / reference.std()
    assert found.wasserstein == pytest.approx(expected, rel=1e-9)


def test_distances_from_counts_are_lower_bounds_and_near() -> None:
    rng = np.random.default_rng(4)
    reference, current = rng.normal(0, 1, 20_000), rng.normal(0.8, 1, 20_000)
    binned, raw = drift(number(reference), current), raw_distances(reference, current)
    assert binned.ks is not None and raw.ks is not None
    assert binned.wasserstein is not None and raw.wasserstein is not None
    assert 0.85 * raw.ks <= binned.ks <= raw.ks + 1e-12
    assert 0.95 * raw.wasserstein <= binned.wasserstein <= raw.wasserstein + 1e-9


@pytest.mark.parametrize(
    ("psi", "floor", "rows", "state"),
    [
        (0.3, 0.1, 50, State.ALARM),
        (0.15, 0.1, 50, State.WARN),
        (0.3, 0.4, 50, State.OK),  # large, but chance does that
        (0.05, 0.001, 10**6, State.OK),  # beyond chance, but small
        (5.0, 0.1, 49, State.NOT_ENOUGH_DATA),
    ],
)
def test_the_rule(psi: float, floor: float, rows: int, state: State) -> None:
    assert judge(psi, floor, reference_rows=1000, current_rows=rows) is state


def test_quantile_bins_are_numpys_and_a_sentence_names_the_share_above_the_last() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(20, 5, 5000)
    reference = number(values)
    edges = np.quantile(values, np.arange(1, 10) / 10)
    expected = np.histogram(values, bins=[-np.inf, *edges, np.inf])[0]
    assert list(reference.counts[:-1]) == expected.tolist()
    current = np.concatenate((values[:2000], np.full(700, 40.0)))
    found = drift(reference, current)
    share = np.mean(current > edges[-1])
    assert found.state is State.ALARM
    assert found.sentence == (
        f"`temp` moved: the share above {edges[-1]:.6g} rose from 10 % to {share:.1%}.".replace("%.", " %.")
    )
    assert found.moved_bin == f"> {edges[-1]:.6g}"


def test_few_values_are_counted_one_by_one() -> None:
    reference = number(np.repeat([1.0, 2.0, 4.0], [50, 30, 20]))
    assert reference.bins.labels() == ("1", "2", "4", "other", "missing")
    found = drift(reference, np.repeat([1.0, 3.0], [60, 40]))
    assert found.moved_bin == "other"
    assert found.state is State.ALARM


def test_a_point_mass_at_the_maximum_still_splits() -> None:
    rng = np.random.default_rng(6)
    values = np.concatenate((rng.random(400), np.full(9600, 5.0)))
    found = drift(number(values), np.concatenate((rng.random(300), np.full(700, 5.0))))
    assert found.state is State.ALARM


def test_levels_rarer_unseen_and_missing_have_bins_of_their_own() -> None:
    codes = np.concatenate((np.repeat([0.0, 1.0], 450), np.repeat(np.arange(2.0, 52.0), 2), [np.nan] * 100))
    reference = category(codes, 60)
    assert reference.bins.labels() == ("L0", "L1", "rarer", "unseen", "missing")
    assert reference.counts == (450, 450, 100, 0, 100)
    found = drift(reference, np.concatenate((np.repeat([0.0, 1.0], 400), [7.0] * 90, [-1.0] * 60, [np.nan] * 50)))
    assert found.rows == Pair(reference=1100, current=1000)
    assert found.unseen_share == 0.06
    assert found.null_share.current == 0.05
    assert found.sentence == "`city` moved: the share of categories the reference lacks rose from 0 % to 6 %."


def test_the_unseen_get_the_good_turing_mass_out_of_the_rarer() -> None:
    codes = np.concatenate((np.zeros(500), np.repeat(np.arange(1.0, 101.0), 2), np.arange(101.0, 401.0)))
    reference = category(codes, 401)
    assert reference.counts == (500, 200, 300, 0)


def test_an_id_like_column_does_not_drift_by_itself() -> None:
    reference = category(np.arange(5000.0), 5000)
    assert drift(reference, np.full(800, -1.0)).state is State.OK


def test_dates_read_as_dates() -> None:
    day = 86_400.0
    reference = number(np.arange(1000.0) * day, kind=Kind.DATETIME)
    found = drift(reference, (1000 + np.arange(200.0)) * day)
    assert found.moved_bin == "> 1972-06-18 02:24:00"


def test_no_rows_is_no_data_and_no_values_is_no_crash() -> None:
    reference = number(np.full(100, np.nan))
    assert drift(reference, np.array([])).state is State.NOT_ENOUGH_DATA
    assert drift(reference, np.array([1.0])).sentence == "`temp`: 1 row is not enough to tell; 50 are needed."
    assert drift(reference, np.full(100, np.nan)).state is State.OK
    back = drift(reference, np.ones(100))
    assert back.state is State.ALARM
    assert back.wasserstein is None


def test_the_dataset_is_in_alarm_by_share_or_by_gain() -> None:
    rng = np.random.default_rng(7)
    moved = [drift(number(rng.normal(size=2000), f"c{i}"), rng.normal(size=500) + (i == 0)) for i in range(10)]
    plain = dataset_drift(moved)
    assert (plain.state, plain.drifted_share, plain.weighted_share) == (State.WARN, 0.1, None)
    heavy = dataset_drift(moved, {"c0": 8.0, "c1": 2.0})
    assert (heavy.state, heavy.weighted_share, heavy.drifted) == (State.ALARM, 0.8, ("c0",))
    assert dataset_drift([]).state is State.NOT_ENOUGH_DATA


def test_of_many_values_the_edges_are_those_of_a_sample_and_the_counts_of_all() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=2_500_000)
    values[::5] = np.nan
    found = number(values)
    assert found == number(values), "the sample is always the same"
    assert sum(found.counts) == len(values)
    assert found.counts[-1] == 500_000
    shares = np.array(found.counts[:-1]) / 2_000_000
    assert np.abs(shares - 0.1).max() < 0.002  # six standard deviations of the difference of two edges
    assert found.summary is not None
    present = values[~np.isnan(values)]
    assert found.summary.mean == pytest.approx(present.mean(), abs=1e-12)
    assert (found.summary.minimum, found.summary.maximum) == (present.min(), present.max())
    below = [float((present <= point).mean()) for point in found.summary.quantiles]
    assert below == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95], abs=0.003)

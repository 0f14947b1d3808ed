"""The statistics against other libraries: SciPy where it has the formula, Evidently by golden figures, to 1e-9."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import stats
from scipy.spatial.distance import euclidean, jensenshannon

from appliance.monitoring import distances
from appliance.monitoring.compare import compare_frames
from appliance.monitoring.distances import raw_distances
from appliance.monitoring.drift import (
    chi_square,
    hellinger_distance,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from appliance.monitoring.reference import fit_column
from appliance.schema import Column, Kind

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

EXACT = 1e-9

# Evidently 0.7.23 (pandas 2): _psi, _jensenshannon, _hellinger_distance and _wasserstein_distance_norm with their
# defaults; rows 0 to 9,999 of tests/data/adult.parquet against those of 10,000 to 15,999 with education_num >= 9.
# Its psi puts 0.0001 into empty bins, so only columns without one are here.
EVIDENTLY_PSI = {
    "age": 0.007775087057758773, "hours_per_week": 0.006300822491065031, "sex": 2.747453294616055e-06,
    "race": 0.003353434832682369, "relationship": 0.0030736558159550334,
}  # fmt: skip
EVIDENTLY_JS = {
    "age": 0.03114493405056333, "hours_per_week": 0.027877693827088164, "education_num": 0.21622417289740442,
    "sex": 0.0005860303763058348, "race": 0.02041497320804437, "relationship": 0.019595282693553172,
}  # fmt: skip
EVIDENTLY_HELLINGER = {
    "age": 0.02130259679104797, "hours_per_week": 0.016393489667888884, "education_num": 0.20384990762970848,
    "sex": 0.0005860304018655006, "race": 0.0204442963229192, "relationship": 0.019598238469802395,
}  # fmt: skip
EVIDENTLY_WASSERSTEIN = {
    "age": 0.03405179108272767, "hours_per_week": 0.02946334027269672, "education_num": 0.2669691317363643,
}  # fmt: skip


@pytest.fixture(scope="module")
def sides() -> tuple[pl.DataFrame, pl.DataFrame]:
    adult = pl.read_parquet(Path(__file__).parents[1] / "data/adult.parquet")
    return adult[:10_000], adult[10_000:16_000].filter(pl.col("education_num") >= 9)


def sturges(reference: pl.Series, current: pl.Series, over: Floats) -> tuple[Ints, Ints]:
    edges = np.histogram_bin_edges(over, bins="sturges")
    return np.histogram(reference.to_numpy(), edges)[0], np.histogram(current.to_numpy(), edges)[0]


def values(reference: pl.Series, current: pl.Series) -> tuple[Ints, Ints]:
    known = pl.concat([reference, current]).unique().sort().to_list()
    return tuple(np.array([(side == one).sum() for one in known], np.int64) for side in (reference, current))  # type: ignore[return-value]


def evidentlys_bins(reference: pl.Series, current: pl.Series) -> tuple[Ints, Ints]:
    if reference.dtype.is_numeric() and reference.n_unique() > 20:
        return sturges(reference, current, pl.concat([reference, current]).to_numpy())
    return values(reference, current)


@pytest.mark.parametrize("column", sorted(EVIDENTLY_PSI))
def test_psi_is_evidentlys_over_its_bins(sides: tuple[pl.DataFrame, pl.DataFrame], column: str) -> None:
    before, after = evidentlys_bins(sides[0][column], sides[1][column])
    assert before.min() > 0
    assert after.min() > 0
    found = population_stability_index(before, after, smoothing=1e-9)
    assert found == pytest.approx(EVIDENTLY_PSI[column], abs=EXACT)


@pytest.mark.parametrize("column", sorted(EVIDENTLY_JS))
def test_the_other_distances_are_evidentlys(sides: tuple[pl.DataFrame, pl.DataFrame], column: str) -> None:
    before, after = sides[0][column], sides[1][column]
    js = jensen_shannon_distance(*evidentlys_bins(before, after))
    assert js * math.sqrt(math.log(2)) == pytest.approx(EVIDENTLY_JS[column], abs=EXACT), "base e there, base 2 here"
    bins = values(before, after)
    if before.dtype.is_numeric():  # its edges are those of the distinct values here
        bins = sturges(before, after, pl.concat([before, after]).unique().to_numpy())
    assert hellinger_distance(*bins) == pytest.approx(EVIDENTLY_HELLINGER[column], abs=EXACT)
    if column in EVIDENTLY_WASSERSTEIN:
        raw = raw_distances(before.cast(pl.Float64).to_numpy(), after.cast(pl.Float64).to_numpy())
        assert raw.wasserstein == pytest.approx(EVIDENTLY_WASSERSTEIN[column], abs=EXACT)


@pytest.mark.parametrize("seed", range(20))
def test_distances_of_counts_are_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bins = int(rng.integers(2, 60))
    before, after = (rng.integers(0, 500, bins) * (rng.random(bins) < 0.8) for _ in range(2))
    before[0] += 1
    after[-1] += 1
    p, q = before / before.sum(), after / after.sum()
    assert jensen_shannon_distance(before, after) == pytest.approx(jensenshannon(p, q, base=2), abs=EXACT)
    expected = euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2)
    assert hellinger_distance(before, after) == pytest.approx(expected, abs=EXACT)
    filled = np.vstack([before, after])[:, (before > 0) | (after > 0)]
    statistic, p_value = chi_square(before, after)
    theirs = stats.chi2_contingency(filled, correction=False)
    assert statistic == pytest.approx(theirs.statistic, rel=EXACT)
    assert p_value == pytest.approx(theirs.pvalue, rel=EXACT, abs=1e-300)
    centers = np.sort(rng.normal(size=bins))
    expected = stats.wasserstein_distance(centers, centers, before, after)
    assert wasserstein_distance(before, after, centers) == pytest.approx(expected, abs=EXACT)
    raw = stats.ks_2samp(np.repeat(centers, before), np.repeat(centers, after)).statistic
    assert kolmogorov_smirnov(before, after) == pytest.approx(raw, abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_distances_of_values_are_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.lognormal(0, 2, 1_500).round(2), rng.lognormal(0.2, 2, 900).round(2)
    found = raw_distances(before, after)
    assert found.ks == pytest.approx(stats.ks_2samp(before, after).statistic, abs=EXACT)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(before, after) / before.std(), rel=EXACT)


@pytest.mark.parametrize(("rows", "others"), [(300_000, 200_000), (distances.MOST_VALUES, 150_000)])
def test_distances_of_many_values_are_scipys_in_whatever_order(rows: int, others: int) -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=rows), rng.normal(0.01, 1, others).round(3)
    (column,) = compare_frames(pl.DataFrame({"x": before}), pl.DataFrame({"x": after})).columns
    assert column.ks == pytest.approx(stats.ks_2samp(before, after).statistic, abs=EXACT)
    expected = stats.wasserstein_distance(before, after) / before.std()
    assert column.wasserstein == pytest.approx(expected, rel=EXACT)
    same = raw_distances(before, rng.permutation(before))
    assert (same.ks, same.wasserstein) == (0.0, 0.0)
    assert column.to_json()["approximate"] is same.approximate is False


def test_beyond_that_the_distances_are_of_a_sample_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "MOST_VALUES", 50_000)
    rng = np.random.default_rng(4)
    hours = np.arange(240_000) % 24 + rng.random(240_000)  # a rhythm that a fixed step would follow
    after = rng.permutation(hours)[:120_000]
    found = raw_distances(hours, after)
    assert found.approximate is True
    assert found.ks == pytest.approx(0.0, abs=0.01)
    same = raw_distances(hours, hours)
    assert (same.ks, same.wasserstein, same.approximate) == (0.0, 0.0, True)
    distinct = raw_distances(np.arange(60_000.0), np.arange(60_000.0)[:50_000])
    assert distinct.ks == pytest.approx(1 / 6, abs=1e-3), "no value is taken twice"
    (column,) = compare_frames(pl.DataFrame({"x": hours}), pl.DataFrame({"x": after})).columns
    assert column.to_json()["approximate"] is True


def test_one_bin_tells_no_two_samples_apart() -> None:
    alone = np.array([0, 70, 0])
    assert chi_square(alone, alone * 3) == (0.0, 1.0)
    assert hellinger_distance(alone, alone * 3) == 0.0
    assert hellinger_distance(np.array([5, 0]), np.array([0, 9])) == 1.0


def test_a_comparison_reports_them_over_the_rules_bins(sides: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    report = compare_frames(sides[0].select("age"), sides[1].select("age"))
    (told,) = (column.to_json() for column in report.columns)
    before, after = (side["age"].cast(pl.Float64).to_numpy() for side in sides)
    bins = fit_column(Column(name="age", kind=Kind.NUMBER), before).bins
    counted = [np.bincount(bins.index(side), minlength=bins.size) for side in (before, after)]
    filled = np.vstack(counted)[:, counted[0] > 0]
    theirs = stats.chi2_contingency(filled, correction=False)
    assert told["chi_square"] == pytest.approx(theirs.statistic, rel=EXACT)
    assert told["p_value"] == pytest.approx(theirs.pvalue, rel=EXACT)
    p, q = (side / side.sum() for side in counted)
    assert told["hellinger"] == pytest.approx(euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2), abs=EXACT)
    assert told["js"] == pytest.approx(jensenshannon(p, q, base=2), abs=EXACT)
    assert told["ks"] == pytest.approx(stats.ks_2samp(before, after).statistic, abs=EXACT)

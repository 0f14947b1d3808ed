"""What holds for every pair of histograms and every way to cut a log into windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from appliance.monitoring.drift import (
    jensen_shannon_distance,
    kolmogorov_smirnov,
    noise_floor,
    population_stability_index,
)
from appliance.monitoring.reference import fit_reference, watched_outputs
from appliance.monitoring.service import SPACING, add_up, bucket_of, one_request, parse_service, quantiles
from appliance.monitoring.windows import Counter, parse_counts
from appliance.monitoring.windows import add_up as add_windows
from appliance.schema import Column, FeatureSchema, Kind, Task

Ints = npt.NDArray[np.int64]

histograms = st.integers(2, 15).flatmap(
    lambda size: st.tuples(
        *[hnp.arrays(np.int64, size, elements=st.integers(0, 10**6)).filter(lambda h: h.sum() > 0)] * 2
    )
)


@given(histograms)
def test_psi_is_never_negative_and_js_lies_in_the_unit_interval(pair: tuple[Ints, Ints]) -> None:
    assert population_stability_index(*pair) >= 0.0
    assert 0.0 <= jensen_shannon_distance(*pair) <= 1.0 + 1e-9
    assert 0.0 <= kolmogorov_smirnov(*pair) <= 1.0 + 1e-9
    assert noise_floor(*pair) >= 0.0


@given(histograms)
def test_equal_samples_give_zero(pair: tuple[Ints, Ints]) -> None:
    assert population_stability_index(pair[0], pair[0]) == 0.0
    assert jensen_shannon_distance(pair[0], pair[0]) < 1e-7
    assert kolmogorov_smirnov(pair[0], pair[0]) == 0.0


@given(histograms)
def test_swapping_the_sides_changes_nothing(pair: tuple[Ints, Ints]) -> None:
    before, after = pair
    for figure in (population_stability_index, noise_floor, jensen_shannon_distance):
        assert np.isclose(figure(before, after), figure(after, before), rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300), st.integers(1, 5))
def test_a_latency_quantile_is_within_two_percent_however_the_windows_are_cut(durations: list[int], parts: int) -> None:
    windows = [add_up(one_request(us, 1) for us in durations[i::parts]) for i in range(parts)]
    total = add_up(parse_service(window.dump()) for window in windows)
    assert (total.requests, total.max_us) == (len(durations), max(durations))
    for share, found in zip((0.5, 0.95, 0.99), quantiles(total, (0.5, 0.95, 0.99)), strict=True):
        exact = float(np.quantile(durations, share, method="inverted_cdf"))
        assert found is not None
        assert abs(found - exact) <= 0.02 * exact
    assert all(SPACING ** (bucket_of(us) - 1) * 0.999999 < us for us in durations if us > 1)


SCHEMA = FeatureSchema(
    model="m", version=1, task=Task.MULTICLASS, target="y", classes=("a", "b", "c"),
    columns=(
        Column(name="x", kind=Kind.NUMBER),
        Column(name="c", kind=Kind.CATEGORY, levels=("p", "q", "r")),
        Column(name="b", kind=Kind.BOOLEAN),
    ),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_windows_add_up_to_the_whole(rows: int, hours: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"x": rng.normal(size=200), "c": rng.choice(["p", "q", "r"], 200), "b": rng.random(200) < 0.5})
    outputs = rng.dirichlet(np.ones(3), 200)
    reference = fit_reference(
        frame, SCHEMA, outputs=outputs, labels=pl.Series(rng.choice(["a", "b", "c"], 200)), quality={}
    )
    counter = Counter(reference)
    matrix = np.column_stack(
        [rng.normal(size=rows), rng.integers(-1, 3, rows), rng.choice([0.0, 1.0, np.nan], rows)]
    ).astype(np.float64)
    given = watched_outputs(rng.dirichlet(np.ones(3), rows), SCHEMA)
    whole = counter.count(matrix, given, np.zeros(rows, np.int64))[0]
    cut = counter.count(matrix, given, rng.integers(0, hours, rows))
    total = add_windows(counter.empty(), (parse_counts(window.dump()) for window in cut.values()))
    assert total.rows == whole.rows == rows
    assert (total.cells == whole.cells).all()
    assert np.allclose(total.sums, whole.sums)
    assert all(cells.sum() == rows for _, cells, _ in counter.split(whole))

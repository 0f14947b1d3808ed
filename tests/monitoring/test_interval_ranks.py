"""Ranks and the normal quantile without SciPy are SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from appliance.monitoring.intervals import Z, ranks


@pytest.mark.parametrize("distinct", [1, 2, 7, 10_000])
def test_ranks_are_scipys(distinct: int) -> None:
    values = np.random.default_rng(distinct).integers(0, distinct, 500) / 3
    np.testing.assert_array_equal(ranks(values), rankdata(values))
    np.testing.assert_array_equal(ranks(values[:0]), rankdata(values[:0]))


def test_the_quantile_is_scipys() -> None:
    assert pytest.approx(float(norm.ppf(0.975)), abs=1e-14) == Z

"""The chi-square tail beside SciPy 1.17's, and what judging does not load."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import chdtrc, chdtri

from appliance.monitoring.chi_square_tail import upper_quantile, upper_tail

DEGREES = (1, 2, 3, 4, 5, 9, 10, 21, 51, 100, 257, 1000, 5001)
EXACT = 1e-11
SMALLEST = 1e-290
"""Below it SciPy's own figures lose digits."""


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_tail_is_scipys(degrees: int) -> None:
    for statistic in (0.0, *np.geomspace(1e-9, 5 * degrees + 1200, 80).tolist()):
        theirs = float(chdtrc(degrees, statistic))
        assert upper_tail(statistic, degrees) == pytest.approx(theirs, rel=EXACT, abs=SMALLEST)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("alpha", [1e-12, 1e-6, 0.001, 0.01, 0.05, 0.3, 0.5])
def test_the_quantile_is_scipys(alpha: float, degrees: int) -> None:
    assert upper_quantile(alpha, degrees) == pytest.approx(float(chdtri(degrees, alpha)), rel=EXACT)


@pytest.mark.parametrize("alpha", [0.9, 0.99, 0.999, 1 - 1e-6])
@pytest.mark.parametrize("degrees", DEGREES)
def test_a_quantile_that_nearly_everything_exceeds_is_found_too(alpha: float, degrees: int) -> None:
    assert upper_quantile(alpha, degrees) == pytest.approx(float(chdtri(degrees, alpha)), rel=1e-8)


def test_judging_loads_no_scipy() -> None:
    program = (
        "import sys, numpy as np\n"
        "from appliance.monitoring.drift import chi_square, noise_floor\n"
        "before, after = np.array([50, 30, 20]), np.array([20, 30, 50])\n"
        "assert noise_floor(before, after) > 0 and chi_square(before, after)[1] < 0.001\n"
        "assert 'scipy' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Figures in sentences: significant digits, no power of ten where people count in thousands."""

from __future__ import annotations

import pytest

from appliance.figures import figure


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (48.1622, 4, "48.16"),
        (0.0123456, 4, "0.01235"),
        (8294.31, 4, "8294"),
        (9999.4, 4, "9999"),
        (9999.6, 4, "10,000"),
        (17996.6, 4, "17,997"),
        (-2680.3, 3, "-2,680"),
        (-345.7, 3, "-346"),
        (1e15, 4, "1e+15"),
        (0.0, 4, "0"),
    ],
)
def test_a_figure_as_people_read_it(value: float, digits: int, said: str) -> None:
    assert figure(value, digits=digits) == said


def test_a_sign_on_demand() -> None:
    assert figure(12345.6, sign=True) == "+12,346"
    assert figure(-1.5, sign=True) == "-1.5"

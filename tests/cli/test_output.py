"""Figures as people read them on a terminal."""

from __future__ import annotations

import pytest

from appliance.cli.output import or_dash, show_value


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (48.156, "48.16"),
        (327.8, "327.8"),
        (23610.4, "23610"),
        (1e-5, "1e-05"),
    ],
)
def test_figures(number: float | None, shown: str) -> None:
    assert or_dash(number) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), (10000.0, "10000"), (-7.06, "-7.06"), ("Adelie", "Adelie")])
def test_least_and_greatest(value: float | str | None, shown: str) -> None:
    assert str(show_value(value)) == shown

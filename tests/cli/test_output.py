"""Figures as people read them on a terminal."""

from __future__ import annotations

import pytest

from appliance.cli.jobs import say_warnings
from appliance.cli.output import or_dash, show_value
from appliance.model_card import Warn


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


def test_a_training_says_its_first_warnings_and_where_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    say_warnings([Warn(column=f"c{at}", code="x", message=f"is odd {at}") for at in range(6)], "m")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  warning         c0: is odd 0"
    assert lines[-1] == "  1 more warning; run 'appliance card m'"
    assert len(lines) == 6

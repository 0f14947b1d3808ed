"""The column that orders the rows, as an input: by the calendar parts that came back and that nothing else says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from appliance.schema import Kind, Part
from appliance.training.calendar import recurring_parts, untold_parts, varying_parts
from appliance.training.propose import propose_spec
from tests.training.rows import bikes, fit, spec

HOUR_S, DAY_S = 3600.0, 86_400.0


def demand(days: int = 90, *, zone: str = "") -> pl.DataFrame:
    """Hourly demand that follows the hour of the day, and a temperature that says nothing."""
    start = datetime(2024, 3, 1, tzinfo=UTC)
    hours = np.arange(days * 24)
    noise = np.random.default_rng(4).normal(size=(2, len(hours)))
    when = [(start + timedelta(hours=int(hour))) for hour in hours]
    return pl.DataFrame(
        {
            "when": [f"{one:%Y-%m-%dT%H:%M:%S}{zone}" for one in when] if zone else when,
            "temp": noise[0],
            "load": 100 + 10 * np.sin(hours % 24 / 24 * 2 * np.pi) + noise[1],
        }
    )


@pytest.mark.parametrize(
    ("seconds", "parts"),
    [
        (np.arange(0, 1.9 * DAY_S, HOUR_S), ()),
        (np.arange(0, 3 * DAY_S, HOUR_S), (Part.HOUR,)),
        (np.arange(0, 20 * DAY_S, HOUR_S), (Part.HOUR, Part.WEEKDAY)),
        (np.arange(0, 20 * DAY_S, DAY_S), (Part.WEEKDAY,)),
        (np.arange(0, 20 * DAY_S, 7 * DAY_S), ()),
        (np.arange(0, 70 * DAY_S, DAY_S), (Part.WEEKDAY, Part.DAY)),
        (np.arange(0, 800 * DAY_S, DAY_S), (Part.WEEKDAY, Part.DAY, Part.DAY_OF_YEAR, Part.MONTH)),
        (np.array([np.nan, np.nan]), ()),
        (np.array([]), ()),
    ],
)
def test_a_part_is_learned_from_when_its_cycle_came_twice(seconds: np.ndarray, parts: tuple[Part, ...]) -> None:
    assert recurring_parts(seconds) == parts


def test_parts_that_vary_are_more_than_those_that_came_back() -> None:
    assert varying_parts(np.arange(0, 40 * DAY_S, DAY_S)) == (Part.WEEKDAY, Part.DAY, Part.DAY_OF_YEAR, Part.MONTH)


def test_a_part_that_another_column_says_by_any_name_is_told() -> None:
    frame = demand()
    assert untold_parts(frame, "when") == (Part.HOUR, Part.WEEKDAY)
    told = frame.with_columns(
        hr=pl.col("when").dt.hour(), name=pl.col("when").dt.strftime("%A"), nested=pl.lit([1.0, 2.0])
    )
    assert untold_parts(told, "when") == ()


@pytest.mark.parametrize("zone", ["", "+02:00"])
def test_a_proposal_takes_the_hour_of_the_day_and_the_model_learns_it(zone: str) -> None:
    frame = demand(zone=zone)
    proposal = propose_spec(spec("load"), frame)
    assert (proposal.spec.time, proposal.spec.columns) == ("when", {"when": Kind.DATETIME})
    (sentence,) = [one for one in proposal.sentences if "no other column says" in one]
    assert sentence.startswith("'when' is an input by its hour, weekday, which")
    model = fit(proposal.spec, frame)
    assert model.judgement.metrics["r2"] > 0.95
    assert fit(spec("load"), frame).judgement.metrics["r2"] < 0.1


def test_a_series_of_dates_and_one_value_is_learned_from_its_calendar() -> None:
    frame = demand().select("when", "load")
    proposal = propose_spec(spec("load"), frame)
    assert proposal.spec.columns == {"when": Kind.DATETIME}
    assert fit(proposal.spec, frame).judgement.metrics["r2"] > 0.95


def test_what_a_person_said_about_the_time_column_stands() -> None:
    frame = demand()
    said = propose_spec(spec("load", time="when", columns={"when": Kind.DATETIME}, encode={"when": "seconds"}), frame)
    assert not any("no other column says" in sentence for sentence in said.sentences)
    assert propose_spec(spec("load", exclude=("when",)), frame).spec.columns == {}


def test_the_bikes_need_nothing_of_their_timestamp() -> None:
    proposal = propose_spec(spec("cnt"), bikes())
    assert (proposal.spec.time, proposal.spec.columns) == ("ts", {})

"""What is left of a training by its own pace, and what one would take: the arithmetic is in the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.durations import REFIT, Between, Past, estimate, formula_s, time_left
from appliance.jobs import CurvePoint, JobProgress, LogLine
from appliance.model_spec import ModelSpec

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = ModelSpec(name="m", dataset="d", target="y", rounds=200, early_stopping=50)


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def log(*steps: tuple[float, str]) -> list[LogLine]:
    return [LogLine(at=after(at), level="INFO", message=message) for at, message in steps]


def progress(step: str, at: float, *, rounds: int = 0, best: int = 0) -> JobProgress:
    """A curve that falls until ``best`` and rises from there."""
    curve = tuple(
        CurvePoint(iteration=i, train=1.0, valid=abs(i - (best or rounds)) + 1.0) for i in range(1, rounds + 1)
    )
    return JobProgress(job_id="j", model="m", step=step, fraction=0.5, message="", curve=curve, updated_at=after(at))


@pytest.mark.parametrize(
    ("rounds", "best", "passed_s", "low_s", "high_s"),
    [
        # 40 rounds in 20 s are 0.5 s a round. Soonest: the best so far is 40, so 50 more; then 40 are refitted.
        (40, 40, 0, 50 * 0.5 + 40 * 0.5 * REFIT, 160 * 0.5 + 200 * 0.5 * REFIT),
        # The best was round 10: 20 more without an improvement end it, and 10 are refitted.
        (40, 10, 0, 20 * 0.5 + 10 * 0.5 * REFIT, 160 * 0.5 + 200 * 0.5 * REFIT),
        # What has passed since the job told something is taken off, and nothing is ever below zero.
        (40, 10, 4, 20 * 0.5 + 10 * 0.5 * REFIT - 4, 160 * 0.5 + 200 * 0.5 * REFIT - 4),
        (40, 10, 1000, 0, 0),
    ],
)
def test_the_rounds_tell_the_pace(rounds: int, best: int, passed_s: float, low_s: float, high_s: float) -> None:
    found = time_left(
        progress("fit", 30, rounds=rounds, best=best), log((0, "check: rows"), (10, "fit: rows")), SPEC,
        now=after(30 + passed_s),
    )  # fmt: skip
    assert found is not None
    assert (found.low_s, found.high_s) == pytest.approx((low_s, high_s))


@pytest.mark.parametrize(
    ("step", "at", "rounds"),
    [("fit", 30, 9), ("fit", 11.5, 40), ("fit", 30, 0), ("check", 30, 0), ("evaluate", 60, 40), ("register", 60, 40)],
)
def test_too_little_is_known_to_tell(step: str, at: float, rounds: int) -> None:
    found = time_left(
        progress(step, at, rounds=rounds), log((0, "check: rows"), (10, "fit: rows")), SPEC, now=after(at)
    )
    assert found is None


def test_the_refit_takes_as_long_as_its_rounds_took() -> None:
    steps = log((0, "check: rows"), (10, "fit: rows"), (30, "refit: all"))
    found = time_left(progress("refit", 30, rounds=40, best=20), steps, SPEC, now=after(33))
    assert found is not None
    assert found.low_s == found.high_s == pytest.approx(20 * 0.5 * REFIT - 3)


def test_a_search_goes_by_its_trials_and_ends_at_its_limit() -> None:
    spec = ModelSpec(name="m", dataset="d", target="y", budget="better", trials=10, time_limit="1m")
    steps = log((0, "check: rows"), (10, "search: trial 1 of at most 10: 1"), (20, "search: trial 2 of at most 10: 1"))
    found = time_left(progress("search", 20), steps, spec, now=after(20))
    # 10 s a trial; 8 trials would take 80 s, but the limit leaves 40.
    assert found == Between(low_s=20.0, high_s=40 + 10 * (1 + REFIT))
    assert time_left(progress("search", 10), steps[:2], spec, now=after(10)) is None


def test_more_rows_columns_classes_and_trials_take_longer() -> None:
    base = estimate(rows=10_000, columns=10, outputs=1, spec=SPEC)
    assert base.low_s < base.high_s
    searched = ModelSpec(name="m", dataset="d", target="y", budget="better")
    for more in (
        estimate(rows=1_000_000, columns=10, outputs=1, spec=SPEC),
        estimate(rows=10_000, columns=100, outputs=1, spec=SPEC),
        estimate(rows=10_000, columns=10, outputs=5, spec=SPEC),
        estimate(rows=10_000, columns=10, outputs=1, spec=searched),
    ):  # fmt: skip
        assert more.low_s > base.low_s
        assert more.high_s > base.high_s


def test_the_hosts_own_trainings_say_how_fast_it_is() -> None:
    def past(times: float) -> Past:
        usual = formula_s(50_000, 20, 1, 0)
        return Past(rows=50_000, columns=20, outputs=1, trials=0, seconds=usual * times)

    # The median counts: one that stood still for an hour does not.
    slow = estimate(rows=50_000, columns=20, outputs=1, spec=SPEC, past=[past(3), past(3), past(900)])
    assert slow.low_s < 3 * formula_s(50_000, 20, 1, 0) < slow.high_s
    unknown = estimate(rows=50_000, columns=20, outputs=1, spec=SPEC)
    assert slow.high_s / slow.low_s < unknown.high_s / unknown.low_s


def test_a_search_is_no_longer_than_its_limit_and_the_fits_after_it() -> None:
    spec = ModelSpec(name="m", dataset="d", target="y", budget="best", time_limit="10m")
    found = estimate(rows=100_000_000, columns=100, outputs=1, spec=spec)
    assert found.low_s == 600
    assert found.high_s > 600

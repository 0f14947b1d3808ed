"""Days with too few rows to judge their data quality hide no later day, and cost an idle look nothing."""

from __future__ import annotations

import sqlite3
import time

import numpy as np
import pytest

from appliance.monitoring.evaluation import MOST_DAYS
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.quiet_days import QuietDays
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.alert_rows import find_standing
from storage.bundles import bundle_path
from storage.errors import StorageError
from tests.monitoring.traffic import DAY_US, START_US, Traffic, encoded_rows

FEW = 10
TODAY_US = int(time.time()) // 86_400 * DAY_US


def answer(traffic: Traffic, day: int, rows: int, *, unseen: bool = False, start_us: int = START_US) -> None:
    """Requests of one day; unseen: half of them with a season that training never had."""
    sent = encoded_rows(np.random.default_rng(abs(day)), rows)
    if unseen:
        sent[: rows // 2, 1] = -1.0
    traffic.predict(sent, event_us=start_us + day * DAY_US)


def alerts(settings: Settings) -> list[str]:
    return [one.state.value for one in Monitoring(settings).alerts() if one.subject == "data_quality"]


def statements(watch: Watch) -> list[str]:
    """What an idle look asks the database."""
    seen: list[str] = []
    watch.connection.set_trace_callback(seen.append)
    assert watch_once(watch).idle
    watch.connection.set_trace_callback(None)
    return seen


@pytest.mark.parametrize("quiet", [MOST_DAYS - 1, MOST_DAYS, 3 * MOST_DAYS])
def test_days_after_any_number_of_quiet_ones_are_judged(
    quiet: int, watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    for day in range(quiet + 4):
        answer(traffic, day, FEW if day < quiet else 300, unseen=True)
    watch_once(watch)
    watch_once(watch)
    assert alerts(settings) == ["alarm"]


def test_an_idle_look_asks_no_more_after_many_quiet_days(watch: Watch, traffic: Traffic) -> None:
    answer(traffic, 0, FEW)
    answer(traffic, 1, FEW)
    watch_once(watch)
    after_one = statements(watch)
    assert not any("SELECT counts FROM data_quality_windows" in one for one in after_one)
    for day in range(2, 3 * MOST_DAYS):
        answer(traffic, day, FEW)
    for _ in range(3):  # drift of as many days is judged
        watch_once(watch)
    assert find_standing(watch.connection, "rent", "data_quality") is None
    assert len(statements(watch)) == len(after_one)


def test_a_quiet_day_is_judged_once_more_rows_of_it_have_come(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    for day in range(4):
        answer(traffic, day, FEW, unseen=True)
    watch_once(watch)
    for day in (1, 2):
        answer(traffic, day, 300, unseen=True)
        watch_once(watch)
    assert alerts(settings) == ["alarm"]


def test_days_of_a_bundle_that_is_back_are_judged(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    for day in range(3):
        answer(traffic, day, 300, unseen=True)
    watch_once(watch)
    answer(traffic, 3, FEW)
    reference = bundle_path(settings.layout, "rent", 1) / "reference.json"
    content = reference.read_bytes()
    watch.connection.execute("DELETE FROM alerts")
    watch.connection.execute("DELETE FROM standings")
    reference.unlink()
    other = Watch(settings.layout)
    watch_once(other)
    assert alerts(settings) == []
    reference.write_bytes(content)
    watch_once(other)
    other.close()
    assert alerts(settings) == ["alarm"]


def test_days_are_judged_again_after_the_clock_was_set_right(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    for day in (3_650, 3_651, 3_652):
        answer(traffic, day, FEW if day == 3_652 else 300, start_us=TODAY_US)
    watch_once(watch)
    for day in (-3, -2, -1, 0):
        answer(traffic, day, 300, unseen=True, start_us=TODAY_US)
        watch_once(watch)
    standing = find_standing(watch.connection, "rent", "data_quality")
    assert standing is not None
    assert standing.day == TODAY_US // DAY_US - 1
    assert alerts(settings) == ["alarm"]


@pytest.mark.parametrize(
    ("hours", "new", "open_again"),
    [(24, 5, {5}), (25, 5, {5, 6}), (72, 5, {5, 6, 7}), (72, 9, {9}), (24, 20, set())],
)
def test_a_new_row_reopens_the_days_whose_window_has_it(hours: int, new: int, open_again: set[int]) -> None:
    days = QuietDays(hours)
    for day in range(10):
        days.add(day)
    days.until = 9
    days.reopen(new)
    assert {day for day in range(10) if day not in days} == open_again
    assert days.until == min(9, new - 1)


def test_a_judged_day_passes_those_before_it() -> None:
    days = QuietDays(24)
    days.add(3)
    days.add(7)
    days.unread = {1: 2, 2: 6}
    days.forget(5)
    assert (days.until, 3 in days, 7 in days, days.unread) == (5, False, True, {2: 6})


def test_a_day_whose_verdict_could_not_be_written_is_judged_again(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    for day in range(4):
        answer(traffic, day, 300, unseen=True)
    watch.connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON alerts WHEN NEW.subject = 'data_quality' "
        "BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    for _ in range(2):
        with pytest.raises((StorageError, sqlite3.Error)):
            watch_once(watch)
    watch.connection.execute("DROP TRIGGER full")
    watch_once(watch)
    assert alerts(settings) == ["alarm"]

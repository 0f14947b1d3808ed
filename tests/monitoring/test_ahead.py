"""What a clock that ran ahead wrote does not hide what happens after it was set right."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np

from appliance.monitoring.alerts import Alert
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.processes.doctor_state import check_ahead
from appliance.settings import Settings
from storage.alert_rows import find_standing
from tests.monitoring.traffic import DAY_US, Traffic, encoded_rows

TODAY_US = int(time.time()) // 86_400 * DAY_US
YEARS = 3_650
WINDOW_S = 7 * 86_400


def answer(traffic: Traffic, day: int, *, shift: float = 0.0) -> None:
    """Requests of one day from today, dated and arrived on it."""
    at = TODAY_US + day * DAY_US
    traffic.predict(encoded_rows(np.random.default_rng(day + 10), 120, shift=shift), event_us=at)


def drifts(settings: Settings) -> list[Alert]:
    return [alert for alert in Monitoring(settings).alerts() if alert.subject == "drift"]


def test_spans_end_at_what_is_not_ahead(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    for day in (-2, -1, YEARS, YEARS + 1):
        answer(traffic, day)
    watch_once(watch)
    monitoring = Monitoring(settings)
    for window in (
        monitoring.drift("rent", WINDOW_S).window, monitoring.quality("rent", WINDOW_S).window,
        monitoring.latency("rent", WINDOW_S).window, monitoring.traffic("rent", WINDOW_S).window,
        monitoring.data_quality("rent", WINDOW_S).window,
    ):  # fmt: skip
        assert TODAY_US - DAY_US < window.end.timestamp() * 1e6 <= TODAY_US
    assert monitoring.latency("rent", WINDOW_S).total.count == 2
    ahead = datetime.fromtimestamp(TODAY_US / 1e6 + (YEARS + 2) * 86_400, UTC)
    assert monitoring.drift("rent", WINDOW_S, until=ahead).window.end == ahead, "it is there for who asks"


def test_with_nothing_but_such_events_they_are_the_newest(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    answer(traffic, YEARS)
    watch_once(watch)
    assert Monitoring(settings).drift("rent", WINDOW_S).window.end.timestamp() * 1e6 > TODAY_US + YEARS * DAY_US


def test_days_are_judged_again_after_the_clock_was_set_right(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    """The ahead days are judged while there is nothing else; real ones that drift open an alert all the same."""
    for day in (YEARS, YEARS + 1, YEARS + 2):
        answer(traffic, day)
    watch_once(watch)
    assert drifts(settings) == []
    for day in (-3, -2):
        answer(traffic, day, shift=8.0)
        watch_once(watch)
    answer(traffic, -1, shift=8.0)
    watch_once(watch)
    answer(traffic, 0)
    watch_once(watch)
    standing = find_standing(watch.connection, "rent", "drift")
    assert standing is not None
    assert standing.day == TODAY_US // DAY_US - 1
    (alert,) = drifts(settings)
    assert alert.closed_at is None


def test_doctor_says_how_many_lie_ahead(watch: Watch, traffic: Traffic) -> None:
    answer(traffic, -1)
    watch_once(watch)
    assert check_ahead(watch.connection) == []
    answer(traffic, YEARS)
    watch_once(watch)
    (check,) = check_ahead(watch.connection)
    assert (check.state, check.name) == ("warn", "events ahead")
    assert check.message.startswith("120 predictions of rent are dated more than 24 h ahead of the clock, up to 20")
    assert "timedatectl" in check.fix

"""An alert opens when a state holds for two judged days in a row, and closes when it is gone for two."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from appliance.access import Access
from appliance.errors import NotFound
from appliance.monitoring.alerts import Alert, Standing
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from tests.monitoring.traffic import DAY_US, HOUR_US, START, START_US, Traffic, encoded_rows

OK, WARN, ALARM, NO_DATA = State.OK, State.WARN, State.ALARM, State.NOT_ENOUGH_DATA


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        ([ALARM], OK),
        ([ALARM, OK, ALARM], OK),
        ([ALARM, ALARM], ALARM),
        ([WARN, ALARM], WARN),  # two windows at least that bad
        ([WARN, ALARM, ALARM], ALARM),
        ([ALARM, NO_DATA, ALARM], ALARM),  # no data says nothing
        ([ALARM, ALARM, OK], ALARM),
        ([ALARM, ALARM, OK, OK], OK),
        ([ALARM, ALARM, OK, WARN], WARN),
    ],
)
def test_a_state_settles_after_two_windows(found: list[State], settled: State) -> None:
    standing = Standing()
    for state in found:
        standing = standing.after(state)
    assert standing.settled is settled


def replay(traffic: Traffic, shifts: list[float], *, first: int = 0, labelled: float | None = None) -> None:
    """One day a shift; ``labelled``: the error's standard deviation."""
    rng = np.random.default_rng(first)
    for day, shift in enumerate(shifts, start=first):
        rows = encoded_rows(rng, 120, shift=shift)
        at = START_US + day * DAY_US
        token = traffic.predict(rows, event_us=at)
        if labelled is not None:
            truth = rows[:, 0] * 2 + rng.normal(0, labelled, len(rows))
            for i, value in enumerate(truth.tolist()):
                traffic.label(f"{token}.{i}", value, label_us=at, at_us=at)


def found(settings: Settings, subject: str) -> list[Alert]:
    return [alert for alert in Monitoring(settings).alerts() if alert.subject == subject]


def test_drift_opens_one_alert_and_recovery_closes_it(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    replay(traffic, [0, 0, 8, 0, 0, 8, 8, 8])
    watch_once(watch)
    (alert,) = found(settings, "drift")
    assert alert.state is ALARM
    assert alert.closed_at is None
    assert alert.message.startswith("1 of 3 columns moved. `temp` moved: the share above 26.")
    replay(traffic, [0, 0, 0], first=8)
    watch_once(watch)
    (alert,) = found(settings, "drift")
    assert alert.closed_at is not None
    assert {alert.subject for alert in Monitoring(settings).alerts()} == {"drift", "prediction"}
    assert Monitoring(settings).alerts(open_only=True) == []


def test_alerts_do_not_depend_on_how_the_log_was_read(settings: Settings, traffic: Traffic) -> None:
    shifts = [0, 8, 8, 0, 0, 8, 8, 8, 0, 0, 0]
    stepwise = Watch(settings.layout)
    for day, shift in enumerate(shifts):
        replay(traffic, [shift], first=day)
        watch_once(stepwise)
        watch_once(stepwise)
    stepwise.close()
    alerts = found(settings, "drift")
    assert [alert.closed_at is not None for alert in alerts] == [True, True]
    assert len({alert.opened_at for alert in alerts}) == 2


def test_quality_opens_an_alert_once_labels_cover_the_days(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    replay(traffic, [0, 0, 0], labelled=1.0)
    replay(traffic, [0, 0, 0], first=3, labelled=3.0)
    watch_once(watch)
    (alert,) = Monitoring(settings).alerts()
    assert (alert.subject, alert.state) == ("quality", ALARM)
    assert "rmse is 3." in alert.message or "rmse is 2.9" in alert.message
    seen = Monitoring(settings).acknowledge(alert.id, who="ada")
    assert seen.acknowledged_by == "ada"
    assert Monitoring(settings).acknowledge(alert.id, who="bob").acknowledged_by == "ada"
    with pytest.raises(NotFound):
        Monitoring(settings).acknowledge(99, who="ada")
    noted = [row.entry for row in Access(settings).audit() if row.entry.action == "alert.acknowledge"]
    assert [(entry.who, entry.subject, entry.detail) for entry in noted] == [("ada", str(alert.id), alert.message)]


@pytest.mark.parametrize("delay", [5, 45, 400])
def test_labels_open_an_alert_however_late_they_come(
    watch: Watch, traffic: Traffic, settings: Settings, delay: int
) -> None:
    rng = np.random.default_rng(0)
    asked: list[tuple[str, list[float]]] = []
    for day in [*range(8), *range(delay, delay + 8)]:
        at = START_US + (day - delay) * DAY_US  # the newest are no later than other tests' events
        rows = encoded_rows(rng, 60)
        token = traffic.predict(rows, event_us=at)
        asked.append((token, (rows[:, 0] * 2 + rng.normal(0, 20, 60)).tolist()))
        if day < delay:
            traffic.label(f"{token}.0", asked[-1][1][0], label_us=at, at_us=at)  # one is no coverage
            continue
        told, truths = asked[day - delay]
        for i, value in enumerate(truths):
            traffic.label(f"{told}.{i}", value, label_us=at, at_us=at)
        watch_once(watch)
    (alert,) = found(settings, "quality")
    assert (alert.state, alert.opened_at) == (ALARM, START + timedelta(days=2 - delay))


def test_a_long_backlog_of_labels_is_judged_over_several_looks(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    replay(traffic, [0] * 60, labelled=1.0)
    replay(traffic, [0] * 5, first=60, labelled=3.0)
    for _ in range(3):
        watch_once(watch)
    (alert,) = found(settings, "quality")
    assert alert.opened_at == START + timedelta(days=62)
    assert watch_once(watch).alerts == 0


def test_an_error_that_differs_by_the_hour_is_no_change_of_it_and_a_doubled_one_is(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    rng = np.random.default_rng(1)
    by_hour = np.where((np.arange(24) >= 7) & (np.arange(24) < 19), 1.35, 0.4)  # 1.0 over the day, as on the holdout
    for day in range(12):
        for hour, spread in enumerate(by_hour * (1 if day < 8 else 2)):
            rows = encoded_rows(rng, 10)
            at = START_US + day * DAY_US + hour * HOUR_US
            token = traffic.predict(rows, event_us=at)
            for i, value in enumerate((rows[:, 0] * 2 + rng.normal(0, spread, 10)).tolist()):
                traffic.label(f"{token}.{i}", value, label_us=at, at_us=at)
    watch_once(watch)
    (alert,) = found(settings, "quality")
    assert (alert.state, alert.opened_at) == (ALARM, START + timedelta(days=10)), "two whole days of doubled errors"


def test_few_rows_open_nothing(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    rng = np.random.default_rng(0)
    for day in range(5):
        traffic.predict(encoded_rows(rng, 20, shift=30), event_us=START_US + day * DAY_US)
    watch_once(watch)
    assert Monitoring(settings).alerts() == []


def test_a_model_with_little_traffic_is_judged_on_its_declared_window(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    (settings.layout.specs / "rent.toml").write_text(
        'name = "rent"\ndataset = "d"\ntarget = "count"\nwindow = "7d"\n', encoding="utf-8"
    )
    rng = np.random.default_rng(0)
    for day in range(10):
        traffic.predict(encoded_rows(rng, 20, shift=30), event_us=START_US + day * DAY_US)
    watch_once(watch)
    (alert,) = found(settings, "drift")
    assert alert.state is ALARM
    # 50 rows are there after the third day; the state must hold in the window after that too.
    assert alert.opened_at == START + timedelta(days=4)

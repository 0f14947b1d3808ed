"""The story of an alert: the window that opened it, its pictures, its messages, what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from appliance.errors import NotFound
from appliance.monitoring.alert_story import TREND_DAYS, tell_alert
from appliance.monitoring.message import NAMES, WHAT_TO_DO
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.alert_rows import NewAlert, open_alert
from tests.monitoring.traffic import DAY_US, START, START_US, Traffic, encoded_rows


def drift_for_days(traffic: Traffic, days: int) -> None:
    """A day of calm, then days on which ``temp`` is 10 degrees warmer, and one more to complete the last."""
    rng = np.random.default_rng(0)
    for day in range(days + 2):
        traffic.predict(encoded_rows(rng, 200, shift=10.0 if day else 0.0), event_us=START_US + day * DAY_US)


def test_the_story_of_a_drift_has_its_pictures(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    drift_for_days(traffic, 2)
    watch_once(watch)
    monitoring = Monitoring(settings)
    (alert,) = [one for one in monitoring.alerts() if one.subject == "drift"]
    story = tell_alert(monitoring, alert.id)
    judged = story.facts.judged
    assert judged is not None
    assert (judged.version, judged.window.end) == (1, START + timedelta(days=3))
    assert [picture.drift.name for picture in story.pictures] == ["temp"]
    assert sum(bar.current for bar in story.pictures[0].bins) == pytest.approx(1.0)
    assert [point.at for point in story.trend][-1] == judged.window.end
    assert len(story.trend) == TREND_DAYS
    *before, calm, warm, warmer = [point.state for point in story.trend]
    assert set(before) == {State.NOT_ENOUGH_DATA}
    assert (calm, warm, warmer) == (State.OK, State.ALARM, State.ALARM)


def test_the_story_of_later_days_does_not_change(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    drift_for_days(traffic, 2)
    watch_once(watch)
    monitoring = Monitoring(settings)
    first = tell_alert(monitoring, 1)
    traffic.predict(encoded_rows(np.random.default_rng(9), 500), event_us=START_US + 9 * DAY_US)
    watch_once(watch)
    assert tell_alert(monitoring, 1).pictures == first.pictures


def test_an_alert_about_the_appliance_has_no_window(watch: Watch, settings: Settings) -> None:
    now = datetime.now(UTC)
    open_alert(
        watch.connection, NewAlert(model="", subject="watch", state="alarm", message="It is silent.", opened_at=now)
    )
    story = tell_alert(Monitoring(settings), 1)
    assert (story.facts.judged, story.pictures, story.trend) == (None, (), ())
    assert story.facts.advice == "Run 'appliance doctor' and look at 'appliance logs runner'."


def test_an_alert_of_a_version_that_is_gone_is_told_without_pictures(watch: Watch, settings: Settings) -> None:
    new = NewAlert(model="gone", subject="drift", state="warn", message="It moved.", opened_at=START)
    open_alert(watch.connection, new)
    assert tell_alert(Monitoring(settings), 1).pictures == ()


def test_an_unknown_alert_says_where_to_look(settings: Settings) -> None:
    with pytest.raises(NotFound, match="there is no alert 9; 'appliance alerts' lists them"):
        tell_alert(Monitoring(settings), 9)


def test_every_subject_has_a_name_and_an_advice() -> None:
    assert NAMES.keys() == WHAT_TO_DO.keys()

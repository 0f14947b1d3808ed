"""Rows of a version that cannot be read wait, no other model does, and each is counted exactly once when it is back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.compaction import compact
from appliance.events import SHADOW_SUFFIX, PredictionEvent
from appliance.house import open_appliance
from appliance.monitoring.held import HELD_FOR, count_held
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.held_rows import list_held
from storage.outcome_rows import find_outcomes
from storage.statedb import to_text
from storage.window_rows import fault_totals, scan_feature_windows, scan_hours
from tests.monitoring.traffic import (
    DAY_US,
    HOUR_US,
    START_US,
    Traffic,
    encoded_rows,
    make_settings,
    publish,
    regression_schema,
    training_frame,
)

FIRST, LAST = START_US // HOUR_US - 1, START_US // HOUR_US + 24 * 40


class Torn:
    """A version's reference, cut while ``text`` is not back."""

    def __init__(self, settings: Settings, version: int = 1) -> None:
        self.path = settings.layout.models / "rent" / str(version) / "reference.json"
        self.whole = self.path.read_bytes()
        self.path.chmod(0o600)
        self.path.write_bytes(self.whole[: len(self.whole) // 2])

    def mend(self) -> None:
        self.path.write_bytes(self.whole)


def send(traffic: Traffic, days: int, first: int = 0) -> list[str]:
    rng = np.random.default_rng(first)
    return [
        traffic.predict(encoded_rows(rng, 60), event_us=START_US + (first + day) * DAY_US) for day in range(days)
    ]  # fmt: skip


def hours(watch: Watch, version: int = 1) -> dict[int, bytes]:
    return dict(scan_hours(watch.connection, "rent", version, first_hour=FIRST, last_hour=LAST))


def test_nothing_is_lost_and_nothing_counted_twice(
    tmp_path: Path, watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    other = Traffic(settings, model="other")
    publish(settings, msgspec.structs.replace(regression_schema(), model="other"), training_frame())
    torn = Torn(settings)
    send(traffic, 3)
    other.predict(encoded_rows(np.random.default_rng(9), 60), event_us=START_US)
    found = watch_once(watch)
    assert (found.predictions, found.faults) == (240, 0)
    assert fault_totals(watch.connection) == {}
    assert hours(watch) == {}
    assert len(list(scan_feature_windows(watch.connection, "other", 1, first_hour=FIRST, last_hour=LAST))) == 1
    (alert,) = Monitoring(settings).alerts(open_only=True)
    assert (alert.model, alert.subject, alert.state) == ("rent", "uncounted", "alarm")
    assert "models/rent/1" in alert.message
    assert (
        'appliance_events_held{model="rent",version="1"} 180.0'
        in open_appliance(settings).exposition.scrape({}).decode()
    )
    assert watch_once(watch).alerts == 0, "the alert is open already"

    torn.mend()
    send(traffic, 2, first=3)
    watch_once(watch)
    assert Monitoring(settings).alerts(open_only=True) == []
    assert list_held(watch.connection) == []
    assert watch_once(watch).idle

    calm = make_settings(tmp_path / "calm")
    publish(calm, regression_schema(), training_frame())
    undisturbed = Traffic(calm)
    send(undisturbed, 3)
    send(undisturbed, 2, first=3)
    reference = Watch(calm.layout)
    watch_once(reference)
    assert hours(watch) == hours(reference)
    assert len(hours(watch)) == 5
    reference.close()


def test_a_loop_that_is_killed_between_two_parts_counts_each_once(settings: Settings, traffic: Traffic) -> None:
    torn = Torn(settings)
    small = Watch(settings.layout, chunk_bytes=1)  # a chunk a request
    send(traffic, 5)
    watch_once(small)
    assert len(list_held(small.connection)) == 5
    torn.mend()

    def dies() -> None:
        if len(list_held(small.connection)) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_held(small.connection, settings.layout, small.versions, alive=dies)
    assert len(hours(small)) == 2
    after = Watch(settings.layout)
    watch_once(after)
    watch_once(small)
    assert [len(hours(one)) for one in (small, after)] == [5, 5]
    rows = Monitoring(settings).drift("rent", 6 * 86_400).columns[0].rows.current
    assert rows == 300
    small.close()
    after.close()


def test_labels_wait_with_their_version_and_a_correction_is_not_undone(
    watch: Watch, traffic: Traffic, settings: Settings
) -> None:
    publish(settings, regression_schema(version=2), training_frame())
    (token,) = send(traffic, 1)
    traffic.write("predictions", msgspec.json.encode(PredictionEvent(
        id=token + SHADOW_SUFFIX, t=START_US, at=START_US, m="rent", v=2, r="shadow", n=60, x=[1.0] * 180, y=[2.0] * 60,
        us=9,
    )))  # fmt: skip
    torn = Torn(settings, version=2)
    traffic.label(f"{token}.0", 41.0, label_us=START_US + 1, at_us=START_US + 1)
    watch_once(watch)
    assert [(one.kind, one.version) for one in list_held(watch.connection)] == [("predictions", 2), ("labels", 2)]
    assert [one.label for one in find_outcomes(watch.connection, token)] == ["41.0"]
    traffic.label(f"{token}.0", 42.0, label_us=START_US + 2, at_us=START_US + 2)
    watch_once(watch)
    torn.mend()
    watch_once(watch)
    assert list_held(watch.connection) == []
    assert [one.label for one in find_outcomes(watch.connection, token)] == ["42.0"]
    assert [
        (one.label, one.version, one.variant) for one in find_outcomes(watch.connection, token + SHADOW_SUFFIX)
    ] == [("42.0", 2, "shadow")]

    answers = Torn(settings, version=1)
    later = Watch(settings.layout)
    traffic.label(f"{token}.1", 40.0, label_us=START_US + 3, at_us=START_US + 3)
    assert watch_once(later).labels == 0
    assert fault_totals(later.connection) == {}
    answers.mend()
    assert watch_once(later).labels == 1
    assert {one.id: one.label for one in find_outcomes(later.connection, token)}[f"{token}.1"] == "40.0"
    later.close()


def test_the_log_keeps_what_waits_and_lets_it_go_afterwards(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    torn = Torn(settings)
    send(traffic, 1)
    traffic.close()
    watch_once(watch)
    assert compact(settings).segments == 0
    torn.mend()
    watch_once(watch)
    assert compact(settings).segments == 1
    assert len(hours(watch)) == 1


def test_what_waits_too_long_is_a_fault(watch: Watch, traffic: Traffic, settings: Settings) -> None:
    Torn(settings)
    send(traffic, 1)
    traffic.close()
    watch_once(watch)
    old = to_text(datetime.now(UTC) - HELD_FOR - timedelta(hours=1))
    watch.connection.execute("UPDATE held SET since = ?", (old,))
    assert watch_once(watch).faults == 60
    assert fault_totals(watch.connection) == {"bundle_missing": 60}
    assert Monitoring(settings).alerts(open_only=True) == []
    assert compact(settings).segments == 1

"""Which messages are sent, held back or skipped: over, seen, snoozed, flapping, not wanted."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from appliance.errors import BadInput, Conflict, NotFound
from appliance.house import Appliance
from appliance.monitoring.alerts import Alert
from appliance.monitoring.delivery import (
    Circumstances,
    Courier,
    Hold,
    Send,
    Skip,
    decide,
)
from appliance.monitoring.spans import State
from storage import statedb
from storage.alert_rows import NewAlert, open_alert
from storage.delivery_rows import DeliveryState, Event, count_deliveries
from tests.monitoring.alerted import HOUR, NOW, end_alert, later, raise_alert
from tests.monitoring.receivers import Hook, http_receiver


def test_what_is_over_before_it_was_told_is_not_told(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        end_alert(house)
        assert courier.deliver_once(later()) == {"skipped": 2}
        raise_alert(house)
        courier.deliver_once(later())
        end_alert(house)
        courier.deliver_once(later())
        assert [json.loads(got.body)["type"] for got in hook.received] == ["alert.opened", "alert.closed"]


def test_a_channel_is_told_of_the_states_that_it_wants(house: Appliance, courier: Courier) -> None:
    with http_receiver() as all_states, http_receiver() as alarms:
        house.channels.add("all", all_states.url, who="ada")
        house.channels.add("alarms", alarms.url, who="ada", least="alarm")
        raise_alert(house, state="warn")
        courier.deliver_once(later())
        assert (len(all_states.received), len(alarms.received)) == (1, 0)
        raise_alert(house, state="alarm")  # worse: told within the cool-down, and the end of the warning is not
        courier.deliver_once(later())
        assert [json.loads(got.body)["type"] for got in all_states.received] == ["alert.opened"] * 2
        assert len(alarms.received) == 1


def test_a_flapping_state_is_told_once_in_a_cool_down(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        courier.deliver_once(later())
        for _ in range(5):
            end_alert(house)
            raise_alert(house)
            courier.deliver_once(later())
        kinds = [json.loads(got.body)["type"] for got in hook.received]
        assert kinds == ["alert.opened"]
        courier.deliver_once(later(hours=1, seconds=5))
        assert [json.loads(got.body)["type"] for got in hook.received] == ["alert.opened"] * 2


def test_who_hears_of_alarms_alone_hears_the_end_of_an_alarm_that_eased(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook, http_receiver() as all_states:
        house.channels.add("alarms", hook.url, who="ada", least="alarm")
        house.channels.add("all", all_states.url, who="ada")
        raise_alert(house, state="alarm")
        courier.deliver_once(later())
        raise_alert(house, state="warn", at=NOW + 24 * HOUR)
        assert courier.deliver_once(later(days=1)) == {"held": 2, "sent": 1}
        assert courier.deliver_once(later(days=2)) == {"held": 1, "skipped": 1}, "the warning is still open"
        end_alert(house, at=NOW + 72 * HOUR)
        assert courier.deliver_once(later(days=3)) == {"sent": 2}
        assert courier.deliver_once(later(days=9)) == {}
    assert told(hook) == ["alert.opened", "alert.closed"]
    assert told(all_states) == ["alert.opened", "alert.opened", "alert.closed"]
    over = f"This is over since {NOW + 72 * HOUR:%Y-%m-%d %H:%M} UTC; it began {NOW:%Y-%m-%d %H:%M}."
    assert over in json.loads(hook.received[-1].body)["text"], "not when it eased"


def test_the_end_is_told_where_the_alert_that_took_the_place_never_was(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        courier.deliver_once(later())
        raise_alert(house)  # within the cool-down: held
        assert courier.deliver_once(later(minutes=5)) == {"held": 2}
        end_alert(house)
        assert courier.deliver_once(later(minutes=20)) == {"sent": 1, "skipped": 1}
        assert courier.deliver_once(later(hours=2)) == {"skipped": 1}
        assert courier.deliver_once(later(days=9)) == {}
    assert told(hook) == ["alert.opened", "alert.closed"]


def test_an_end_is_told_once_where_the_alert_that_took_the_place_was_told(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        courier.deliver_once(later())
        raise_alert(house)
        courier.deliver_once(later(minutes=5))
        courier.deliver_once(later(hours=1, minutes=1))
        end_alert(house)
        courier.deliver_once(later(hours=2))
        assert courier.deliver_once(later(days=9)) == {}
    assert told(hook) == ["alert.opened", "alert.opened", "alert.closed"]


def told(hook: Hook) -> list[str]:
    return [json.loads(got.body)["type"] for got in hook.received]


def test_a_snoozed_alert_is_told_again_when_it_still_holds(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        alert = raise_alert(house)
        courier.deliver_once(later())
        house.channels.snooze(alert, 7200, who="ada")
        assert courier.deliver_once(later(hours=1)) == {}
        assert courier.deliver_once(later(hours=2, seconds=5)) == {"sent": 1}
        assert json.loads(hook.received[-1].body)["type"] == "alert.still_open"
        assert "[still alarm]" in json.loads(hook.received[-1].body)["title"]
        house.channels.snooze(alert, 7200, who="ada")
        end_alert(house)
        assert courier.deliver_once(later(hours=2, seconds=9)) == {"sent": 1, "skipped": 1}
    with pytest.raises(Conflict, match="is over"):
        house.channels.snooze(alert, 7200, who="ada")
    with pytest.raises(NotFound):
        house.channels.snooze(99, 7200, who="ada")
    with pytest.raises(BadInput, match="90d"):
        house.channels.snooze(alert, 91 * 86_400, who="ada")


def test_what_was_seen_before_it_was_told_is_not_told(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        alert = raise_alert(house)
        house.monitoring.acknowledge(alert, who="ada")
        assert courier.deliver_once(later()) == {"skipped": 1}
        assert house.channels.deliveries()[0].reason == "seen by ada before it was told"
        assert hook.received == []


def test_a_removed_channel_is_told_nothing_and_its_name_is_free(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        with pytest.raises(Conflict, match="remove it first"):
            house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        house.channels.remove("ops", who="ada")
        assert courier.deliver_once(later()) == {}
        house.channels.add("ops", hook.url, who="ada")
        assert courier.deliver_once(later()) == {}
    with pytest.raises(NotFound, match="there are: ops"):
        house.channels.remove("nobody", who="ada")
    with pytest.raises(NotFound):
        house.channels.test("nobody", who="ada")


def test_without_channels_nothing_is_queued(house: Appliance) -> None:
    raise_alert(house)
    end_alert(house)
    assert house.channels.deliveries() == ()


def test_an_alert_that_is_rolled_back_is_not_told(house: Appliance) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
    with closing(statedb.connect(house.settings.layout.database)) as db:
        with pytest.raises(RuntimeError), statedb.transaction(db):
            open_alert(db, NewAlert(model="rent", subject="drift", state="alarm", message="m", opened_at=NOW))
            raise RuntimeError
        assert count_deliveries(db) == {}


SOON = Hold(until=NOW + timedelta(seconds=30))
REPLACED = Skip(reason="another alert took its place")
ALERT = Alert(
    id=1, model="rent", subject="drift", state=State.WARN, message="m", opened_at=NOW, closed_at=None,
    acknowledged_by=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("event", "opening", "last", "later_told", "replaced", "decision"),
    [
        (Event.OPENED, None, None, None, True, Send()),
        (Event.OPENED, None, (NOW - HOUR, State.WARN), None, True, Send()),
        (Event.OPENED, None, (NOW - HOUR / 2, State.WARN), None, True, Hold(until=NOW + HOUR / 2)),
        (Event.OPENED, None, (NOW - HOUR / 2, State.ALARM), None, True, Hold(until=NOW + HOUR / 2)),
        (Event.STILL_OPEN, DeliveryState.SENT, (NOW - HOUR / 2, State.WARN), None, True, Send()),
        (Event.CLOSED, DeliveryState.SENT, None, None, False, Send()),
        (Event.CLOSED, DeliveryState.SENT, None, None, True, SOON),
        (Event.CLOSED, DeliveryState.SENT, None, DeliveryState.SENDING, True, SOON),
        (Event.CLOSED, DeliveryState.SENT, None, DeliveryState.SENDING, False, SOON),
        (Event.CLOSED, DeliveryState.SENT, None, DeliveryState.SENT, True, REPLACED),
        (Event.CLOSED, DeliveryState.SENT, None, DeliveryState.SENT, False, REPLACED),
        (Event.CLOSED, DeliveryState.DEAD, None, None, False, Skip(reason="its opening was not told")),
        (Event.CLOSED, DeliveryState.SENDING, None, None, False, SOON),
    ],
)
def test_what_is_sent_when(
    event: Event,
    opening: DeliveryState | None,
    last: tuple[datetime, State] | None,
    later_told: DeliveryState | None,
    replaced: bool,
    decision: Send | Hold | Skip,
) -> None:
    found = Circumstances(
        alert=ALERT, opening=opening, snoozed_until=None, last=last, later=later_told, replaced=replaced
    )
    assert decide(event, found, now=NOW, cool_down=HOUR) == decision

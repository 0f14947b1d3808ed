"""Alerts reach real HTTP and mail servers: signed, once, again after a failure, and given up in the open."""

from __future__ import annotations

import base64
import email
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import Conflict, NotFound
from appliance.house import Appliance
from appliance.monitoring.delivery import (
    HEARTBEAT,
    PAUSES,
    Courier,
    deliver_until,
)
from appliance.monitoring.watchdog import WATCH
from appliance.processes.doctor import run_checks
from storage import statedb
from storage.alert_rows import list_alerts
from storage.delivery_rows import DeliveryState, list_deliveries
from storage.window_rows import Heartbeat, find_heartbeat, put_heartbeat
from tests.monitoring.alerted import HOUR, later, raise_alert, states
from tests.monitoring.receivers import http_receiver, mail_receiver


def test_a_webhook_is_signed_over_id_timestamp_and_body(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        made = house.channels.add("ops", hook.url, who="ada")
        alert = raise_alert(house)
        assert courier.deliver_once(later()) == {"sent": 1}
        assert courier.deliver_once(later(days=9)) == {}
    (got,) = hook.received
    assert made.secret is not None
    key = base64.b64decode(made.secret.removeprefix("whsec_"))
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{wanted}"
    body = json.loads(got.body)
    assert (body["type"], body["alert"]["id"], body["alert"]["model"]) == ("alert.opened", alert, "rent")
    assert str(body["timestamp"]) == got.headers["webhook-timestamp"]
    assert body["title"].startswith("[alarm] rent, inputs")


def test_a_mail_says_what_happened_what_to_do_and_where_to_look(house: Appliance, courier: Courier) -> None:
    with mail_receiver() as box:
        url = f"mailto://127.0.0.1:{box.port}?from=box@example.org&to=ops@example.org&mode=insecure&format=text"
        house.channels.add("mail", url, who="ada")
        raise_alert(house)
        assert courier.deliver_once(later()) == {"sent": 1}
    (mail,) = box.mails
    parsed = email.message_from_string(mail)
    assert "ops@example.org" in parsed["to"]
    text = "".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in parsed.walk()
        if part.get_content_type() == "text/plain"
    )
    assert "`temp` moved." in text
    assert "is a source broken" in text
    assert f"{house.settings.ui_url}/alerts/1" in text


def test_a_refused_mail_is_a_reason_without_the_password(house: Appliance) -> None:
    with mail_receiver(refuses=True) as box:
        url = f"mailto://127.0.0.1:{box.port}?from=box@example.org&to=nobody@example.org&mode=insecure"
        house.channels.add("mail", url, who="ada")
        told = house.channels.test("mail", who="ada")
    assert told.state is DeliveryState.DEAD
    assert told.reason
    assert "nobody@example.org" not in told.reason
    assert box.mails == []


def test_a_failed_message_waits_longer_each_time_and_is_given_up_in_the_open(
    house: Appliance, courier: Courier
) -> None:
    with http_receiver(500) as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        at = later()
        for number, pause in enumerate(PAUSES, start=1):
            assert courier.deliver_once(at) == {"failed": 1}
            (row,) = house.channels.deliveries()
            assert (row.state, row.attempts, row.reason) == ("waiting", number, "the receiver answered 500")
            assert row.due_at == at + pause
            assert courier.deliver_once(at + pause - timedelta(seconds=1)) == {}
            at += pause
        assert courier.deliver_once(at) == {"failed": 1}
        (dead,) = house.channels.deliveries(state="dead")
        assert dead.attempts == len(PAUSES) + 1
        assert courier.deliver_once(at + timedelta(days=99)) == {}
        assert len(hook.received) == len(PAUSES) + 1
        assert len({got.headers["webhook-id"] for got in hook.received}) == 1
        (check,) = [check for check in run_checks(house.settings) if check.name == "alert delivery"]
        assert check.state == "fail"
        assert "the receiver answered 500" in check.message
        hook.statuses = [204]
        house.channels.retry(dead.id, who="ada")
        with pytest.raises(Conflict, match="only a dead one"):
            house.channels.retry(dead.id, who="ada")
        assert courier.deliver_once(later()) == {"sent": 1}
    with pytest.raises(NotFound):
        house.channels.retry(99, who="ada")


def test_retries_outlive_a_restart(house: Appliance) -> None:
    with http_receiver(503, 204) as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        with closing(Courier(house.settings)) as first:
            assert first.deliver_once(later()) == {"failed": 1}
        with closing(Courier(house.settings)) as second:
            assert second.deliver_once(later(seconds=31)) == {"sent": 1}


def test_what_else_waits_for_a_broken_channel_does_not_knock_in_vain(house: Appliance, courier: Courier) -> None:
    with http_receiver(500, 204) as broken, http_receiver() as fine:
        house.channels.add("broken", broken.url, who="ada")
        house.channels.add("fine", fine.url, who="ada")
        for subject in ("drift", "quality", "prediction"):
            raise_alert(house, subject=subject)
        assert courier.deliver_once(later()) == {"failed": 1, "sent": 3}
        assert (len(broken.received), len(fine.received)) == (1, 3)
        assert courier.deliver_once(later(seconds=32)) == {"sent": 3}


def test_two_loops_send_each_message_once(house: Appliance) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        for number in range(30):
            raise_alert(house, subject=f"subject-{number}")
        at = later()

        def work() -> None:
            with closing(Courier(house.settings)) as courier:
                courier.deliver_once(at)

        loops = [threading.Thread(target=work) for _ in range(4)]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        assert len(hook.received) == 30
        assert len({got.headers["webhook-id"] for got in hook.received}) == 30


def test_a_message_under_way_at_a_kill_is_sent_again(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        hook.open.clear()
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.monitoring.delivering_child", str(house.settings.state), "60"],
            cwd=Path(__file__).parents[2],
        )
        end = time.monotonic() + 120
        while not hook.received and time.monotonic() < end:
            time.sleep(0.02)
        child.kill()
        child.wait()
        hook.open.set()
        assert states(house) == [("opened", "sending")]
        assert courier.deliver_once(later()) == {}, "the dead loop's claim still holds"
        assert courier.deliver_once(later(seconds=61)) == {"sent": 1}
        first, second = hook.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_a_late_answer_of_a_loop_whose_claim_ran_out_changes_nothing(house: Appliance) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        from storage.delivery_rows import claim_delivery, due_deliveries, end_delivery, fail_delivery

        with closing(statedb.connect(house.settings.layout.database)) as db:
            (row,) = due_deliveries(db, later())
            now = later()
            assert claim_delivery(db, row, claim="slow", until=now + HOUR, now=now)
            assert not claim_delivery(db, row, claim="fast", until=now + HOUR, now=now)
            assert claim_delivery(db, row, claim="fast", until=now + 3 * HOUR, now=now + HOUR)
            assert not end_delivery(db, row.id, claim="slow", now=now)
            assert not fail_delivery(db, row.id, claim="slow", reason="late", retry_at=now)
            assert end_delivery(db, row.id, claim="fast", now=now)


def test_an_alert_opens_while_nobody_watches_and_is_sent(house: Appliance, courier: Courier) -> None:
    now = datetime.now(UTC)
    assert courier.beat(now, courier.deliver_once(now)) == 0, "it never looked yet"
    with closing(statedb.connect(house.settings.layout.database)) as db:
        put_heartbeat(db, WATCH, Heartbeat(at=now - timedelta(seconds=119), detail=""))
        assert courier.beat(now, courier.deliver_once(now)) == 0
        with http_receiver() as hook:
            house.channels.add("ops", hook.url, who="ada")
            assert courier.beat(now + timedelta(seconds=5), courier.deliver_once(now)) == 1
            assert courier.beat(now + timedelta(seconds=9), courier.deliver_once(later())) == 0
            assert "watch loop" in json.loads(hook.received[0].body)["title"]
        put_heartbeat(db, WATCH, Heartbeat(at=now + timedelta(seconds=10), detail=""))
        assert courier.beat(now + timedelta(seconds=11), courier.deliver_once(now)) == 1
        assert list_alerts(db, open_only=True) == []
        assert find_heartbeat(db, HEARTBEAT) is not None


def test_the_loop_delivers(house: Appliance) -> None:
    stop = threading.Event()
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        loop = threading.Thread(target=deliver_until, args=(house.settings, stop))
        loop.start()
        raise_alert(house)
        end = time.monotonic() + 120
        while not hook.received and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        loop.join()
        assert len(hook.received) == 1
    with closing(statedb.connect(house.settings.layout.database)) as db:
        assert [row.state for row in list_deliveries(db)] == ["sent"]

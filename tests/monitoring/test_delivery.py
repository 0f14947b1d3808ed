"""Alerts reach real HTTP and mail servers: signed, once, again after a failure, and given up in the open."""

from __future__ import annotations

import base64
import email
import hashlib
import hmac
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import BadInput, Conflict, NotFound
from appliance.house import Appliance, open_appliance, prepare_state
from appliance.monitoring.alerts import Alert
from appliance.monitoring.delivery import (
    HEARTBEAT,
    PAUSES,
    Circumstances,
    Courier,
    Hold,
    Send,
    Skip,
    decide,
    deliver_until,
)
from appliance.monitoring.spans import State
from appliance.monitoring.transports import Address, identify, send
from appliance.monitoring.watchdog import WATCH
from appliance.processes.doctor import run_checks
from appliance.settings import Settings
from storage import statedb
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.delivery_rows import DeliveryState, Event, count_deliveries, list_deliveries
from storage.window_rows import Heartbeat, find_heartbeat, put_heartbeat
from tests.monitoring.receivers import http_receiver, mail_receiver

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    return open_appliance(settings)


@pytest.fixture
def courier(house: Appliance) -> Iterator[Courier]:
    with closing(Courier(house.settings)) as opened:
        yield opened


def raise_alert(house: Appliance, *, state: str = "alarm", subject: str = "drift") -> int:
    with closing(statedb.connect(house.settings.layout.database)) as db, statedb.transaction(db):
        close_alert(db, "rent", subject, NOW)
        open_alert(
            db, NewAlert(model="rent", subject=subject, state=state, message="`temp` moved.", opened_at=NOW)
        )  # fmt: skip
        return list_alerts(db, open_only=True)[0].id


def end_alert(house: Appliance, subject: str = "drift") -> None:
    with closing(statedb.connect(house.settings.layout.database)) as db, statedb.transaction(db):
        assert close_alert(db, "rent", subject, NOW)


def states(house: Appliance) -> list[tuple[str, str]]:
    return [(row.event, row.state) for row in reversed(house.channels.deliveries())]


def later(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


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
    assert f"{house.settings.ui_url}/alerts" in text


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
        end = time.monotonic() + 30
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


@pytest.mark.parametrize(
    ("url", "hint", "kind"),
    [
        ("https://example.org/hooks/tok-5ecret-path?key=5ecret-key", "webhook at https://example.org", "webhook"),
        ("mailtos://bob:5ecret-pw@example.org?to=a@b.org&smtp=mx.example.org", "mx.example.org", "mailtos"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/5ecretxxxxxxxxxxxxxxxxxx", "Slack", "slack"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/5ecretxxxxxxxxxxxxxxxxxx", "Slack", "https"),
        ("workflows://prod.example.org:443/5ecretworkflow/5ecretsignature/", "MSTeams", "workflows"),
    ],
)
def test_an_address_never_comes_back(house: Appliance, url: str, hint: str, kind: str) -> None:
    made = house.channels.add("ops", url, who="ada")
    assert hint in made.channel.hint
    assert made.channel.kind == kind
    assert "5ecret" not in repr(made.channel)
    assert "5ecret" not in repr(Address(url=url, secret="whsec_5ecret"))
    for path in house.settings.layout.root.glob("appliance.db*"):
        assert b"5ecret" not in path.read_bytes()
    assert "5ecret" not in repr(house.access.audit(10))


@pytest.mark.parametrize(
    ("name", "url", "more", "message"),
    [
        ("a b", "https://example.org", {}, "cannot name a channel"),
        ("ops", "https://", {}, "names no host"),
        ("ops", "https://example.org:99999/x", {}, "malformed host or port"),
        ("ops", "https://example.org/a b", {}, "holds a space"),
        ("ops", "https://example.org/a\r\nx: y", {}, "holds a space or a control character"),
        ("ops", "carrier-pigeon://5ecret", {}, "none that can be sent to"),
        ("ops", "5ecret", {}, "none that can be sent to"),
        ("ops", "https://example.org", {"secret": "hunter2"}, "whsec_ and base64"),
        ("ops", "https://example.org", {"secret": "whsec_AAAA"}, "at least 24 bytes"),
        ("ops", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", {"secret": "whsec_x"}, "has its own"),
        ("ops", "https://example.org", {"least": "panic"}, "use warn or alarm"),
    ],
)
def test_a_channel_that_cannot_work_is_refused_without_repeating_it(
    house: Appliance, caplog: pytest.LogCaptureFixture, name: str, url: str, more: dict[str, str], message: str
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BadInput, match=message) as refused:
        house.channels.add(name, url, who="ada", **more)
    assert "5ecret" not in str(refused.value) + caplog.text
    assert house.channels.list() == ()


def test_a_reason_and_the_log_hold_no_part_of_an_address(house: Appliance, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    for name, url in {
        "hook": f"http://bob:5ecret-pw@127.0.0.1:{port}/tok-5ecret-path?k=5ecret-key",
        "json": f"json://bob:5ecret-pw@127.0.0.1:{port}/tok-5ecret-path",
        "mail": f"mailto://bob:5ecret-pw@127.0.0.1:{port}?from=a@b.org&to=c@d.org&mode=insecure",
    }.items():
        house.channels.add(name, url, who="ada")
        with caplog.at_level(logging.DEBUG, logger="apprise"):
            told = house.channels.test(name, who="ada")
        assert (told.state, told.attempts) == (DeliveryState.DEAD, 1)
        assert told.reason
        assert "5ecret" not in told.reason + caplog.text, name


def test_a_redirect_is_not_followed_with_the_signed_body(house: Appliance) -> None:
    with http_receiver(302) as hook:
        house.channels.add("ops", hook.url, who="ada")
        assert house.channels.test("ops", who="ada").reason == "the receiver answered 302"
        assert [got.path for got in hook.received] == ["/hooks/tok-5ecret-path"]


def test_a_test_message_arrives_though_others_wait(house: Appliance, courier: Courier) -> None:
    with http_receiver(500, 204) as hook:
        house.channels.add("ops", hook.url, who="ada")
        raise_alert(house)
        courier.deliver_once(later())
        told = house.channels.test("ops", who="ada")
        assert told.state is DeliveryState.SENT
        assert json.loads(hook.received[-1].body)["type"] == "test"
        assert states(house) == [("opened", "waiting"), ("test", "sent")]


def test_another_secret_of_the_appliance_is_said_and_given_up(house: Appliance, courier: Courier) -> None:
    with http_receiver() as hook:
        house.channels.add("ops", hook.url, who="ada")
        house.settings.layout.secret.write_bytes(b"x" * 32)
        raise_alert(house)
        assert courier.deliver_once(later()) == {"failed": 1}
        assert "add the channel again" in house.channels.deliveries(state="dead")[0].reason
        assert hook.received == []


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
        end = time.monotonic() + 20
        while not hook.received and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        loop.join()
        assert len(hook.received) == 1
    with closing(statedb.connect(house.settings.layout.database)) as db:
        assert [row.state for row in list_deliveries(db)] == ["sent"]


ALERT = Alert(
    id=1, model="rent", subject="drift", state=State.WARN, message="m", opened_at=NOW, closed_at=None,
    acknowledged_by=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("event", "opening", "last", "replaced", "decision"),
    [
        (Event.OPENED, None, None, True, Send()),
        (Event.OPENED, None, (NOW - HOUR, State.WARN), True, Send()),
        (Event.OPENED, None, (NOW - HOUR / 2, State.WARN), True, Hold(until=NOW + HOUR / 2)),
        (Event.OPENED, None, (NOW - HOUR / 2, State.ALARM), True, Hold(until=NOW + HOUR / 2)),
        (Event.STILL_OPEN, DeliveryState.SENT, (NOW - HOUR / 2, State.WARN), True, Send()),
        (Event.CLOSED, DeliveryState.SENT, None, False, Send()),
        (Event.CLOSED, DeliveryState.SENT, None, True, Skip(reason="another alert took its place")),
        (Event.CLOSED, DeliveryState.DEAD, None, False, Skip(reason="its opening was not told")),
        (Event.CLOSED, DeliveryState.SENDING, None, False, Hold(until=NOW + timedelta(seconds=30))),
    ],
)
def test_what_is_sent_when(
    event: Event,
    opening: DeliveryState | None,
    last: tuple[datetime, State] | None,
    replaced: bool,
    decision: Send | Hold | Skip,
) -> None:
    found = Circumstances(alert=ALERT, opening=opening, snoozed_until=None, last=last, replaced=replaced)
    assert decide(event, found, now=NOW, cool_down=HOUR) == decision


def test_identify_leaves_the_log_of_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("apprise")
    before = (logger.level, logger.propagate, list(logger.handlers))
    identify(Address(url="json://127.0.0.1/x"))
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    with pytest.raises(BadInput):
        identify(Address(url="nothing://x"))
    assert caplog.text == ""
    assert callable(send)

"""Channels: addresses that never come back, that cannot work, and a test message."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from appliance.errors import BadInput
from appliance.house import Appliance
from appliance.monitoring.delivery import (
    Courier,
)
from appliance.monitoring.transports import Address, identify, send
from storage.delivery_rows import DeliveryState
from tests.monitoring.alerted import later, raise_alert, states
from tests.monitoring.receivers import http_receiver


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


def test_identify_leaves_the_log_of_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("apprise")
    before = (logger.level, logger.propagate, list(logger.handlers))
    identify(Address(url="json://127.0.0.1/x"))
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    with pytest.raises(BadInput):
        identify(Address(url="nothing://x"))
    assert caplog.text == ""
    assert callable(send)

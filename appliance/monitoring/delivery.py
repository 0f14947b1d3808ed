"""The delivery loop: sends what is due to each channel, tries again later what failed, gives up in the open.

A delivery is written with the alert, in one transaction, and claimed by a conditional UPDATE, so that two loops do not
send it twice, and one that was under way at a kill is sent again when its claim has run out: at least once. It runs
beside the watch loop, in a thread and with a connection of its own, so that a slow mail server holds up no counting.
"""

from __future__ import annotations

import logging
import secrets
import socket
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from appliance.errors import ApplianceError
from appliance.monitoring.alerts import SEVERITY, Alert, alert_of
from appliance.monitoring.message import Message, compose
from appliance.monitoring.sealing import Seal
from appliance.monitoring.spans import State
from appliance.monitoring.transports import Address, send
from appliance.monitoring.watchdog import watch_the_watch
from appliance.settings import Settings
from storage.alert_rows import find_alert, has_open_alert, last_closing
from storage.channel_rows import find_sealed_address, find_snooze
from storage.delivery_rows import (
    DeliveryRow,
    DeliveryState,
    Event,
    claim_delivery,
    due_deliveries,
    end_delivery,
    fail_delivery,
    find_delivery,
    find_later_opening,
    find_opening,
    hold_channel,
    hold_delivery,
    last_opening,
    queue_test,
    skip_delivery,
)
from storage.errors import StorageError
from storage.statedb import connect
from storage.window_rows import Heartbeat, put_heartbeat

HEARTBEAT = "deliveries"
LEASE = timedelta(minutes=5)
"""How long a claim holds; longer than the slowest sending."""
PAUSES = tuple(timedelta(seconds=s) for s in (30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600))
"""After the first, second, … failure in a row; after one more the delivery is dead, a day after it was due."""
LOOK_S = 2.0
BEAT_S = 10.0
COOL_DOWN = timedelta(hours=1)
"""A channel hears of the same subject again at the earliest then, unless it got worse."""
SOON = timedelta(seconds=30)
"""The end of an alert is looked at again then, while another message or another alert decides about it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """It is to be sent now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """It is to be looked at again then."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """It need not be sent any more."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides whether a delivery about an alert is sent.

    Attributes:
        opening: The state of the delivery that tells, or told, this channel of the opening; None without one.
        snoozed_until: The subject is to be quiet until then; None when it is not.
        last: When this channel was last told that an alert of the subject opened, and of which state.
        later: How far this channel was told of a later alert of the subject, whose own closing follows: sent, or just
            being sent; None when it was not.
        replaced: The subject has another open alert by now.
    """

    alert: Alert
    opening: DeliveryState | None
    snoozed_until: datetime | None
    last: tuple[datetime, State] | None
    later: DeliveryState | None
    replaced: bool


def decide(event: Event, found: Circumstances, *, now: datetime, cool_down: timedelta) -> Send | Hold | Skip:
    """Send now, later or never."""
    if event is Event.CLOSED:
        return _decide_closed(found, now)
    if found.alert.closed_at is not None:
        return Skip(reason="over before it was told")
    if found.alert.acknowledged_by is not None:
        return Skip(reason=f"seen by {found.alert.acknowledged_by} before it was told")
    if found.snoozed_until is not None and found.snoozed_until > now:
        return Hold(until=found.snoozed_until)
    if event is Event.OPENED and found.last is not None:
        told_at, state = found.last
        worse = SEVERITY.index(found.alert.state) > SEVERITY.index(state)
        if not worse and told_at + cool_down > now:
            return Hold(until=told_at + cool_down)
    return Send()


def _decide_closed(found: Circumstances, now: datetime) -> Send | Hold | Skip:
    """A channel that was told of an alert hears of the end once: when the subject is in order again.

    An alert that took its place may be none that this channel wants, or be over before it is told.
    """
    if found.opening is DeliveryState.SENDING:
        return Hold(until=now + SOON)
    if found.opening is not DeliveryState.SENT:
        return Skip(reason="its opening was not told")
    if found.later is DeliveryState.SENT:
        return Skip(reason="another alert took its place")
    if found.later is DeliveryState.SENDING or found.replaced:
        return Hold(until=now + SOON)
    return Send()


def retry_after(attempts: int) -> timedelta | None:
    """The pause after so many failed attempts; None when it was tried often enough."""
    return PAUSES[attempts - 1] if attempts <= len(PAUSES) else None


class Courier:
    """Sends what is due; one a loop, with a connection of its own."""

    def __init__(self, settings: Settings, *, cool_down: timedelta = COOL_DOWN, lease: timedelta = LEASE) -> None:
        self._settings = settings
        self._connection = connect(settings.layout.database)
        self._cool_down = cool_down
        self._lease = lease

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def deliver_once(self, now: datetime) -> Counter[str]:
        """Send everything that is due.

        Returns:
            How many were sent, failed, held and skipped.
        """
        done: Counter[str] = Counter()
        failed: set[str] = set()
        for delivery in due_deliveries(self._connection, now):
            if delivery.channel in failed and delivery.event is not Event.TEST:
                continue  # the channel does not work: its other messages wait as long
            outcome = self._deliver(delivery, now)
            done[outcome] += 1
            if outcome == "failed":
                failed.add(delivery.channel)
        return done

    def send_test(self, channel: str, now: datetime) -> DeliveryRow:
        """Send a test message now, whatever else waits; gives what became of it."""
        claim = secrets.token_hex(8)
        delivery = queue_test(self._connection, channel, claim=claim, until=now + self._lease)
        self._send(delivery, claim, self._compose(delivery, None), now)
        return find_delivery(self._connection, delivery.id) or delivery

    def beat(self, now: datetime, done: Counter[str]) -> int:
        """Say that this loop lives, and look whether the watch loop does; gives the alerts opened and closed."""
        detail = " ".join(f"{name}={done[name]}" for name in sorted(done))
        put_heartbeat(self._connection, HEARTBEAT, Heartbeat(at=now, detail=detail))
        return watch_the_watch(self._connection, now)

    def _deliver(self, delivery: DeliveryRow, now: datetime) -> str:
        alert = self._find_alert(delivery)
        decision = Send() if alert is None else self._decide(delivery, alert, now)
        if isinstance(decision, Hold):
            hold_delivery(self._connection, delivery, until=decision.until)
            return "held"
        if isinstance(decision, Skip):
            skip_delivery(self._connection, delivery, reason=decision.reason, now=now)
            return "skipped"
        claim = secrets.token_hex(8)
        if not claim_delivery(self._connection, delivery, claim=claim, until=now + self._lease, now=now):
            return "elsewhere"
        return self._send(delivery, claim, self._compose(delivery, alert), now)

    def _compose(self, delivery: DeliveryRow, alert: Alert | None) -> Message:
        host = socket.gethostname()
        address = f"{self._settings.ui_url}/alerts" + (f"/{alert.id}" if alert else "")
        over_since = last_closing(self._connection, alert.model, alert.subject) if alert else None
        return compose(
            delivery.event, alert, message_id=f"{host}-{delivery.id}", host=host, address=address, over_since=over_since
        )

    def _send(self, delivery: DeliveryRow, claim: str, message: Message, now: datetime) -> str:
        address = self._find_address(delivery.channel)
        if address is None:
            sealed = "its address cannot be unsealed, the appliance's secret is another; add the channel again"
            fail_delivery(self._connection, delivery.id, claim=claim, reason=sealed, retry_at=None)
            return "failed"
        try:
            reason = send(address, message, at_s=int(now.timestamp()))
        except Exception as exc:  # noqa: BLE001  (the border: a delivery; a plugin of apprise may raise anything)
            reason = f"unexpected {type(exc).__name__}"
        ended = datetime.now(UTC)
        if reason is None:
            end_delivery(self._connection, delivery.id, claim=claim, now=ended)
            return "sent"
        pause = None if delivery.event is Event.TEST else retry_after(delivery.attempts + 1)
        fail_delivery(
            self._connection, delivery.id, claim=claim, reason=reason, retry_at=None if pause is None else now + pause
        )
        if delivery.event is not Event.TEST:
            hold_channel(self._connection, delivery.channel, until=now + (pause or PAUSES[0]))
        log.warning(
            "channel %s did not take a message (attempt %d): %s", delivery.channel, delivery.attempts + 1, reason
        )
        return "failed"

    def _decide(self, delivery: DeliveryRow, alert: Alert, now: datetime) -> Send | Hold | Skip:
        opening = find_opening(self._connection, delivery.channel, alert.id)
        last = last_opening(self._connection, delivery.channel, alert.model, alert.subject)
        found = Circumstances(
            alert=alert,
            opening=opening.state if opening else None,
            snoozed_until=find_snooze(self._connection, alert.model, alert.subject),
            last=None if last is None else (last[0], State(last[1])),
            later=find_later_opening(self._connection, delivery.channel, alert.id),
            replaced=has_open_alert(self._connection, alert.model, alert.subject),
        )
        return decide(delivery.event, found, now=now, cool_down=self._cool_down)

    def _find_alert(self, delivery: DeliveryRow) -> Alert | None:
        row = None if delivery.alert is None else find_alert(self._connection, delivery.alert)
        return None if row is None else alert_of(row)

    def _find_address(self, channel: str) -> Address | None:
        sealed = find_sealed_address(self._connection, channel)
        content = None if sealed is None else Seal(self._settings.layout).find_content(sealed)
        return None if content is None else msgspec.json.decode(content, type=Address)


def deliver_until(settings: Settings, stop: threading.Event) -> None:
    """Look every two seconds until ``stop`` is set; what fails for lack of a database is logged and tried again."""
    while not stop.is_set():
        try:
            with closing(Courier(settings, cool_down=timedelta(seconds=settings.alert_cool_down_s))) as courier:
                done, beaten = Counter[str](), 0.0
                while not stop.is_set():
                    done += courier.deliver_once(datetime.now(UTC))
                    if time.monotonic() - beaten >= BEAT_S:
                        courier.beat(datetime.now(UTC), done)
                        done, beaten = Counter(), time.monotonic()
                    stop.wait(LOOK_S)
        except (StorageError, ApplianceError, sqlite3.Error) as exc:
            log.error("alerts cannot be delivered: %s; trying again", exc)
            stop.wait(10.0)

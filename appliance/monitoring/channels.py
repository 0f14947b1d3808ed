"""Channels: where alerts go, what became of each message, and what is to be quiet for a while."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from appliance.errors import BadInput, Conflict, NotFound
from appliance.monitoring.alerts import Alert, alert_of
from appliance.monitoring.delivery import Courier
from appliance.monitoring.sealing import Seal
from appliance.monitoring.spans import State
from appliance.monitoring.transports import WEBHOOK, Address, check_secret, identify, make_secret
from appliance.settings import Settings
from storage import alert_rows, channel_rows, delivery_rows, statedb
from storage.audit_rows import AuditEntry, append_audit
from storage.channel_rows import ChannelRow
from storage.delivery_rows import DeliveryRow, DeliveryState

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MOST_SNOOZE_S = 90 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """A channel that was just added; ``secret``: of a webhook whose secret was made now, the one time it is seen."""

    channel: ChannelRow
    secret: str | None


class Channels:
    """The alert channels of one appliance; each call opens the state database for itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def add(
        self, name: str, url: str, *, who: str, secret: str | None = None, least: str = State.WARN.value
    ) -> NewChannel:
        """Remember an address under a name; nothing ever gives the address back.

        Args:
            name: For people.
            url: ``https://…`` for a signed webhook, or an address of apprise.
            who: Who adds it.
            secret: Signs the webhook; made when left out.
            least: ``warn``, or ``alarm`` to be told of alarms alone.

        Raises:
            BadInput: The name, the address, the secret or ``least`` cannot be used.
            Conflict: The name is taken.
        """
        if not NAME.fullmatch(name):
            raise BadInput(f"{name!r} cannot name a channel: use 1 to 64 letters, digits, and . _ @ -")
        if least not in {State.WARN, State.ALARM}:
            raise BadInput(f"{least!r} is no state to be told of: use warn or alarm")
        known = identify(Address(url=url))
        if known.kind == WEBHOOK:
            address = Address(url=url, secret=secret or make_secret())
            check_secret(address.secret)
        elif secret:
            raise BadInput(f"a secret signs webhooks; this address is of {known.hint}, which has its own")
        else:
            address = Address(url=url)
        row = ChannelRow(
            name=name, kind=known.kind, hint=known.hint, least=least, created_at=datetime.now(UTC), created_by=who
        )
        sealed = Seal(self._settings.layout).close(msgspec.json.encode(address))
        with self._database() as db, statedb.transaction(db):
            if not channel_rows.put_channel(db, row, sealed=sealed):
                raise Conflict(f"there is a channel {name!r} already; remove it first, or choose another name")
            _audit(db, who, "channel.add", name, f"{known.hint}, from {least} on")
        return NewChannel(channel=row, secret=None if secret else address.secret or None)

    def list(self) -> tuple[ChannelRow, ...]:
        """Every channel, without its address."""
        with self._database(read_only=True) as db:
            return tuple(channel_rows.list_channels(db))

    def remove(self, name: str, *, who: str) -> None:
        """Forget a channel and what was on its way through it.

        Raises:
            NotFound: No such channel.
        """
        with self._database() as db, statedb.transaction(db):
            if not channel_rows.delete_channel(db, name):
                raise NotFound(_no_channel(db, name))
            _audit(db, who, "channel.remove", name)

    def test(self, name: str, *, who: str) -> DeliveryRow:
        """Send a test message now, from this process; the answer says whether it arrived and else why not.

        Raises:
            NotFound: No such channel.
        """
        with self._database() as db, statedb.transaction(db):
            if channel_rows.find_channel(db, name) is None:
                raise NotFound(_no_channel(db, name))
            _audit(db, who, "channel.test", name)
        with closing(Courier(self._settings)) as courier:
            return courier.send_test(name, datetime.now(UTC))

    def deliveries(self, *, state: str | None = None, limit: int = 100) -> tuple[DeliveryRow, ...]:
        """The newest messages, of one state or of all.

        Raises:
            BadInput: No such state.
        """
        if state is not None and state not in set(DeliveryState):
            raise BadInput(f"{state!r} is no state of a delivery: use {', '.join(DeliveryState)}")
        with self._database(read_only=True) as db:
            found = delivery_rows.list_deliveries(db, state=DeliveryState(state) if state else None, limit=limit)
        return tuple(found)

    def retry(self, delivery_id: int, *, who: str) -> DeliveryRow:
        """Try a dead delivery again, from the beginning.

        Raises:
            NotFound: No such delivery.
            Conflict: It is not dead.
        """
        with self._database() as db, statedb.transaction(db):
            revived = delivery_rows.revive_delivery(db, delivery_id, datetime.now(UTC))
            row = delivery_rows.find_delivery(db, delivery_id)
            if row is None:
                raise NotFound(f"there is no delivery {delivery_id}; 'appliance alerts deliveries' lists them")
            if not revived:
                raise Conflict(f"delivery {delivery_id} is {row.state}; only a dead one can be tried again")
            _audit(db, who, "delivery.retry", str(delivery_id))
        return row

    def snooze(self, alert_id: int, seconds: int, *, who: str) -> Alert:
        """Keep an alert's subject quiet for a while; what still holds then is told again.

        Args:
            alert_id: An open alert.
            seconds: At most 90 days.
            who: Who wants quiet.

        Raises:
            NotFound: No such alert.
            Conflict: It is over.
            BadInput: Too long.
        """
        if not 0 < seconds <= MOST_SNOOZE_S:
            raise BadInput("an alert can be snoozed for up to 90d")
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        with self._database() as db, statedb.transaction(db):
            row = alert_rows.find_alert(db, alert_id)
            if row is None:
                raise NotFound(f"there is no alert {alert_id}; 'appliance alerts' lists them")
            if row.closed_at is not None:
                raise Conflict(f"alert {alert_id} is over; only an open one can be snoozed")
            channel_rows.put_snooze(db, row.model, row.subject, until=until, who=who)
            delivery_rows.queue_still_open(db, alert_id, due_at=until)
            _audit(db, who, "alert.snooze", str(alert_id), f"until {until:%Y-%m-%d %H:%M} UTC")
        return alert_of(row)

    @contextmanager
    def _database(self, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        with closing(statedb.connect(self._settings.layout.database, read_only=read_only)) as connection:
            yield connection


def _no_channel(db: sqlite3.Connection, name: str) -> str:
    names = ", ".join(row.name for row in channel_rows.list_channels(db)) or "none yet"
    return f"there is no channel {name!r}; there are: {names}"


def _audit(db: sqlite3.Connection, who: str, action: str, subject: str, detail: str = "") -> None:
    append_audit(db, AuditEntry(at=datetime.now(UTC), who=who, action=action, subject=subject, detail=detail))

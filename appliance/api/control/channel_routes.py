"""Alert channels and their messages over HTTP; an address goes in and never comes out."""

from __future__ import annotations

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from appliance.house import Appliance
from appliance.monitoring.channels import NewChannel
from appliance.monitoring.spans import Json, parse_span
from appliance.permissions import Action, Caller
from storage.channel_rows import ChannelRow
from storage.delivery_rows import DeliveryRow

ADMIN = {"action": Action.ADMINISTER}


class ChannelWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel to add; see ``Channels.add``."""

    name: str
    address: str
    secret: str | None = None
    least: str = "warn"


class SnoozeWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long, such as ``8h``."""

    span: str


@get("/alert-channels", sync_to_thread=True)
def list_channels(appliance: NamedDependency[Appliance]) -> list[ChannelRow]:
    """Every channel, without its address."""
    return list(appliance.channels.list())


@post("/alert-channels", sync_to_thread=True, status_code=201, opt=ADMIN)
def add_channel(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], data: JSONBody[ChannelWanted]
) -> NewChannel:
    """Add a channel; a webhook's fresh secret is in this answer and nowhere else."""
    return appliance.channels.add(
        data.name, data.address, who=caller.name, secret=data.secret, least=data.least
    )  # fmt: skip


@delete("/alert-channels/{name:str}", sync_to_thread=True, opt=ADMIN)
def remove_channel(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str]) -> None:
    """Forget a channel."""
    appliance.channels.remove(name, who=caller.name)


@post("/alert-channels/{name:str}/test", sync_to_thread=True, status_code=200)
def test_channel(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str]
) -> DeliveryRow:
    """Send a test message; ``state`` is sent, or dead with the reason."""
    return appliance.channels.test(name, who=caller.name)


@get("/alert-deliveries", sync_to_thread=True)
def deliveries(
    appliance: NamedDependency[Appliance], only: FromQuery[str | None] = None, limit: FromQuery[int] = 100
) -> list[DeliveryRow]:
    """The newest messages; ``only=dead`` are those that were given up."""
    return list(appliance.channels.deliveries(state=only, limit=min(max(limit, 1), 1000)))


@post("/alert-deliveries/{delivery_id:int}/retry", sync_to_thread=True, status_code=200)
def retry(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], delivery_id: FromPath[int]
) -> DeliveryRow:
    """Try a message again that was given up, by the delivery's id."""
    return appliance.channels.retry(delivery_id, who=caller.name)


@post("/alerts/{alert_id:int}/snooze", sync_to_thread=True, status_code=200)
def snooze(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    alert_id: FromPath[int],
    data: JSONBody[SnoozeWanted],
) -> Json:
    """Keep an alert's subject quiet for a while."""
    return appliance.channels.snooze(alert_id, parse_span(data.span), who=caller.name).to_json()


CHANNEL_ROUTES = (list_channels, add_channel, remove_channel, test_channel, deliveries, retry, snooze)

"""Feeds over HTTP: datasets that get new rows by a schedule or from a watched folder."""

from __future__ import annotations

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.api.control.access_routes import ADMIN
from appliance.errors import BadInput
from appliance.feeds import FeedInfo
from appliance.house import Appliance
from appliance.intake import Intake
from appliance.permissions import Caller


class NewFeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either a ``schedule`` (cron, UTC) or a ``folder`` of the appliance's host.

    Attributes:
        query: SQL that picks the rows of each file of the folder; likewise the next four.
        evolve: Take other columns than those that are there.
        again: Append the rows of a file that was read and then changed under its name.
    """

    schedule: str | None = None
    folder: str | None = None
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    target: str | None = None
    evolve: bool = False
    again: bool = False


@get("/feeds", sync_to_thread=True)
def list_feeds(appliance: NamedDependency[Appliance]) -> list[FeedInfo]:
    """Every feed, and how it went last."""
    return list(appliance.feeds.list())


@put("/datasets/{name:str}/feed", opt=ADMIN, sync_to_thread=True)
def declare_feed(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str], data: JSONBody[NewFeed]
) -> FeedInfo:
    """Declare a dataset's feed; for admins, since it reads what the appliance may read."""
    if (data.schedule is None) == (data.folder is None):
        raise BadInput("name either `schedule` (a cron expression) or `folder` (a path on this host)")
    if data.schedule is not None:
        return appliance.feeds.schedule(name, data.schedule, evolve=data.evolve, who=caller.name)
    intake = Intake(
        source=data.folder or "", query=data.query, prepare=data.prepare, sheet=data.sheet,
        delimiter=data.delimiter, target=data.target, evolve=data.evolve,
    )  # fmt: skip
    return appliance.feeds.watch(name, intake, again=data.again, who=caller.name)


@delete("/datasets/{name:str}/feed", opt=ADMIN, status_code=204, sync_to_thread=True)
def stop_feed(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str]) -> None:
    """End a dataset's feed; its rows stay."""
    appliance.feeds.stop(name, who=caller.name)


FEED_ROUTES = (list_feeds, declare_feed, stop_feed)

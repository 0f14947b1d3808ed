"""Backups and retention over HTTP, for admins."""

from __future__ import annotations

from litestar import get, post
from litestar.di import NamedDependency

from appliance.api.control.access_routes import ADMIN
from appliance.house import Appliance
from appliance.permissions import Caller
from appliance.upkeep import BackedUp, UpkeepReport


@get("/upkeep", sync_to_thread=True, opt=ADMIN)
def look(appliance: NamedDependency[Appliance]) -> UpkeepReport:
    """Every backup with its last proof, and what the coming night lets go; nothing is changed."""
    return appliance.upkeep.look()


@post("/backups", sync_to_thread=True, status_code=201, opt=ADMIN)
def back_up(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller]) -> BackedUp:
    """Make a backup now and prove it; answers when that is done, which may take minutes."""
    return appliance.upkeep.back_up(who=caller.name)


UPKEEP_ROUTES = (look, back_up)

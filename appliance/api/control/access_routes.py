"""Keys, users and the audit over HTTP, for admins; and where the parts of the appliance are."""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from appliance.access import NewKey, Role, User, one_time_password
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.errors import NotFound
from appliance.glance import ModelGlance, glance_at
from appliance.house import Appliance
from appliance.permissions import Action, Caller
from storage.audit_rows import AuditProof
from storage.key_rows import KeyRow

ADMIN = {"action": Action.ADMINISTER}


class KeyWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make; ``scope`` is predict, label, read or admin, or some joined by commas."""

    name: str
    scope: str


class UserWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to add: 1 to 64 letters, digits, and . _ @ -; ``role`` is viewer, operator or admin."""

    name: str
    role: str


class RoleWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user may from now on: viewer, operator or admin."""

    role: str


class OneTime(msgspec.Struct, frozen=True, kw_only=True):
    """A user's password for one use, which opens only the page that replaces it; told once, here."""

    name: str
    role: Role
    password: str


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to what."""

    id: int
    at: datetime
    who: str
    action: str
    subject: str
    detail: str


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts are, who asks, and how far the watch loop is behind."""

    api_url: str
    ui_url: str
    caller: str
    role: str
    models: int
    open_alerts: int


@get("/keys", sync_to_thread=True, opt=ADMIN)
def list_keys(appliance: NamedDependency[Appliance]) -> list[KeyRow]:
    """Every key, without its text."""
    return list(appliance.access.list_keys())


@post("/keys", sync_to_thread=True, status_code=201, opt=ADMIN)
def create_key(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], data: JSONBody[KeyWanted]
) -> NewKey:
    """Make a key; the answer is the only place that ever has its text."""
    return appliance.access.create_key(data.name, data.scope, who=caller.name)


@delete("/keys/{name:str}", sync_to_thread=True, opt=ADMIN)
def revoke_key(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str]) -> None:
    """Make a key open nothing from now on."""
    appliance.access.revoke_key(name, who=caller.name)


@get("/users", sync_to_thread=True, opt=ADMIN)
def list_users(appliance: NamedDependency[Appliance]) -> list[User]:
    """Every user."""
    return list(appliance.access.list_users())


@post("/users", sync_to_thread=True, status_code=201, opt=ADMIN)
def create_user(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], data: JSONBody[UserWanted]
) -> OneTime:
    """Add a user; the answer is the only place that ever has the one-time password."""
    password = one_time_password()
    made = appliance.access.create_user(data.name, data.role, password, who=caller.name)
    return OneTime(name=made.name, role=made.role, password=password)


@put("/users/{name:str}/role", sync_to_thread=True, opt=ADMIN)
def change_role(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str],
    data: JSONBody[RoleWanted],
) -> User:  # fmt: skip
    """Change what a user may; it acts at once, also in open sessions. 409: it is the last admin."""
    appliance.access.set_role(name, data.role, who=caller.name)
    return _user(appliance, name)


@post("/users/{name:str}/password", sync_to_thread=True, opt=ADMIN)
def reset_password(
    appliance: NamedDependency[Appliance], doorkeeper: NamedDependency[Doorkeeper], caller: NamedDependency[Caller],
    name: FromPath[str],
) -> OneTime:  # fmt: skip
    """Give a user a password for one use, and end the user's sessions."""
    password = doorkeeper.give_password(name, who=caller.name)
    return OneTime(name=name, role=_user(appliance, name).role, password=password)


@delete("/users/{name:str}", sync_to_thread=True, opt=ADMIN)
def remove_user(doorkeeper: NamedDependency[Doorkeeper], caller: NamedDependency[Caller], name: FromPath[str]) -> None:
    """Remove a user and end the user's sessions; what the user did stays in the audit. 409: it is the last admin."""
    doorkeeper.remove_user(name, who=caller.name)


def _user(appliance: Appliance, name: str) -> User:
    found = appliance.access.find_user(name)
    if found is None:
        raise NotFound(f"there is no user {name!r} any more; somebody removed it just now")
    return found


@get("/audit", sync_to_thread=True, opt=ADMIN)
def audit(
    appliance: NamedDependency[Appliance], limit: FromQuery[int] = 100, q: FromQuery[str] = ""
) -> list[AuditLine]:
    """The newest entries, newest first; with ``q`` those that have it in who, action, subject or detail."""
    return [
        AuditLine(
            id=row.id, at=row.entry.at, who=row.entry.who, action=row.entry.action, subject=row.entry.subject,
            detail=row.entry.detail,
        )
        for row in appliance.access.audit(min(max(limit, 1), 1000), text=q)
    ]  # fmt: skip


@get("/audit/verify", sync_to_thread=True, opt=ADMIN)
def verify(appliance: NamedDependency[Appliance]) -> AuditProof:
    """Check the audit's whole chain."""
    return appliance.access.verify()


@get("/status", sync_to_thread=True)
def status(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller]) -> StatusAnswer:
    """Where the parts are, and what waits for somebody."""
    return StatusAnswer(
        api_url=appliance.settings.api_url, ui_url=appliance.settings.ui_url, caller=caller.name,
        role=caller.role.value, models=len(appliance.models.list()),
        open_alerts=len(appliance.monitoring.alerts(open_only=True)),
    )  # fmt: skip


@get("/overview", sync_to_thread=True)
def overview(appliance: NamedDependency[Appliance]) -> list[ModelGlance]:
    """Every model at a glance."""
    return list(glance_at(appliance))


ACCESS_ROUTES = (
    overview, list_keys, create_key, revoke_key, list_users, create_user, change_role, reset_password, remove_user,
    audit, verify, status,
)  # fmt: skip

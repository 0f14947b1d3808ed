"""Who may do what: the one table that the dashboard's pages and the control API both ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.access import Role
from appliance.errors import NotAllowed


class Action(StrEnum):
    """What somebody wants to do.

    look: see anything but users, keys and the audit. work: add data, train, deploy, roll back, acknowledge.
    administer: users, keys, the audit.
    """

    LOOK = "look"
    WORK = "work"
    ADMINISTER = "administer"


_NEEDED = {Action.LOOK: Role.VIEWER, Action.WORK: Role.OPERATOR, Action.ADMINISTER: Role.ADMIN}
_IN_WORDS = {
    Action.LOOK: "looking at this",
    Action.WORK: "adding data, training, deploying and acknowledging",
    Action.ADMINISTER: "managing users and keys, and reading the audit,",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose name and role were proved by a session or a key.

    Attributes:
        name: As written into the audit.
        must_change: The password was given out once and has to be replaced before anything else.
    """

    name: str
    role: Role
    must_change: bool = False


def is_allowed(caller: Caller, action: Action) -> bool:
    """Whether the caller's role is enough."""
    return caller.role.includes(_NEEDED[action])


def require(caller: Caller, action: Action) -> None:
    """Let the caller pass.

    Raises:
        NotAllowed: The role is not enough, or a one-time password was not replaced yet.
    """
    if caller.must_change:
        raise NotAllowed(f"{caller.name} still has a one-time password; set your own one on the dashboard first")
    if not is_allowed(caller, action):
        article = "a" if caller.role is Role.VIEWER else "an"
        raise NotAllowed(
            f"{caller.name} is {article} {caller.role}; {_IN_WORDS[action]} needs the role {_NEEDED[action]}; "
            "an admin can change roles in Settings"
        )

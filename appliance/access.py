"""Who may do what: users with roles, API keys with scopes, and the audit chain of what they did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.keys import KeyInfo
from appliance.settings import Settings
from storage.audit_rows import AuditProof, AuditRow
from storage.key_rows import KeyRow


class Role(StrEnum):
    """What a user may do; each role may all that the one before it may.

    viewer: look. operator: add data, train, deploy. admin: users and keys.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """This role may all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with a login; ``must_change``: only the page that changes the password is open."""

    name: str
    role: Role
    must_change: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made: the one time that its text is known."""

    name: str
    scope: str
    key: str


class Access:
    """Users, keys and the audit of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def create_first_admin(self) -> bool:
        """Make the user ``admin`` when there is no user, its one-time password in ``layout.admin_password``.

        Returns:
            Whether it was made now.
        """
        raise NotImplementedError

    def login(self, name: str, password: str) -> User:
        """The user, when the password is right.

        Raises:
            NotAllowed: It is not, or there is no such user; the message does not say which.
        """
        raise NotImplementedError

    def create_user(self, name: str, role: str, password: str, *, who: str) -> User:
        """Add a user who must change this password at the first login.

        Raises:
            BadInput: The name, role or password cannot be used.
            Conflict: The name is taken.
        """
        raise NotImplementedError

    def set_password(self, name: str, password: str, *, who: str) -> None:
        """Change a password; one's own is good from then on, another's must be changed at the next login.

        Raises:
            BadInput: The password is too short.
            NotFound: No such user.
        """
        raise NotImplementedError

    def set_role(self, name: str, role: str, *, who: str) -> None:
        """Change a user's role.

        Raises:
            BadInput: No such role.
            NotFound: No such user.
            Conflict: It is the last admin.
        """
        raise NotImplementedError

    def delete_user(self, name: str, *, who: str) -> None:
        """Remove a user.

        Raises:
            NotFound: No such user.
            Conflict: It is the last admin.
        """
        raise NotImplementedError

    def find_user(self, name: str) -> User | None:
        """The user of that name, or None."""
        raise NotImplementedError

    def list_users(self) -> tuple[User, ...]:
        """Every user, by name."""
        raise NotImplementedError

    def create_key(self, name: str, scope: str, *, who: str) -> NewKey:
        """Make an API key; its text is in the answer and nowhere else.

        Args:
            name: What it is for.
            scope: predict, label, read or admin, or some of them joined by commas.
            who: Who makes it.

        Raises:
            BadInput: The name or a scope cannot be used.
            Conflict: The name is taken, also by a revoked key.
        """
        raise NotImplementedError

    def list_keys(self) -> tuple[KeyRow, ...]:
        """Every key, revoked ones too, by name."""
        raise NotImplementedError

    def revoke_key(self, name: str, *, who: str) -> None:
        """Make a key open nothing from now on.

        Raises:
            NotFound: No good key has that name.
        """
        raise NotImplementedError

    def check_key(self, key: str) -> KeyInfo | None:
        """What a key opens; None when it is unknown or revoked."""
        raise NotImplementedError

    def record(self, who: str, action: str, subject: str, detail: str = "") -> None:
        """Append to the audit: who did what to what; ``detail`` is a sentence and never a secret."""
        raise NotImplementedError

    def audit(self, limit: int = 100) -> tuple[AuditRow, ...]:
        """The newest entries, newest first."""
        raise NotImplementedError

    def verify(self) -> AuditProof:
        """Check the audit's whole chain."""
        raise NotImplementedError

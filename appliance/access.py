"""Who may do what: users with roles, API keys with scopes, and the audit chain of what they did."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from appliance.errors import BadInput, Conflict, NotAllowed, NotFound
from appliance.keys import KEY_PREFIX, KeyInfo, Scope, hash_key, parse_scopes
from appliance.settings import Settings
from storage import audit_rows, key_rows, statedb, user_rows
from storage.audit_rows import AuditEntry, AuditProof, AuditRow
from storage.bundles import replace_durably
from storage.errors import StateUnwritable
from storage.key_rows import KeyRow
from storage.user_rows import UserRow

FIRST_ADMIN = "admin"
MIN_PASSWORD = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""What a user or a key may be called."""
_NAMES = "use 1 to 64 of a-z, A-Z, 0-9, and . _ @ -, and start with a letter or digit"


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
        if self._settings.layout.admin_password.exists() and self.list_users():
            return False
        with self._database() as db, statedb.transaction(db):
            if user_rows.list_users(db):
                return False
            password = one_time_password()
            row = UserRow(
                name=FIRST_ADMIN, role=Role.ADMIN, password_hash=_hash(password), must_change=True, created_at=_now()
            )
            user_rows.put_user(db, row)
            _append(db, "cli", "user.add", FIRST_ADMIN, "first admin")
            # Written before the commit: a user whose password nobody knows would lock everybody out.
            replace_durably(self._settings.layout.admin_password, f"{password}\n".encode(), mode=0o600)
        return True

    def login(self, name: str, password: str) -> User:
        """The user, when the password is right.

        Raises:
            NotAllowed: It is not, or there is no such user; the message does not say which.
        """
        from argon2 import PasswordHasher  # noqa: PLC0415  (not in the serving process)
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        with self._database(read_only=True) as db:
            row = user_rows.find_user(db, name)
        if row is None:
            _hash(password)  # an unknown name costs the same time as a wrong password
            raise NotAllowed("the name or the password is wrong")
        try:
            PasswordHasher().verify(row.password_hash, password)
        except (VerificationError, InvalidHashError) as exc:
            raise NotAllowed("the name or the password is wrong") from exc
        return _user(row)

    def create_user(self, name: str, role: str, password: str, *, who: str) -> User:
        """Add a user who must change this password at the first login.

        Raises:
            BadInput: The name, role or password cannot be used.
            Conflict: The name is taken.
        """
        if not NAME.fullmatch(name):
            raise BadInput(f"{name!r} cannot be a user's name: {_NAMES}")
        row = UserRow(
            name=name, role=_role(role), password_hash=_hash(_require_password(password)), must_change=True,
            created_at=_now(),
        )  # fmt: skip
        with self._database() as db, statedb.transaction(db):
            if not user_rows.put_user(db, row):
                raise Conflict(f"there is a user {name!r} already; change the password or the role instead")
            _append(db, who, "user.add", name, f"role {row.role}")
        return _user(row)

    def set_password(self, name: str, password: str, *, who: str) -> None:
        """Change a password; one's own is good from then on, another's must be changed at the next login.

        Raises:
            BadInput: The password is too short.
            NotFound: No such user.
        """
        hashed = _hash(_require_password(password))
        with self._database() as db, statedb.transaction(db):
            if not user_rows.set_user_password(db, name, hashed, must_change=who != name):
                raise NotFound(_no_user(db, name))
            _append(db, who, "user.password", name)
        self._forget_first_password(name)

    def set_role(self, name: str, role: str, *, who: str) -> None:
        """Change a user's role.

        Raises:
            BadInput: No such role.
            NotFound: No such user.
            Conflict: It is the last admin.
        """
        wanted = _role(role)
        with self._database() as db, statedb.transaction(db):
            if user_rows.find_user(db, name) is None:
                raise NotFound(_no_user(db, name))
            if not user_rows.set_user_role(db, name, wanted):
                raise Conflict(f"{name!r} is the last admin; make somebody else admin first")
            _append(db, who, "user.role", name, f"role {wanted}")

    def delete_user(self, name: str, *, who: str) -> None:
        """Remove a user.

        Raises:
            NotFound: No such user.
            Conflict: It is the last admin.
        """
        with self._database() as db, statedb.transaction(db):
            if user_rows.find_user(db, name) is None:
                raise NotFound(_no_user(db, name))
            if not user_rows.delete_user(db, name):
                raise Conflict(f"{name!r} is the last admin; make somebody else admin first")
            _append(db, who, "user.delete", name)
        self._forget_first_password(name)

    def _forget_first_password(self, name: str) -> None:
        """The file of the first admin's one-time password opens nothing any more; the login page tells of it."""
        if name == FIRST_ADMIN:
            self._settings.layout.admin_password.unlink(missing_ok=True)

    def find_user(self, name: str) -> User | None:
        """The user of that name, or None."""
        with self._database(read_only=True) as db:
            row = user_rows.find_user(db, name)
        return None if row is None else _user(row)

    def list_users(self) -> tuple[User, ...]:
        """Every user, by name."""
        with self._database(read_only=True) as db:
            return tuple(_user(row) for row in user_rows.list_users(db))

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
        if not NAME.fullmatch(name):
            raise BadInput(f"{name!r} cannot name a key: {_NAMES}")
        try:
            scopes = parse_scopes(scope)
        except ValueError as exc:
            raise BadInput(f"{scope!r} is no scope: use {', '.join(Scope)}, or some of them joined by commas") from exc
        told = ",".join(each for each in Scope if each in scopes)
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        row = KeyRow(name=name, scope=told, hint=key[: len(KEY_PREFIX) + 4], created_at=_now(), created_by=who)
        with self._database() as db, statedb.transaction(db):
            if not key_rows.put_key(db, row, key_hash=hash_key(key)):
                raise Conflict(f"there is, or was, a key {name!r}; choose another name")
            _append(db, who, "key.create", name, f"scope {told}")
        return NewKey(name=name, scope=told, key=key)

    def list_keys(self) -> tuple[KeyRow, ...]:
        """Every key, revoked ones too, by name."""
        with self._database(read_only=True) as db:
            return tuple(key_rows.list_keys(db))

    def revoke_key(self, name: str, *, who: str) -> None:
        """Make a key open nothing from now on.

        Raises:
            NotFound: No good key has that name.
        """
        with self._database() as db, statedb.transaction(db):
            if not key_rows.revoke_key(db, name, _now()):
                raise NotFound(f"no good key is named {name!r}; 'appliance key list' shows them")
            _append(db, who, "key.revoke", name)

    def check_key(self, key: str) -> KeyInfo | None:
        """What a key opens; None when it is unknown or revoked."""
        with self._database(read_only=True) as db:
            row = key_rows.find_key_by_hash(db, hash_key(key))
        return None if row is None else KeyInfo(name=row.name, scopes=parse_scopes(row.scope))

    def record(self, who: str, action: str, subject: str, detail: str = "") -> None:
        """Append to the audit: who did what to what; ``detail`` is a sentence and never a secret."""
        with self._database() as db:
            _append(db, who, action, subject, detail)

    def audit(self, limit: int = 100, *, text: str = "", until: int | None = None) -> tuple[AuditRow, ...]:
        """The newest entries, newest first; only those that have ``text`` in them, and up to the id ``until``."""
        with self._database(read_only=True) as db:
            return tuple(audit_rows.list_audit(db, limit=limit, text=text, until=until))

    def verify(self) -> AuditProof:
        """Check the audit's whole chain."""
        with self._database(read_only=True) as db:
            return audit_rows.verify_audit(db)

    @contextmanager
    def _database(self, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        connection = statedb.connect(self._settings.layout.database, read_only=read_only)
        try:
            yield connection
        except sqlite3.OperationalError as exc:
            raise StateUnwritable(
                f"cannot write {self._settings.layout.database}: {exc}; free space, or run 'appliance doctor'"
            ) from exc
        finally:
            connection.close()


def one_time_password() -> str:
    """A made-up password, 20 characters of 120 random bits, to be given out once and replaced at the first login."""
    return secrets.token_urlsafe(15)


def _append(db: sqlite3.Connection, who: str, action: str, subject: str, detail: str = "") -> None:
    entry = AuditEntry(at=_now(), who=who, action=action, subject=subject, detail=detail)
    audit_rows.append_audit(db, entry)


def _hash(password: str) -> str:
    from argon2 import PasswordHasher  # noqa: PLC0415  (not in the serving process)

    return PasswordHasher().hash(password)


def _require_password(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise BadInput(f"a password needs {MIN_PASSWORD} characters or more")
    return password


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError as exc:
        raise BadInput(f"{role!r} is no role: use {', '.join(Role)}") from exc


def _user(row: UserRow) -> User:
    return User(name=row.name, role=Role(row.role), must_change=row.must_change, created_at=row.created_at)


def _no_user(db: sqlite3.Connection, name: str) -> str:
    return f"there is no user {name!r}; users: {', '.join(row.name for row in user_rows.list_users(db))}"


def _now() -> datetime:
    return datetime.now(UTC)

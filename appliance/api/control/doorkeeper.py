"""Proves who somebody is, once for the dashboard's pages and the control API: by session or by key."""

from __future__ import annotations

import time

from appliance.access import Access, Role, one_time_password
from appliance.api.control.attempts import LoginAttempts
from appliance.api.control.sessions import Sessions
from appliance.errors import BadInput, NotAllowed
from appliance.keys import Scope
from appliance.permissions import Caller


class TooManyAttempts(NotAllowed):
    """Too many wrong passwords; ``wait_s`` seconds have to pass."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(
            f"too many wrong passwords for this name or from this address; try again in {int(wait_s / 60) + 1} min"
        )


class NotLoggedIn(NotAllowed):
    """Neither a session nor a key came with the request."""


class Doorkeeper:
    """Logins, sessions and keys; every method may block for a moment, so call it off the event loop."""

    def __init__(self, access: Access, sessions: Sessions) -> None:
        self._access = access
        self._sessions = sessions
        self._attempts = LoginAttempts()

    def login(self, name: str, password: str, *, address: str) -> str:
        """Open a session and return its token.

        Raises:
            TooManyAttempts: Before the password is looked at.
            NotAllowed: Name or password is wrong.
        """
        if wait_s := self._attempts.wait_s(name, address, now_s=time.monotonic()):
            raise TooManyAttempts(wait_s)
        # Counted before the slow hash: parallel guesses must not all pass the check above.
        self._attempts.failed(name, address, now_s=time.monotonic())
        user = self._access.login(name, password)
        self._attempts.succeeded(name, address)
        return self._sessions.open(user.name, now_s=time.time())

    def logout(self, token: str | None) -> None:
        """Close a session."""
        self._sessions.close(token, now_s=time.time())

    def change_password(self, token: str | None, old: str, new: str, *, address: str) -> None:
        """Replace one's own password; every other session of the user ends.

        Raises:
            NotLoggedIn: The session is not open.
            TooManyAttempts: As ``login``.
            NotAllowed: The old password is wrong.
            BadInput: The new one is too short.
        """
        caller = self.of_session(token)
        if caller is None:
            raise NotLoggedIn("the session has ended; log in again")
        if wait_s := self._attempts.wait_s(caller.name, address, now_s=time.monotonic()):
            raise TooManyAttempts(wait_s)
        self._attempts.failed(caller.name, address, now_s=time.monotonic())
        self._access.login(caller.name, old)
        self._attempts.succeeded(caller.name, address)
        self._access.set_password(caller.name, new, who=caller.name)
        self._sessions.close_all(caller.name, but=token, now_s=time.time())

    def of_session(self, token: str | None) -> Caller | None:
        """Who a session belongs to, with the role of this moment; None when it is not open."""
        name = self._sessions.find(token, now_s=time.time())
        user = self._access.find_user(name) if name else None
        return Caller(name=user.name, role=user.role, must_change=user.must_change) if user else None

    def of_key(self, key: str) -> Caller:
        """Who a key stands for: scope read is a viewer, admin an admin.

        Raises:
            NotLoggedIn: The key is unknown or revoked.
            NotAllowed: Its scopes open the inference API only.
        """
        info = self._access.check_key(key)
        if info is None:
            raise NotLoggedIn("the key is unknown or revoked; make one with `appliance key create NAME --scope read`")
        if not info.opens(Scope.READ):
            opened = ", ".join(sorted(info.scopes))
            raise NotAllowed(f"the key {info.name} has the scope {opened}; the control API needs read or admin")
        return Caller(name=f"key:{info.name}", role=Role.ADMIN if info.opens(Scope.ADMIN) else Role.VIEWER)

    def remove_user(self, name: str, *, who: str) -> None:
        """Remove a user and end the sessions, which would open again for a new user of that name.

        Raises:
            NotFound: No such user.
            Conflict: It is the last admin.
        """
        self._access.delete_user(name, who=who)
        self._sessions.close_all(name, now_s=time.time())

    def give_password(self, name: str, *, who: str) -> str:
        """Replace another's password by a made-up one for one use, and end the sessions that the old one opened.

        Returns:
            The password, which opens only the page that replaces it.

        Raises:
            NotFound: No such user.
            BadInput: It is one's own, which ``change_password`` replaces.
        """
        if name == who:
            raise BadInput("one's own password is changed on the dashboard's page Password, with the present one")
        password = one_time_password()
        self._access.set_password(name, password, who=who)
        self._sessions.close_all(name, now_s=time.time())
        return password

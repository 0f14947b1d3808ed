"""Who calls the control API, and whether they may: one guard for every route."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from litestar.connection import ASGIConnection, Request
from litestar.handlers.base import BaseRouteHandler

from appliance.api.control.doorkeeper import Doorkeeper, NotLoggedIn
from appliance.api.control.origin import is_cross_site
from appliance.errors import NotAllowed
from appliance.permissions import Action, Caller, require

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Proves the caller by key or session, then asks the one table of permissions.

    A route says what it needs by ``action=`` in its ``opt``; without it, reading looks and writing works.
    """

    def __init__(self, doorkeeper: Doorkeeper, *, session_key: str) -> None:
        self._doorkeeper = doorkeeper
        self._session_key = session_key

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the request pass, with ``state.caller`` set.

        Raises:
            NotLoggedIn: Neither key nor session, or not good any more.
            NotAllowed: Not with this role or scope, or sent by a page of another site.
        """
        if handler.opt.get("open"):
            return
        method = str(connection.scope.get("method", "GET"))
        key = _key(connection)
        if key is not None:
            caller = await anyio.to_thread.run_sync(self._doorkeeper.of_key, key)
        else:
            if method not in READING and is_cross_site(connection.headers):
                raise NotAllowed("a page of another site sent this; use the dashboard itself, or a key")
            caller = await self._of_session(connection)
        usual = Action.LOOK if method in READING else Action.WORK
        require(caller, handler.opt.get("action", usual))
        connection.state["caller"] = caller

    async def _of_session(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        session = connection.scope.get("session")
        token = session.get(self._session_key) if isinstance(session, dict) else None
        caller = await anyio.to_thread.run_sync(self._doorkeeper.of_session, token)
        if caller is None:
            raise NotLoggedIn("log in to the dashboard, or send `Authorization: Bearer KEY` with a read or admin key")
        return caller


async def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The caller the guard proved."""
    caller = request.state["caller"]
    if not isinstance(caller, Caller):
        raise NotLoggedIn("this route needs a caller")
    return caller


def _key(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    return connection.headers.get("x-api-key")

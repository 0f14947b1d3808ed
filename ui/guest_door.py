"""A port of its own before each guest: proves the session, then passes requests and websockets on to loopback.

A sub-path would be simpler and breaks Prefect's UI. Cookies know no ports, so the dashboard's session holds here too.
Whoever has none is sent to the login and back; what another site's page sends is refused, since cookies come with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
from nicegui import run
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.origin import is_cross_site
from appliance.errors import NotAllowed
from appliance.house import Appliance
from appliance.permissions import Action, Caller, require
from ui.guests import Guest
from ui.page import LOOK_AGAIN_S, SESSION_KEY
from ui.texts import _

COOKIES = "appliance_"
"""How the names of our own cookies begin; no guest sees them, none may set them."""

_OF_ONE_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "proxy-connection",
})  # fmt: skip
# A guest's own checks are about who reaches loopback; ours were made here.
_NOT_PASSED_ON = _OF_ONE_HOP | {"host", "origin", "referer", "authorization", "cookie", "forwarded", "expect"}
_NOT_PASSED_BACK = _OF_ONE_HOP | {"server", "date", "set-cookie"}
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_WAIT = httpx.Timeout(10.0, read=180.0)
"""MLflow takes a while to start for its first visitor."""

_LOG = logging.getLogger("appliance.ui")


class GuestDoor:
    """The ASGI application of one guest's port; expects the session middleware around it."""

    def __init__(self, guest: Guest, *, appliance: Appliance, doorkeeper: Doorkeeper) -> None:
        self._guest = guest
        self._appliance = appliance
        self._doorkeeper = doorkeeper
        # No connection is kept: MLflow goes to sleep when nobody is connected any more.
        self._client = httpx.AsyncClient(
            timeout=_WAIT, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or serve a websocket."""
        if scope["type"] == "http":
            await (await self._answer(Request(scope, receive)))(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._converse(WebSocket(scope, receive, send))

    async def close(self) -> None:
        """Let go of the guest."""
        await self._client.aclose()

    async def _answer(self, request: Request) -> Response:
        caller = await self._caller(request)
        navigates = _navigates(request)
        if caller is None or caller.must_change:
            return self._to_login(request, caller) if navigates else _refusal(401, _("log in to the dashboard first"))
        if not navigates and is_cross_site(request.headers):
            return _refusal(403, _("a page of another site sent this; nothing was done"))
        needed = self._guest.needs(request.method, request.url.path)
        try:
            require(caller, needed)
        except NotAllowed as exc:
            return _refusal(
                403, _("{label}: this call may change something. {error}").format(label=self._guest.label, error=exc)
            )
        if needed is Action.ADMINISTER:
            did = f"{request.method} {request.url.path}"
            await run.io_bound(self._appliance.access.record, caller.name, "guest.change", self._guest.name, did)
        try:
            return await self._forward(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except httpx.TransportError as exc:
            _LOG.warning("%s does not answer: %s: %s", self._guest.label, type(exc).__name__, exc)
            return PlainTextResponse(
                _(
                    "{label} does not answer. See `appliance status` and "
                    "`appliance logs {service}`, then load this page again.\n"
                ).format(label=self._guest.label, service=self._guest.service),
                status_code=502,
            )

    async def _caller(self, came: HTTPConnection) -> Caller | None:
        caller: Caller | None = await run.io_bound(self._doorkeeper.of_session, came.session.get(SESSION_KEY))
        return caller

    def _to_login(self, request: Request, caller: Caller | None) -> Response:
        to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = quote(f"/open/{self._guest.name}?to={quote(to)}")
        there = "/password" if caller else f"/login?next={back}"
        return RedirectResponse(self._guest.home(request, self._appliance.settings, there), status_code=303)

    async def _forward(self, request: Request) -> Response:
        carries = request.headers.get("transfer-encoding") or request.headers.get("content-length", "0") != "0"
        asked = self._client.build_request(
            request.method, httpx.URL(self._guest.url).copy_with(raw_path=_target(request.scope)),
            headers=_passed_on(request.headers, self._guest),
            content=request.stream() if carries else None,
        )  # fmt: skip
        found = await self._client.send(asked, stream=True)
        answer = StreamingResponse(_body(found), status_code=found.status_code)
        answer.raw_headers = _passed_back(found.headers, self._guest)
        return answer

    async def _converse(self, socket: WebSocket) -> None:
        caller = await self._caller(socket)
        try:
            if caller is None or is_cross_site(socket.headers):
                raise NotAllowed("no session, or a page of another site")
            require(caller, self._guest.needs("", socket.url.path))
        except NotAllowed:
            await socket.close(1008)  # before it is accepted: the browser gets a 403
            return
        url = self._guest.url.replace("http", "ws", 1) + _target(socket.scope).decode("ascii")
        spoken = [Subprotocol(one) for one in socket.scope.get("subprotocols", ())]
        try:
            async with connect(
                url, subprotocols=spoken or None, proxy=None, compression=None, max_size=None, user_agent_header=None
            ) as inner:
                await socket.accept(inner.subprotocol)
                await self._pass_through(socket, inner)
        except (OSError, TimeoutError, WebSocketException) as exc:
            _LOG.warning("%s: a websocket ended: %s: %s", self._guest.label, type(exc).__name__, exc)
            await _hang_up(socket)

    async def _pass_through(self, socket: WebSocket, inner: ClientConnection) -> None:
        """Until one side hangs up, or the session ends."""
        directions = [
            asyncio.ensure_future(one)
            for one in (_inwards(socket, inner), _outwards(inner, socket), self._watch(socket))
        ]
        try:
            done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in directions:
                one.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        await _hang_up(socket)
        for one in done:
            one.result()

    async def _watch(self, socket: WebSocket) -> None:
        while await self._caller(socket) is not None:
            await asyncio.sleep(LOOK_AGAIN_S)


async def _inwards(socket: WebSocket, inner: ClientConnection) -> None:
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        data = message.get("text")
        await inner.send(message["bytes"] if data is None else data)


async def _outwards(inner: ClientConnection, socket: WebSocket) -> None:
    async for message in inner:
        await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))


async def _hang_up(socket: WebSocket) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the other side was first
        await socket.close()


def _navigates(request: Request) -> bool:
    """Whether a person goes to this page, so that a way to the login helps; a link from elsewhere may lead here."""
    page = "text/html" in request.headers.get("accept", "")
    return request.method == "GET" and page and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


def _refusal(status: int, message: str) -> Response:
    # MLflow's UI shows ``message``, Prefect's ``detail``.
    return JSONResponse({"detail": message, "message": message}, status_code=status)


def _target(scope: Mapping[str, Any]) -> bytes:
    """Path and query as they came: what was quoted stays quoted."""
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    return path + (b"?" + query if query else b"")


def _passed_on(headers: Headers, guest: Guest) -> list[tuple[str, str]]:
    kept = [
        (name, value)
        for name, value in headers.items()
        if name not in _NOT_PASSED_ON and not name.startswith(("sec-fetch-", "x-forwarded-"))
    ]
    foreign = [one for one in headers.get("cookie", "").split("; ") if one and not one.startswith(COOKIES)]
    kept += [("cookie", "; ".join(foreign))] if foreign else []
    return [*kept, ("host", guest.url.removeprefix("http://"))]


def _passed_back(headers: httpx.Headers, guest: Guest) -> list[tuple[bytes, bytes]]:
    kept = [
        (name.lower(), value)
        for name, value in headers.raw
        if name.lower().decode("latin-1") not in _NOT_PASSED_BACK and not name.lower().startswith(b"access-control-")
    ]
    # A guest knows itself by its address on loopback; the browser stays on the address it came by.
    inner = guest.url.encode()
    kept = [(name, value.removeprefix(inner) or b"/" if name == b"location" else value) for name, value in kept]
    cookies = headers.get_list("set-cookie")
    kept += [(b"set-cookie", one.encode("latin-1")) for one in cookies if not one.startswith(COOKIES)]
    return [
        *kept, (b"content-security-policy", _POLICY.encode()), (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    ]  # fmt: skip


async def _body(found: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in found.aiter_raw():
            yield chunk
    finally:
        await found.aclose()

"""The ASGI application of a worker: its life, and Litestar for what connections do not answer themselves.

Litestar, with what it brings, is half of a process's memory and of its start, and rarely needed: the connections answer
every plain request. It is imported, in another thread, with the first request that is not plain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from appliance.api.inference.endpoints import refusal_of
from appliance.api.inference.errors import BadField, NoSuchRoute
from appliance.api.inference.exchange import Desk, find_request_id, new_request_id
from appliance.api.inference.paths import PathTable

if TYPE_CHECKING:
    from litestar import Litestar, Request
    from litestar.exceptions import HTTPException
    from litestar.response import Response
    from litestar.types import Receive, Scope, Send


class Front:
    """What uvicorn calls; one for each worker."""

    def __init__(self, desk: Desk, paths: PathTable, live: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._desk = desk
        self._paths = paths
        self._live = live
        self._app: Litestar | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Live, or answer one request."""
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]  # Litestar's Scope leaves this one out
            await self._follow_life(receive, send)
            return
        if self._paths.is_too_long(scope["path"]):
            await _answer(self._desk, self._paths, scope, receive, send)
            return
        if self._app is None:
            async with self._loading:
                if self._app is None:
                    self._app = await asyncio.to_thread(make_app, self._desk, self._paths)
        await self._app(scope, receive, send)

    async def _follow_life(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """The protocol of ASGI's lifespan; what fails at the start ends the process with its reason."""
        await receive()
        phase = "startup"
        try:
            async with self._live():
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
        except Exception as exc:
            await send({"type": f"lifespan.{phase}.failed", "message": str(exc)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def make_app(desk: Desk, paths: PathTable) -> Litestar:
    """The Litestar application.

    All paths go through one bare ASGI handler (`@asgi`): Litestar's parameter injection, which costs more than a
    prediction does, stays out of the way.
    """
    from litestar import Litestar, asgi  # noqa: PLC0415  (see the module's first lines)
    from litestar.exceptions import HTTPException  # noqa: PLC0415

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(desk, paths, scope, receive, send)

    return Litestar(
        route_handlers=[asgi("/", is_mount=True, copy_scope=False)(handle)],
        exception_handlers={HTTPException: _refuse_unrouted},
        openapi_config=None,
        logging_config=None,
    )


async def _answer(desk: Desk, paths: PathTable, scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    try:
        match = paths.find(path)
    except NoSuchRoute as exc:
        await desk.turn_away(refusal_of(path), scope, send, exc)
        return
    await desk.serve(match.endpoint, scope, receive, send, match.params)


def _refuse_unrouted(request: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, such as a malformed Host header, in the shape of the path's dialect."""
    from litestar.response import Response  # noqa: PLC0415

    answer_id = find_request_id(dict(request.scope["headers"])) or new_request_id(time.time_ns() // 1000)
    refusal = refusal_of(request.scope["path"])(
        BadField(field="headers", found=exc.detail, accepted="an HTTP request with a valid Host header"), answer_id
    )
    return Response(
        refusal.body, status_code=400, media_type=refusal.content_type.decode(), headers={"x-request-id": answer_id}
    )

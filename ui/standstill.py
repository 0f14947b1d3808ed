"""While a release takes the place of another, nobody changes anything here: it would be lost if that is taken back."""

from __future__ import annotations

from html import escape

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.api.control.problems import STATUS, Problem
from appliance.errors import NotReady
from appliance.processes.release_journal import is_changing
from storage.layout import Layout
from ui.texts import _, language

LOOK_AGAIN_S = 2
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class StandStill:
    """Answers in the application's place until the change is final; reading calls of the API pass.

    A page would let through what is clicked on it, so it is not given either: a note stands there that looks again by
    itself. A guest's port, whose every call may change something, is closed whole.

    Args:
        assets: Where the style lies; empty where there is none.
        reads: The path below which calls that only read are answered all the same, such as the probes of the upgrade.
    """

    def __init__(self, app: ASGIApp, layout: Layout, *, assets: str = "", reads: str = "") -> None:
        self._app = app
        self._layout = layout
        self._assets = assets
        self._open = tuple(path for path in (assets, reads) if path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, or say that it has to wait."""
        if scope["type"] not in {"http", "websocket"} or not is_changing(self._layout) or self._only_reads(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})  # before it is accepted: try again later
        else:
            await self._answer(Request(scope))(scope, receive, send)

    def _only_reads(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["method"] in _READS and scope["path"].startswith(self._open)

    def _answer(self, request: Request) -> Response:
        headers = {"Retry-After": str(LOOK_AGAIN_S), "Cache-Control": "no-store"}
        said = _(
            "Another release takes over and is being checked, which takes half a minute. Until then nothing can be "
            "changed here; predictions are answered."
        )
        if "text/html" not in request.headers.get("accept", ""):
            status, title = STATUS[NotReady]
            problem = Problem(type=NotReady.__name__, title=title, status=status, detail=said)
            return Response(msgspec.json.encode(problem), status, headers, "application/problem+json")
        if request.method == "GET":
            headers["Refresh"] = str(LOOK_AGAIN_S)
        style = f'<link rel="stylesheet" href="{self._assets}/theme.css">' if self._assets else ""
        title, opens = _("A moment"), _("This page opens by itself. If it stays, `appliance doctor` says why.")
        return HTMLResponse(
            f'<!doctype html><html lang="{escape(language())}"><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width">{style}<main class="gate"><div '
            f'class="panel" role="status"><h1>{escape(title)}</h1><p>{escape(said)}</p><p>{escape(opens)}</p></div>'
            "</main></html>",
            503, headers,
        )  # fmt: skip

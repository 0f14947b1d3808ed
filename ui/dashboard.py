"""The composition root of the dashboard: pages, login, assets and the control API in one server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote

from nicegui import app, run
from nicegui import ui as ng
from nicegui.language import Language
from starlette.datastructures import MutableHeaders
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.api.control.app import create_control_app
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.sessions import Sessions
from appliance.api.offers import StayingProtocol
from appliance.house import Appliance, open_appliance
from appliance.processes import heap
from appliance.processes.notify import say_ready
from appliance.processes.pulse import feed_while_answering
from appliance.settings import Settings
from ui.beside import Beside
from ui.gate import Gate, local
from ui.guest_door import COOKIES, GuestDoor
from ui.guests import Guest, list_guests
from ui.memory import settle, sweep
from ui.page import SESSION_KEY
from ui.pages import PAGES
from ui.shell import NAME, Shell
from ui.standstill import StandStill
from ui.texts import language

ASSETS = Path(__file__).parent / "assets"
SESSION_DAYS = 14
GIVE_BACK_S = 30.0
SWEEP_S = 0.5
_HEADERS = {
    # NiceGUI's pages are inline modules, and Vue compiles templates in the browser; nothing comes from another host.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class SafeHeaders:
    """Adds the headers that keep pages from loading or lending anything elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    appliance = open_appliance(settings, apart=True)
    app.on_shutdown(appliance.close)
    doorkeeper = Doorkeeper(appliance.access, Sessions(settings.layout.root / "ui" / "sessions.json"))
    assets = _serve_assets()
    shell = Shell(appliance=appliance, doorkeeper=doorkeeper, assets=assets)
    Gate(appliance=appliance, doorkeeper=doorkeeper, shell=shell).open()
    for page in PAGES:
        shell.add(page)
    control = create_control_app(appliance, doorkeeper, session_key=SESSION_KEY)
    app.mount("/api", cast("ASGIApp", control))  # Litestar spells the same ASGI types more narrowly
    app.add_middleware(StandStill, layout=settings.layout, assets=assets, reads="/api/")
    app.add_middleware(SafeHeaders)
    cookie = _cookie(settings)
    _welcome_guests(appliance, doorkeeper, cookie)
    app.on_startup(lambda: feed_while_answering(settings.listen, settings.ui_port, "/api/health"))
    app.on_startup(settle)
    app.timer(SWEEP_S, sweep, immediate=False)
    app.timer(GIVE_BACK_S, lambda: run.io_bound(heap.give_back), immediate=False)
    settle()
    ng.run(
        host=settings.listen,
        port=settings.ui_port,
        title=NAME,
        favicon=ASSETS / "mark.svg",
        dark=None,
        language=_pack(),
        tailwind=False,
        reload=False,
        show=False,
        show_welcome_message=False,
        binding_refresh_interval=None,
        reconnect_timeout=10.0,
        storage_secret=cookie.pop("secret_key"),
        session_middleware_kwargs=cookie,
        timeout_graceful_shutdown=5,
        access_log=False,
        log_config=None,  # what it logs goes where the rest does
        callback_notify=say_ready,
        http=StayingProtocol,
    )  # fmt: skip


def _pack() -> Language:
    """Quasar's own words in the language of the process, which become the page's ``lang``, too."""
    wanted = language()
    known: tuple[Language, ...] = get_args(Language)
    found = (one for name in (wanted, wanted.partition("-")[0]) for one in known if one == name)
    return next(found, "en-US")


def _cookie(settings: Settings) -> dict[str, Any]:
    """How the session's cookie is called and signed; the same on each of our ports."""
    return {
        "secret_key": _derived(settings.layout.secret), "same_site": "lax", "max_age": SESSION_DAYS * 86_400,
        # Two appliances on one host share its cookies, since cookies know no ports.
        "session_cookie": f"{COOKIES}{settings.ui_port}",
    }  # fmt: skip


def _welcome_guests(appliance: Appliance, doorkeeper: Doorkeeper, cookie: Mapping[str, Any]) -> None:
    """Open a port for each guest, which the same session opens, and the addresses that lead there."""
    settings = appliance.settings
    for guest in list_guests(settings):
        door = GuestDoor(guest, appliance=appliance, doorkeeper=doorkeeper)
        closed = StandStill(SessionMiddleware(door, **cookie), settings.layout)
        beside = Beside(closed, settings.listen, guest.port)
        app.on_startup(beside.start)
        app.on_shutdown(beside.stop)
        app.on_shutdown(door.close)

        app.add_route(f"/open/{guest.name}", partial(_lead, settings, guest), methods=["GET"])


async def _lead(settings: Settings, guest: Guest, request: Request) -> Response:
    """Send the browser on to a guest's page.

    Not by a redirect: one that follows the login's form falls under ``form-action``, and a guest is another origin.
    """
    to = local(request.query_params.get("to", "/"))
    address = quote(guest.address(request, settings, to), safe=":/%#?=@[]!$&'()*+,;")
    return HTMLResponse(f'<a href="{escape(address)}">{guest.label}</a>', headers={"Refresh": f"0; url={address}"})


def _serve_assets() -> str:
    """Serve style and script under an address that changes with them, so that browsers may keep them."""
    digest = hashlib.sha256()
    for file in sorted(ASSETS.iterdir()):
        digest.update(file.read_bytes())
    address = f"/assets/{digest.hexdigest()[:12]}"
    app.add_static_files(address, ASSETS, max_cache_age=365 * 86_400)
    return address


def _derived(secret: Path) -> str:
    """The key that signs cookies: derived, so that it is worth nothing for prediction ids."""
    return hashlib.blake2b(b"dashboard session", key=secret.read_bytes()[:64], digest_size=32).hexdigest()

"""The frame around every page: navigation, heading, who is logged in, light and dark, and the same call elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from urllib.parse import quote

from nicegui import app, run
from nicegui import ui as ng
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.api.control.doorkeeper import Doorkeeper
from appliance.errors import ApplianceError
from appliance.house import Appliance
from appliance.permissions import Action, require
from storage.errors import StorageError
from ui.components.guest_link import guest_links
from ui.components.markup import box, icon, icon_html, link, text, with_attributes
from ui.components.status import notice
from ui.help.topics import read_topic, topic_of
from ui.memory import let_go
from ui.page import SESSION_KEY, Page, View, address_of, log_refused, log_unexpected, way_in
from ui.texts import _, script_messages

MARK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" '
    'stroke-linejoin="round" aria-hidden="true"><rect x="2.5" y="3.5" width="19" height="17" rx="4"/>'
    '<path d="M6.5 15.5l3.5-4.5 3 3 4.5-6"/></svg>'
)
NAME = "MLOps appliance"
SCRIPT = Path(__file__).parent / "assets" / "dashboard.js"
NAVIGATION = (
    ("overview", _("Overview"), "/", "space_dashboard"),
    ("data", _("Data"), "/data", "table_chart"),
    ("models", _("Models"), "/models", "hub"),
    ("deployments", _("Deployments"), "/deployments", "rocket_launch"),
    ("monitoring", _("Monitoring"), "/monitoring", "monitor_heart"),
    ("jobs", _("Jobs"), "/jobs", "schedule"),
    ("alerts", _("Alerts"), "/alerts", "notifications"),
    ("audit", _("Audit"), "/audit", "receipt_long"),
    ("settings", _("Settings"), "/settings", "settings"),
    ("help", _("Help"), "/help", "help_outline"),
)
_COUNTED_S = 5.0
_NEEDS = {"audit": Action.ADMINISTER}
"""Entries that are not everybody's."""
_THEMES: dict[str, bool | None] = {"system": None, "light": False, "dark": True}
_APPEARANCES = (
    ("system", "brightness_auto", _("System"), _("System appearance")),
    ("light", "light_mode", _("Light"), _("Light appearance")),
    ("dark", "dark_mode", _("Dark"), _("Dark appearance")),
)


class Shell:
    """Puts pages at their addresses, lets in who may see them, and draws the frame."""

    def __init__(self, *, appliance: Appliance, doorkeeper: Doorkeeper, assets: str) -> None:
        self._appliance = appliance
        self._doorkeeper = doorkeeper
        self._assets = assets
        self._texts = _as_json(script_messages(SCRIPT.read_text(encoding="utf-8")))

    def add(self, page: Page) -> None:
        """Serve a page at its address."""

        async def serve(request: Request) -> Response | None:
            caller = await run.io_bound(self._doorkeeper.of_session, request.session.get(SESSION_KEY))
            elsewhere = way_in(caller, address_of(request))
            if caller is None or elsewhere:
                return RedirectResponse(elsewhere or "/login", status_code=303)
            view = View(appliance=self._appliance, doorkeeper=self._doorkeeper, caller=caller, request=request)
            await self._draw(page, view)
            return None

        ng.page(page.path, response_timeout=60.0)(serve)

    def dress(self, title: str) -> None:
        """The title, the style and the theme of the page being built."""
        ng.page_title(f"{title} · {NAME}")
        ng.add_head_html(
            f'<script type="application/json" id="texts">{self._texts}</script>'
            f'<link rel="stylesheet" href="{self._assets}/theme.css">'
            f'<script defer src="{self._assets}/dashboard.js"></script>'
        )
        ng.dark_mode(_THEMES.get(str(app.storage.user.get("theme", "system"))))

    async def _draw(self, page: Page, view: View) -> None:
        title = _filled(page.title, view.parts)
        self.dress(title)
        link(_("Skip to the content"), "#content", "nicegui-skip-link")
        ng.on("tab-hidden", lambda event: view.pause(hidden=bool(event.args)))
        ng.on("page-left", partial(let_go, ng.context.client))
        view.watch_session()
        with box("frame"):
            with box("topbar"):
                menu = ng.html(icon_html("menu"), sanitize=False, tag="button").classes("menu-button")
                menu.props("type=button data-menu aria-expanded=false aria-controls=side")
                with_attributes(menu, aria_label=_("Menu"))
                _brand()
            await self._side(page.section, view)
            await asyncio.sleep(0)  # what others wait for comes first: drawing a page is long enough in parts
            box("backdrop")
            with box("main", "main").props("id=content tabindex=-1"), box("page"):
                with box("page-head"):
                    with box("titles"):
                        _crumbs(page, view.parts)
                        text(title, "wrap-any", "h1")
                        if page.lead:
                            text(page.lead, "muted", "p")
                    _help(page)
                    view.actions = box("actions")
                with box("stack l"):
                    await _fill(page, view)
                await asyncio.sleep(0)  # NiceGUI puts the whole page into words next
                _same(page, view)

    async def _side(self, section: str, view: View) -> None:
        with box("side", "aside").props("id=side"):
            _brand()
            with with_attributes(box("nav", "nav"), aria_label=_("Pages")):
                for key, label, address, icon_name in NAVIGATION:
                    if not view.may(_NEEDS.get(key, Action.LOOK)):
                        continue
                    with ng.element("a").props(f'href="{address}"') as entry:
                        icon(icon_name)
                        text(label, tag="span")
                    if key == section:
                        entry.props('aria-current="page"')
                    if key == "alerts":
                        await _open_alerts(view, entry)
                guest_links(view.appliance.settings)
            leave = escape(_("Log out"))
            with box("foot"):
                _theme_choice()
                with box("who"):
                    icon("account_circle", "muted")
                    with box("grow"):
                        text(view.caller.name, "strong wrap-any")
                        text(view.caller.role.value, "muted small")
                    ng.html(
                        '<form method="post" action="/logout"><button type="submit" class="icon-button" '
                        f'aria-label="{leave}" title="{leave}">{icon_html("logout")}</button></form>',
                        sanitize=False,
                    )


async def _fill(page: Page, view: View) -> None:
    try:
        require(view.caller, page.action)
        await page.build(view)
    except (ApplianceError, StorageError) as exc:
        notice(log_refused(exc), tone="alarm", title=_("This cannot be shown"))
    except Exception:  # noqa: BLE001  (the border of a page: the frame stays, the log has the stack)
        notice(log_unexpected(page.path), tone="alarm", title=_("This cannot be shown"))


async def _open_alerts(view: View, entry: ng.element) -> None:
    """How many alerts wait for somebody, beside the entry of the navigation, kept up to date."""
    with entry:
        count = ng.html("", sanitize=False, tag="span").classes("count")
    with_attributes(count, title=_("open alerts"))

    async def refresh() -> None:
        try:
            alerts = await view.ask(view.appliance.monitoring.alerts, open_only=True)
        except (ApplianceError, StorageError):
            return  # the page itself says what is wrong; the number in the margin is a convenience
        if app.is_stopping or count.is_deleted:
            return  # the page was left while it was asked for, and there is no answer
        waiting = sum(alert.acknowledged_by is None for alert in alerts)
        count.set_content(str(waiting))
        count.set_visibility(waiting > 0)

    await refresh()
    view.every(_COUNTED_S, refresh)


def _as_json(messages: Mapping[str, str]) -> str:
    """As JSON that may stand in an element of the page."""
    return json.dumps(messages).replace("<", "\\u003c")


def _brand() -> None:
    ng.html(f"{MARK}<span>{escape(NAME)}</span>", sanitize=False, tag="a").classes("brand").props('href="/"')


def _crumbs(page: Page, parts: Mapping[str, str]) -> None:
    if not page.parents:
        return
    with with_attributes(box("crumbs", "nav"), aria_label=_("Breadcrumb")):
        for label, address in page.parents:
            link(_filled(label, parts), _filled(address, {key: quote(value) for key, value in parts.items()}))
            text("/", tag="span").props("aria-hidden=true")


def _help(page: Page) -> None:
    """The way to the topic that fits the page."""
    if page.section == "help":
        return
    topic = read_topic(topic_of(page.path, page.section))
    label = _("Help: {topic}").format(topic=topic.title)
    word = escape(_("Help"))
    entry = ng.html(f"{icon_html('help_outline')}<span>{word}</span>", sanitize=False, tag="a")
    with_attributes(entry.classes("help-link"), href=f"/help/{topic.slug}", title=label, aria_label=label)


def _same(page: Page, view: View) -> None:
    cli, rest = view.same or (page.cli, page.rest)
    if not cli and not rest:
        return
    with box("same", "footer"):
        text(_("The same elsewhere:"), tag="span")
        for one in (cli, rest):
            if one:
                text(_filled(one, view.parts), tag="code")


def _theme_choice() -> None:
    chosen = str(app.storage.user.get("theme", "system"))

    def choose(name: str) -> None:
        app.storage.user["theme"] = name
        # The page is made anew rather than patched, so that charts, menus and the browser's own parts agree.
        ng.navigate.reload()

    with with_attributes(box("segmented").props("role=group"), aria_label=_("Appearance")):
        for name, icon_name, title, label in _APPEARANCES:
            button = ng.html(icon_html(icon_name), sanitize=False, tag="button").props("type=button")
            with_attributes(button, title=title, aria_label=label)
            button.props(f'aria-current="{str(name == chosen).lower()}"').on(
                "click", lambda _event, name=name: choose(name)
            )


def _filled(template: str, parts: Mapping[str, str]) -> str:
    for key, value in parts.items():
        template = template.replace("{" + key + "}", value)
    return template

"""Alerts: changes of state that held for two windows in a row; the channels they go out through, and the messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from appliance.monitoring.alerts import Alert
from appliance.monitoring.message import NAMES
from appliance.permissions import Action
from ui.components.empty import empty
from ui.components.form import tabs
from ui.components.markup import panel, text
from ui.components.status import notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View, tell
from ui.pages.alert_channels import show_channels, show_messages
from ui.pages.overview import alert_address
from ui.texts import _, ngettext
from ui.words import number, plain, when

_COLUMNS = (
    Column(name="open", label=_("Now")), Column(name="state", label=_("State")), Column(name="model", label=_("About")),
    Column(name="message", label=_("What happened"), prose=True), Column(name="opened", label=_("Since")),
)  # fmt: skip
_TABS = (("alerts", _("Alerts")), ("channels", _("Channels")), ("messages", _("Messages")))
_SAME = {
    "channels": ("appliance alerts channel list", "GET /api/alert-channels"),
    "messages": ("appliance alerts deliveries", "GET /api/alert-deliveries"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    alerts: tuple[Alert, ...]
    watched: bool
    faults: tuple[tuple[str, int], ...]


async def build(view: View) -> None:
    """Fill the page."""
    tab = view.query.get("tab", "alerts")
    view.same = _SAME.get(tab)
    tabs(_TABS, tab, lambda key: f"/alerts?tab={key}")
    if tab == "channels":
        await show_channels(view)
    elif tab == "messages":
        await show_messages(view, view.query.get("only", ""))
    else:
        await _alerts(view)


async def _alerts(view: View) -> None:
    monitoring = view.appliance.monitoring

    def fetch() -> _Found:
        lag = monitoring.lag()
        return _Found(
            alerts=tuple(monitoring.alerts(limit=200)),
            watched=lag.heartbeat_at is not None,
            faults=tuple(lag.faults.items()),
        )

    async def acknowledge(alert_id: str, _action: str) -> None:
        seen = await view.act(Action.WORK, monitoring.acknowledge, int(alert_id), who=view.caller.name)
        if seen:
            tell(_("Noted that you have seen it. It closes by itself when its cause is gone."))
            view.look_now()

    await view.live(5.0, fetch, lambda found: _show(found, acknowledge, may=view.may(Action.WORK)))


def _show(found: _Found, acknowledge: Callable[[str, str], Awaitable[None]], *, may: bool) -> None:
    if not found.watched:
        notice(
            _("The watch loop has not looked at any event yet, so no alert can open. `appliance status` shows whether "
            "the runner runs."), tone="warn",
        )  # fmt: skip
    for kind, count in found.faults:
        notice(
            ngettext(
                "{count} event could not be counted: {kind}.", "{count} events could not be counted: {kind}.", count
            ).format(count=number(count), kind=kind.replace("_", " ")),
            tone="warn",
        )
    if not found.alerts:
        empty(
            _("No alert so far"),
            _(
                "An alert opens when drift or quality changes its state and the new state holds for two windows in a "
                "row, or while predictions cannot be recorded. "
                "It closes by itself when the state changes back."
            ),
            icon_name="notifications",
        )
        return
    with panel(tight=True):
        Table(_COLUMNS + ((Column(name="act", label="", sortable=False),) if may else ()),
              [_row(one) for one in found.alerts], per_page=20 if len(found.alerts) > 20 else 0,
              search=_("Search alerts"), name="alerts", on_action=acknowledge)  # fmt: skip
    text(_("Acknowledging says that somebody has seen it; the alert stays open while its state holds."), "muted small")


def _row(one: Alert) -> Row:
    waiting = one.closed_at is None and one.acknowledged_by is None
    cells = {
        "open": Cell(status=status_of("open" if one.closed_at is None else "closed")),
        "state": Cell(status=status_of(one.state.value)),
        "model": Cell(
            text=one.about,
            note=NAMES.get(one.kind, one.kind),
            href=alert_address(one),
        ),
        "message": Cell(
            text=plain(one.message),
            note=_("seen by {who}").format(who=one.acknowledged_by) if one.acknowledged_by else "",
        ),
        "opened": Cell(
            text=when(one.opened_at),
            sort=one.opened_at.timestamp(),
            note=_("until {when}").format(when=when(one.closed_at)) if one.closed_at else "",
        ),
        "act": Cell(text=_("Acknowledge"), action="acknowledge") if waiting else Cell(),
    }
    return Row(id=str(one.id), cells=cells)


PAGE = Page(
    path="/alerts", section="alerts", title=_("Alerts"), build=build, lead=_("What changed its state, and until when."),
    cli="appliance alerts", rest="GET /api/alerts",
)  # fmt: skip

"""Channels and messages: where alerts go, whether a test arrives, and what was given up and may be tried again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui as ng

from appliance.permissions import Action
from storage.channel_rows import ChannelRow
from storage.delivery_rows import DeliveryRow, DeliveryState
from ui.components.empty import empty
from ui.components.form import button, cancel_button, choice, dialog, segmented, text_field
from ui.components.markup import box, panel, text
from ui.components.snippet import snippet
from ui.components.status import notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View, tell
from ui.texts import _
from ui.words import when

Act = Callable[[str, str], Awaitable[None]]
"""What a button of a table does, by the row's id and the button's name."""
_LEAST = {"warn": _("warnings and alarms"), "alarm": _("alarms alone")}
_EVENTS = {
    "opened": _("an alert opened"),
    "closed": _("it is over"),
    "still_open": _("it still holds"),
    "test": _("a test"),
}
_ONLY = (
    ("", _("All")),
    ("waiting", _("Waiting")),
    ("dead", _("Given up")),
    ("sent", _("Arrived")),
    ("skipped", _("Not needed")),
)


async def show_channels(view: View) -> None:
    """Every channel, with a test; an admin adds and removes them."""
    if view.may(Action.ADMINISTER):
        _new_channel(view)

    async def act(name: str, action: str) -> None:
        await (_test(view, name) if action == "test" else _ask_remove(view, name))

    await view.live(5.0, view.appliance.channels.list, lambda found: _show_channels(view, found, act))


def _show_channels(view: View, found: Sequence[ChannelRow], act: Act) -> None:
    if not found:
        empty(
            _("No channel yet: nobody is told of an alert"),
            _("A channel is a mail address, a chat room or a webhook. Until there is one, alerts stand here alone.")
            if view.may(Action.ADMINISTER)
            else _(
                "A channel is a mail address, a chat room or a webhook. Until there is one, alerts stand here alone. "
                "An admin adds it."
            ),
            icon_name="notifications_off",
        )
        return
    columns = [
        Column(name="name", label=_("Channel")), Column(name="where", label=_("Where")),
        Column(name="least", label=_("Told of")), Column(name="added", label=_("Added")),
    ]  # fmt: skip
    if view.may(Action.WORK):
        columns.append(Column(name="test", label="", sortable=False))
    if view.may(Action.ADMINISTER):
        columns.append(Column(name="remove", label="", sortable=False))
    with panel(_("Channels"), tight=True):
        Table(tuple(columns), [_channel(one) for one in found], name="channels", on_action=act)


def _channel(one: ChannelRow) -> Row:
    cells = {
        "name": Cell(text=one.name),
        "where": Cell(text=one.hint),
        "least": Cell(text=_LEAST.get(one.least, one.least)),
        "added": Cell(
            text=when(one.created_at),
            sort=one.created_at.timestamp(),
            note=_("by {who}").format(who=one.created_by),
        ),
        "test": Cell(text=_("Send a test"), action="test"),
        "remove": Cell(text=_("Remove"), action="remove", danger=True),
    }
    return Row(id=one.name, cells=cells)


async def _test(view: View, name: str) -> None:
    told = await view.act(Action.WORK, view.appliance.channels.test, name, who=view.caller.name)
    if told is None:
        return
    if told.state is DeliveryState.SENT:
        tell(_("The test message was taken by {name}").format(name=name))
    else:
        tell(_("The test message did not arrive at {name}: {reason}").format(name=name, reason=told.reason), wrong=True)


async def _ask_remove(view: View, name: str) -> None:
    with dialog(_("Remove the channel {name}").format(name=name)) as window:
        text(
            _("It is told of nothing any more, and what waits for it is dropped. Its address is kept nowhere."), "muted"
        )

        async def go() -> None:
            await view.act(Action.ADMINISTER, view.appliance.channels.remove, name, who=view.caller.name)
            window.close()
            view.look_now()

        with box("line"):
            button(_("Remove the channel"), go, kind="danger")
            cancel_button(window)
    window.open()


def _new_channel(view: View) -> None:
    with panel(_("New channel"), _("its address is kept sealed and shown nowhere again")):
        with box("cols"):
            name = text_field(_("Name"), hint=_("such as on-call"))
            address = ng.input(_("Address"), password=True, password_toggle_button=True).props("outlined dense")
            address.props("autocomplete=off").style("width: 100%")
            least = choice(_("Told of"), _LEAST, "warn")
        text(
            _("https://… for a signed webhook; mailtos://USER:PASSWORD@HOST?to=ADDRESS for mail; slack://A/B/C; "
            "workflows://… for Teams; or any other address that apprise knows."), "muted small",
        )  # fmt: skip

        async def create() -> None:
            made = await view.act(
                Action.ADMINISTER, view.appliance.channels.add, (name.value or "").strip(),
                (address.value or "").strip(), who=view.caller.name, least=str(least.value),
            )  # fmt: skip
            if made:
                name.value = address.value = ""
                shown.clear()
                with shown:
                    if made.secret:
                        notice(
                            _("Copy it now: it cannot be shown again."),
                            tone="warn",
                            title=_("The secret that signs what {name} gets").format(name=made.channel.name),
                        )
                        snippet(made.secret)
                    else:
                        notice(
                            _("{name} is told from now on. Send it a test.").format(name=made.channel.name), tone="ok"
                        )

        button(_("Add the channel"), create, kind="primary", icon_name="add_alert")
        shown = box("stack")


async def show_messages(view: View, only: str) -> None:
    """The newest messages; a dead one may be tried again."""
    channels = view.appliance.channels
    segmented(
        _ONLY, only, lambda key: "/alerts?tab=messages" + (f"&only={key}" if key else ""), label=_("Which messages")
    )

    async def act(delivery: str, _action: str) -> None:
        if await view.act(Action.WORK, channels.retry, int(delivery), who=view.caller.name):
            tell(_("It is tried again now"))
            view.look_now()

    await view.live(
        5.0, lambda: channels.deliveries(state=only or None), lambda found: _show_messages(view, found, act)
    )  # fmt: skip


def _show_messages(view: View, found: Sequence[DeliveryRow], act: Act) -> None:
    if not found:
        empty(
            _("No such message"),
            _("A message is written for every channel when an alert opens, holds on or is over."),
            icon_name="mail",
        )
        return
    columns = [
        Column(name="state", label=_("Delivery")), Column(name="channel", label=_("Channel")),
        Column(name="what", label=_("Says")), Column(name="why", label=_("Why"), prose=True),
        Column(name="attempts", label=_("Attempts"), numeric=True), Column(name="made", label=_("Written")),
    ]  # fmt: skip
    if view.may(Action.WORK):
        columns.append(Column(name="act", label="", sortable=False))
    with panel(_("Messages"), _("the newest first"), tight=True):
        Table(tuple(columns), [_message(one) for one in found], per_page=25 if len(found) > 25 else 0,
              search=_("Search messages"), name="messages", on_action=act)  # fmt: skip
    text(_("What fails is tried again after 30 s, 2, 10, 30 min, 1, 3, 6 and 12 h, and then given up."), "muted small")


def _message(one: DeliveryRow) -> Row:
    is_dead = one.state is DeliveryState.DEAD and one.alert is not None
    cells = {
        "state": Cell(status=status_of(one.state)),
        "channel": Cell(text=one.channel),
        "what": Cell(text=_EVENTS.get(one.event, one.event), href=f"/alerts/{one.alert}" if one.alert else ""),
        "why": Cell(text=one.reason),
        "attempts": Cell(text=str(one.attempts), sort=float(one.attempts)),
        "made": Cell(
            text=when(one.created_at), sort=one.created_at.timestamp(),
            note=_("ended {when}").format(when=when(one.ended_at)) if one.ended_at else "",
        ),
        "act": Cell(text=_("Try again"), action="retry") if is_dead else Cell(),
    }  # fmt: skip
    return Row(id=str(one.id), cells=cells)

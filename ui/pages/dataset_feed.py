"""What brings a dataset new rows by itself: a schedule, or a folder that is watched."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui as ng

from appliance.errors import BadInput
from appliance.feeds import FeedInfo
from appliance.intake import Intake
from appliance.orders import Unchanged
from appliance.permissions import Action
from storage.datasets import Snapshot
from storage.feeds import Feed
from ui.clicks import in_clicks
from ui.components.empty import empty
from ui.components.facts import facts
from ui.components.form import Handler, button, cancel_button, dialog, text_field
from ui.components.markup import box, panel, text
from ui.components.status import badge
from ui.components.table import Cell, Column, Row, Table
from ui.page import View, tell
from ui.pages.dataset_columns import sentence
from ui.texts import _, ngettext
from ui.words import NONE, number, when


async def show_feed(view: View, shown: Snapshot) -> None:
    """Fill the tab."""
    feeds = view.appliance.feeds

    def fetch() -> tuple[FeedInfo | None, str]:
        found = next((one for one in feeds.list() if one.dataset == shown.dataset), None)
        return found, "" if found and found.feed.folder else _why_not(view, shown.dataset)

    await view.live(5.0, fetch, lambda found: _show(view, shown, *found))


def _why_not(view: View, name: str) -> str:
    """Why the source of the newest version cannot be read again; empty where it can."""
    try:
        view.appliance.datasets.require_refreshable(name)
    except BadInput as exc:
        return str(exc)
    return ""


def _show(view: View, shown: Snapshot, found: FeedInfo | None, why_not: str) -> None:
    if found is None:
        empty(
            _("Nothing brings new rows by itself"),
            _(
                "A schedule reads the source of the newest version again and adds a version when it changed. A watched "
                "folder has each new file appended, exactly once."
            ),
            icon_name="update",
        )
    else:
        _feed(found)
    if not view.may(Action.WORK):
        return
    name = shown.dataset
    if why_not:
        text(sentence(why_not), "muted small")
    with box("line"):
        if not why_not and (found is None or found.feed.folder is None):
            button(_("Refresh now"), lambda: _refresh(view, name), icon_name="refresh")
        if view.may(Action.ADMINISTER) and found is None:
            if not why_not:
                button(_("Refresh by a schedule"), lambda: _ask_schedule(view, name), icon_name="schedule")
            button(_("Watch a folder"), lambda: _ask_folder(view, name), icon_name="folder_open")
        elif view.may(Action.ADMINISTER):
            button(_("Stop it"), lambda: _stop(view, name), kind="danger", icon_name="stop")


def _feed(found: FeedInfo) -> None:
    feed, status = found.feed, found.status
    with panel(_("Refreshed by a schedule") if feed.schedule else _("Watches a folder")):
        with box("line"):
            state = "failed" if status.failed else "ok" if status.ran_at else "none"
            badge(
                state,
                _("Last time it went wrong")
                if status.failed
                else _("Went well")
                if status.ran_at
                else _("Not run yet"),
            )
            text(in_clicks(status.message) or _("It has not run yet."), "grow wrap-any")
        facts(
            [
                (_("Schedule"), _("{schedule} (minute hour day month weekday, UTC)").format(schedule=feed.schedule))
                if feed.schedule
                else (_("Folder"), feed.folder or NONE),
                (_("Ran last"), when(status.ran_at)),
                (_("Next"), when(found.next_at) if feed.schedule else _("within a minute")),
                (_("Other columns"), _("are taken in") if feed.evolve else _("are refused")),
                *_changed(feed),
                *_reading(feed),
                (_("Declared by"), f"{feed.who}, {when(feed.declared_at)}"),
            ]
        )
    if status.troubles:
        columns = (Column(name="file", label=_("File")), Column(name="bytes", label=_("Bytes"), numeric=True),
                   Column(name="why", label=_("Why it was not taken in"), prose=True))  # fmt: skip
        with panel(_("Files that could not be taken in"), _("tried again once they change"), tight=True):
            Table(columns, [
                Row(id=name, cells={"file": Cell(text=name), "bytes": Cell(text=number(one.bytes), sort=one.bytes),
                                    "why": Cell(text=in_clicks(one.message))})
                for name, one in status.troubles.items()
            ], name="troubles")  # fmt: skip


def _changed(feed: Feed) -> list[tuple[str, str]]:
    if feed.folder is None:
        return []
    return [(_("Files that change"), _("are taken in again") if feed.again else _("are told and left"))]


def _reading(feed: Feed) -> list[tuple[str, str]]:
    read = (
        (_("Picked by SQL"), feed.query), (_("Prepared by SQL"), feed.prepare), (_("Sheet"), feed.sheet),
        (_("Delimiter"), feed.delimiter), (_("Must have"), feed.target),
    )  # fmt: skip
    return [(label, value) for label, value in read if value]


async def _refresh(view: View, name: str) -> None:
    found = await view.act(Action.WORK, view.appliance.datasets.refresh, name, who=view.caller.name)
    if isinstance(found, Unchanged):
        tell(
            _("{source} did not change; version {version} stays the newest").format(
                source=found.source, version=found.version
            )
        )
    elif found:
        tell(
            ngettext(
                "{dataset} version {version}: {rows} row", "{dataset} version {version}: {rows} rows", found.rows
            ).format(dataset=name, version=found.version, rows=number(found.rows))
        )
        ng.navigate.to(f"/data/{name}?tab=versions")


async def _ask_schedule(view: View, name: str) -> None:
    with dialog(_("Refresh {name} by a schedule").format(name=name)) as window:
        cron = text_field(_("Schedule"), "30 4 * * *", hint=_("minute hour day month weekday, UTC: every day at 04:30"))
        evolve = ng.checkbox(_("Take other columns than those that are there"))

        async def go() -> None:
            await _declare(
                view, window,
                lambda: view.appliance.feeds.schedule(
                    name, (cron.value or "").strip(), evolve=bool(evolve.value), who=view.caller.name
                ),
            )  # fmt: skip

        _buttons(window, go)
    window.open()


async def _ask_folder(view: View, name: str) -> None:
    with dialog(_("Watch a folder for {name}").format(name=name)) as window:
        folder = text_field(_("Folder on the appliance's host"), hint=_("files that lie there now count as new"))
        prepare = text_field(_("Prepare each file by SQL"), hint=_("may stay empty; the file is the table source"))
        evolve = ng.checkbox(_("Take columns that are new"))
        again = ng.checkbox(_("Take a file's rows again when it changes under its name"))

        async def go() -> None:
            def watch() -> FeedInfo:
                if not (folder.value or "").startswith("/"):
                    raise BadInput(_("name the folder by its whole path, from / on"))
                intake = Intake(source=folder.value or "", prepare=prepare.value or None, evolve=bool(evolve.value))
                return view.appliance.feeds.watch(name, intake, again=bool(again.value), who=view.caller.name)

            await _declare(view, window, watch)

        _buttons(window, go)
    window.open()


async def _declare(view: View, window: ng.dialog, declare: Callable[[], FeedInfo]) -> None:
    if await view.act(Action.ADMINISTER, declare):
        window.close()
        tell(_("Declared; the runner does the rest"))
        view.look_now()


async def _stop(view: View, name: str) -> None:
    def stop() -> bool:
        view.appliance.feeds.stop(name, who=view.caller.name)
        return True

    if await view.act(Action.ADMINISTER, stop):
        tell(_("Stopped; what it brought stays"))
        view.look_now()


def _buttons(window: ng.dialog, go: Handler) -> None:
    with box("line"):
        button(_("Declare"), go, kind="primary", icon_name="check")
        cancel_button(window)

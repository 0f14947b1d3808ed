"""The check of the host: what ``appliance doctor`` finds, whenever somebody asks."""

from __future__ import annotations

from functools import partial

from nicegui import ui as ng

from appliance.processes.examine import examine
from ui.components.checks import show_checks
from ui.components.form import button
from ui.page import Page, View
from ui.texts import _


async def build(view: View) -> None:
    """Fill the page."""
    if view.actions is not None:

        async def again() -> None:
            ng.navigate.reload()

        with view.actions:
            button(_("Check again"), again, icon_name="refresh")
    view.later(_("Checking this host; this takes a few seconds."), examine, partial(show_checks, open_all=True))


PAGE = Page(
    path="/doctor", section="settings", title=_("Check of the host"), build=build,
    parents=((_("Settings"), "/settings"),), lead=_("Permissions, disk, databases, backups, clock, ports, processes."),
    cli="appliance doctor", rest="GET /api/doctor",
)  # fmt: skip

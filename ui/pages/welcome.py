"""What an appliance without a model shows first: how its host stands, and two ways to begin."""

from __future__ import annotations

from nicegui import ui as ng

from appliance.errors import NotReady
from appliance.jobs import JobKind
from appliance.permissions import Action
from appliance.processes.examine import examine
from ui.components.checks import show_checks
from ui.components.empty import empty
from ui.components.form import button
from ui.components.markup import box, button_link, panel, text
from ui.page import View
from ui.pages.add_data import show_drop_zone
from ui.texts import _


async def show_welcome(view: View) -> None:
    """Fill the place above the overview."""
    if not view.may(Action.WORK):
        empty(
            _("Nothing is served here yet"),
            _("Every model will stand here with its traffic, latency, errors, drift and quality."),
            icon_name="space_dashboard",
        )
        return
    view.later(_("Checking this host; this takes a few seconds."), examine, show_checks)
    loading = await view.ask(_find_demo, view)
    with box("cols wide"):
        with panel(_("Bring your data")):
            text(
                _(
                    "Drop a table, say which column to predict, and press Train and deploy. You see the training as it "
                    "runs, and can try the model once it serves."
                ),
                "muted",
            )
            show_drop_zone(view)
        with panel(_("Load the demo")):
            text(
                _(
                    "Bike rentals in Washington: a model trained on 2011, every hour of 2012 sent to it as live "
                    "traffic with its own time, labels, drift, a retraining and a new champion. It takes a minute or "
                    "two, and goes on when you leave the page."
                ),
                "muted",
            )
            with box("line"):
                if loading:
                    button_link(_("Watch it"), f"/jobs/{loading}", icon_name="visibility")
                else:
                    button(_("Load the demo"), lambda: _load(view), icon_name="pedal_bike")


def _find_demo(view: View) -> str | None:
    """The job that loads it now."""
    try:
        jobs = view.appliance.jobs.list()
    except NotReady:
        return None  # the button says so when it is pressed
    return next((job.id for job in jobs if job.kind is JobKind.DEMO and not job.state.final), None)


async def _load(view: View) -> None:
    job_id = await view.act(Action.WORK, view.appliance.jobs.start_demo, who=view.caller.name)
    if job_id:
        ng.navigate.to(f"/jobs/{job_id}")

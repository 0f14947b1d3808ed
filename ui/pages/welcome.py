"""What an appliance without a model shows first: where to begin."""

from __future__ import annotations

from appliance.permissions import Action
from ui.components.empty import empty
from ui.components.markup import box, icon, panel, text
from ui.page import View
from ui.pages.add_data import show_drop_zone
from ui.texts import _


def show_welcome(view: View) -> None:
    """Fill the place above the overview."""
    if not view.may(Action.WORK):
        empty(
            _("Nothing is served here yet"),
            _("Every model will stand here with its traffic, latency, errors, drift and quality."),
            icon_name="space_dashboard",
        )
        return
    with panel(_("Bring your data")):
        with box("line"):
            icon("rocket_launch", "muted")
            text(
                _(
                    "Drop a table, say which column to predict, and press Train and deploy. You see the training as it "
                    "runs, and can try the model once it serves."
                ),
                "muted grow",
            )
        show_drop_zone(view)

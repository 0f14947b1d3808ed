"""What a model was declared to be: by a person, or as it was worked out; and the way to change it."""

from __future__ import annotations

from appliance.models import ModelInfo
from appliance.permissions import Action
from ui.components.facts import facts
from ui.components.markup import box, link, panel
from ui.page import View
from ui.pages.models import TASKS
from ui.texts import _
from ui.words import share


def show_declaration(view: View, model: ModelInfo) -> None:
    """A panel of it."""
    spec = model.spec
    with panel(_("Declaration")):
        facts((
            (_("Predicts"), f"{spec.target}: {TASKS[model.task]}"),
            (_("Dataset"), spec.dataset),
            (_("Ordered by"), spec.time or _("found out from the data")),
            (_("Left out"), ", ".join(spec.exclude) or _("nothing")),
            (_("Held out"), share(spec.holdout)),
            (_("Deployed"), _("by itself when the gate is passed") if spec.deploy == "auto" else _("by a person")),
            (_("Retrains"), spec.schedule or _("when somebody asks")),
        ))  # fmt: skip
        with box("line"):
            if view.may(Action.WORK):
                link(_("Change it"), f"/models/{model.name}/declaration", "small")
            link(_("Dataset"), f"/data/{spec.dataset}", "small")

"""Another declaration of a model that is there: the next training follows it, what serves stays."""

from __future__ import annotations

from dataclasses import replace

from appliance.permissions import Action
from ui.page import Page, View
from ui.pages.new_model import Draft, Found, look_at
from ui.texts import _


async def build(view: View) -> None:
    """Fill the page."""
    models = view.appliance.models
    known = await view.ask(models.get, view.parts["name"])
    shown = await view.ask(view.appliance.datasets.show, known.dataset)

    def look() -> Found:
        found = look_at(view, shown, known.target, known.name)
        # The reasons of today, beside what is declared.
        return replace(found, proposal=replace(found.proposal, spec=known.spec))

    view.later(
        _("Looking at {target} and at what predicts it; this takes a few seconds.").format(target=known.target), look,
        lambda found: Draft(view, shown, found, known=True).draw(),
    )  # fmt: skip


PAGE = Page(
    path="/models/{name}/declaration", section="models", title=_("Change {name}"), build=build,
    parents=((_("Models"), "/models"), ("{name}", "/models/{name}")), action=Action.WORK,
    cli="appliance apply MODEL.toml", rest="PUT /api/models/{name}",
)  # fmt: skip

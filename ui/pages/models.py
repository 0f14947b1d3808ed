"""Models: every declared model, what serves of it, and the way to a new one."""

from __future__ import annotations

from appliance.models import ModelInfo
from appliance.permissions import Action
from appliance.schema import Task
from ui.components.empty import empty
from ui.components.markup import button_link, panel
from ui.components.status import status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.texts import _, pgettext
from ui.words import NONE, when

TASKS = {
    Task.REGRESSION: _("a number (regression)"),
    Task.BINARY: _("one of two classes (binary)"),
    Task.MULTICLASS: _("one of several classes (multiclass)"),
}
_COLUMNS = (
    Column(name="name", label=_("Model")),
    Column(name="serves", label=_("Serves")),
    Column(name="task", label=_("Predicts")),
    Column(name="dataset", label=pgettext("dataset", "From")),
    Column(name="champion", label=_("Champion"), numeric=True),
    Column(name="latest", label=_("Newest version"), numeric=True),
    Column(name="changed", label=_("Changed")),
)


async def build(view: View) -> None:
    """Fill the page."""
    if view.actions and view.may(Action.WORK):
        with view.actions:
            button_link(_("Create a model"), "/models/new", icon_name="add", primary=True)
    await view.live(5.0, view.appliance.models.list, _show)


def _show(models: tuple[ModelInfo, ...]) -> None:
    if not models:
        empty(
            _("No model yet"),
            _(
                "A model learns one column of a dataset, its target, from the others. Each training makes a version; "
                "one version serves at a time."
            ),
            icon_name="hub",
            steps=(_("Choose a dataset."), _("Click the column to predict."), _("Train.")),
            action=(_("Create a model"), "/models/new"),
        )
        return
    with panel(tight=True):
        Table(_COLUMNS, [_row(one) for one in models], search=_("Search models"), name="models")


def _row(one: ModelInfo) -> Row:
    serves = (
        status_of("serving", _("Version {version}").format(version=one.deployed))
        if one.deployed
        else status_of("none", _("Nothing serves"))
    )
    cells = {
        "name": Cell(text=one.name, href=f"/models/{one.name}"),
        "serves": Cell(status=serves),
        "task": Cell(text=f"{one.target}, {TASKS[one.task]}"),
        "dataset": Cell(text=one.dataset, href=f"/data/{one.dataset}"),
        "champion": Cell(text=str(one.champion or NONE), sort=one.champion or 0),
        "latest": Cell(text=str(one.latest or NONE), sort=one.latest or 0),
        "changed": Cell(text=when(one.updated_at), sort=one.updated_at.timestamp()),
    }
    return Row(id=one.name, cells=cells)


PAGE = Page(
    path="/models", section="models", title=_("Models"), build=build,
    lead=_("What is learned, and which version of it serves."),
    cli="appliance models", rest="GET /api/models",
)  # fmt: skip

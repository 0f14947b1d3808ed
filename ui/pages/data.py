"""Data: drop a file, see every dataset."""

from __future__ import annotations

from appliance.permissions import Action
from storage.datasets import Snapshot
from ui.components.empty import empty
from ui.components.markup import panel
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.add_data import show_drop_zone
from ui.texts import _, pgettext
from ui.words import number, when

_COLUMNS = (
    Column(name="name", label=_("Dataset")),
    Column(name="version", label=_("Version"), numeric=True),
    Column(name="rows", label=_("Rows"), numeric=True),
    Column(name="columns", label=_("Columns"), numeric=True),
    Column(name="added", label=_("Added")),
    Column(name="who", label=_("By")),
    Column(name="source", label=pgettext("source", "From"), prose=True),
    Column(name="model", label="", sortable=False),
)


async def build(view: View) -> None:
    """Fill the page."""
    if view.may(Action.WORK):
        show_drop_zone(view, dataset=view.query.get("dataset", ""))
        await view.ask(view.appliance.expect_rows)
    await view.live(5.0, view.appliance.datasets.list, _show)


def _show(snapshots: tuple[Snapshot, ...]) -> None:
    if not snapshots:
        empty(
            _("No dataset yet"),
            _(
                "A dataset is a table under a name. Every file you add becomes a version of it that never changes, "
                "so that a model can always say what it was trained on."
            ),
            icon_name="table_chart",
            steps=(
                _("Drop a CSV, Excel, Parquet or NDJSON file above, or click there to choose one."),
                _("Look at the columns: types, missing values, warnings."),
                _("Create a model from it."),
            ),
        )
        return
    with panel(_("Datasets"), _("the newest version of each"), tight=True):
        Table(_COLUMNS, [_row(one) for one in snapshots], search=_("Search datasets"), name="datasets")


def _row(one: Snapshot) -> Row:
    cells = {
        "name": Cell(text=one.dataset, href=f"/data/{one.dataset}"),
        "version": Cell(text=str(one.version), sort=one.version),
        "rows": Cell(text=number(one.rows), sort=one.rows),
        "columns": Cell(text=str(len(one.columns)), sort=len(one.columns)),
        "added": Cell(text=when(one.added_at), sort=one.added_at.timestamp()),
        "who": Cell(text=one.who),
        "source": Cell(text=one.source.rsplit("/", 1)[-1]),
        "model": Cell(text=_("Create a model"), href=f"/models/new?dataset={one.dataset}"),
    }
    return Row(id=one.dataset, cells=cells)


PAGE = Page(
    path="/data",
    section="data",
    title=_("Data"),
    build=build,
    lead=_("Tables under a name; each version stays as it was."),
    cli="appliance data add NAME FILE",
    rest="POST /api/datasets",
)

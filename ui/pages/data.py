"""Data: drop a file, see every dataset."""

from __future__ import annotations

from typing import Any

from nicegui import ui as ng

from appliance.api.control.dataset_routes import NewSnapshot, add, glance_at_upload
from appliance.orders import Ingest, StopButton
from appliance.permissions import Action
from storage.columns import Dtype
from storage.datasets import Snapshot
from ui.components.empty import empty
from ui.components.form import button, choice, dialog, text_field
from ui.components.markup import box, panel, text
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View, tell
from ui.pages.data_preview import show_preview
from ui.pages.drop_zone import drop_zone
from ui.texts import _, ngettext, pgettext
from ui.words import number, plain_name, when

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

_MODES = {
    "replace": _("New version with these rows alone"),
    "append": _("New version with these rows after the present ones"),
}


async def build(view: View) -> None:
    """Fill the page."""
    if view.may(Action.WORK):
        _drop_zone(view)
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
                _("Drop a CSV, TSV, Parquet or NDJSON file above, or click there to choose one."),
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


def _drop_zone(view: View) -> None:
    async def uploaded(upload: str, file_name: str) -> None:
        await _ask_name(view, upload, file_name)

    drop_zone(view, _("Drop a file here, or click to choose one"), label=_("File to add"), on_upload=uploaded)


async def _ask_name(view: View, upload: str, file_name: str) -> None:
    known = {one.dataset for one in await view.ask(view.appliance.datasets.list)}
    with dialog(_("Add {file_name}").format(file_name=file_name)) as window:
        name = text_field(
            _("Dataset name"), suggest_name(file_name), hint=_("a-z, 0-9, - and _; an existing name adds a version")
        )
        mode = choice(_("If the dataset exists"), _MODES, "replace")
        mode.bind_visibility_from(name, "value", lambda value: value in known)

        chosen: dict[str, Dtype] = {}
        stop = StopButton()

        async def save() -> None:
            wanted = NewSnapshot(
                name=name.value or "", upload=upload, append=name.value in known and mode.value == "append",
                types=chosen,
            )  # fmt: skip
            ingest = await view.act(Action.WORK, add, view.appliance, view.caller, wanted, stop)
            if ingest is None:
                # The file is used up whatever came of it; a second try begins with a second drop.
                window.close()
                return
            _say(ingest)
            ng.navigate.to(f"/data/{ingest.dataset}")

        with box("line"):
            button(_("Save"), save, kind="primary", icon_name="save")
            button(_("Cancel"), _closing(window, stop), kind="quiet")
        text(
            _("The file is read to its end before anything is saved: all of it, or nothing. Cancel ends that, too."),
            "muted small",
        )
        view.later(
            _("Looking at the first rows"), lambda: glance_at_upload(view.appliance, upload),
            lambda found: show_preview(found, chosen),
        )  # fmt: skip
    window.open()


def suggest_name(file_name: str) -> str:
    """A dataset name from a file's: the part before the first dot, in the letters that names may have."""
    return plain_name(file_name.split(".", 1)[0])[:63].strip("-_") or "dataset"


def _say(ingest: Ingest) -> None:
    said = ngettext(
        "{dataset} version {version}: {rows} row", "{dataset} version {version}: {rows} rows", ingest.rows
    ).format(dataset=ingest.dataset, version=ingest.version, rows=number(ingest.rows))
    count = len(ingest.warnings)
    warned = ngettext("{count} warning", "{count} warnings", count).format(count=count)
    tell(f"{said}; {warned}" if count else said)


def _closing(window: ng.dialog, stop: StopButton) -> Any:
    async def close() -> None:
        stop.press()  # also while the file is being saved: nothing of it stays
        window.close()

    return close


PAGE = Page(
    path="/data",
    section="data",
    title=_("Data"),
    build=build,
    lead=_("Tables under a name; each version stays as it was."),
    cli="appliance data add NAME FILE",
    rest="POST /api/datasets",
)

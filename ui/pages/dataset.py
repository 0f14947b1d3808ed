"""One dataset: its columns, its first rows, its versions, its rules and what brings it new rows."""

from __future__ import annotations

from appliance.findings import Code, Finding
from appliance.permissions import Action
from storage.datasets import Snapshot
from ui.components.facts import facts
from ui.components.form import figure, tabs
from ui.components.markup import box, button_link, link, panel
from ui.components.status import notice
from ui.page import Page, View
from ui.pages.dataset_columns import sentence, show_columns
from ui.pages.dataset_feed import show_feed
from ui.pages.dataset_rows import show_rows
from ui.pages.dataset_rules import show_rules
from ui.pages.dataset_sql import show_sql
from ui.pages.dataset_versions import show_versions
from ui.texts import _, pgettext
from ui.words import number, when

_TABS = (
    ("columns", _("Columns")), ("rows", _("First rows")), ("versions", _("Versions")), ("rules", _("Rules")),
    ("feed", _("New rows")), ("sql", _("SQL")),
)  # fmt: skip

_SAME = {
    "rows": ("appliance data show {name}", "GET /api/datasets/{name}/preview"),
    "versions": ("appliance data versions {name}; appliance data diff {name} OLD NEW",
                 "GET /api/datasets/{name}/diff?old=&new="),
    "rules": ("appliance data rules {name} FILE; appliance data rejected {name}",
              "PUT /api/datasets/{name}/rules; GET /api/datasets/{name}/rejected"),
    "feed": ("appliance data refresh {name}; appliance data watch {name} FOLDER; appliance data feeds",
             "POST /api/datasets/{name}/refresh; PUT /api/datasets/{name}/feed"),
    "sql": ("", 'POST /api/query {"dataset": "{name}", "sql": "SELECT …"}'),
}  # fmt: skip


async def build(view: View) -> None:
    """Fill the page."""
    name, datasets = view.parts["name"], view.appliance.datasets
    version = view.whole("version")
    await view.ask(view.appliance.expect_rows)
    shown = await view.ask(datasets.show, name, version)
    tab = view.query.get("tab", "columns")
    view.same = _SAME.get(tab)
    if view.actions and view.may(Action.WORK):
        with view.actions:
            button_link(_("Add a version"), f"/data?dataset={name}", icon_name="upload_file")
            button_link(_("Create a model"), f"/models/new?dataset={name}", icon_name="add", primary=True)
    _head(shown)
    findings = await view.ask(datasets.findings, name, shown.version)
    pinned = f"&version={version}" if version else ""
    _whole_table(findings, f"/data/{name}?tab=rules{pinned}")
    tabs(_TABS, tab, lambda key: f"/data/{name}?tab={key}{pinned}")
    match tab:
        case "rows":
            await show_rows(view, shown)
        case "versions":
            await show_versions(view, name)
        case "rules":
            await show_rules(view, shown)
        case "feed":
            await show_feed(view, shown)
        case "sql":
            await show_sql(view, shown)
        case _:
            show_columns(await view.ask(datasets.profile, name, shown.version), findings)


def _head(shown: Snapshot) -> None:
    with panel():
        with box("figures"):
            figure(_("Version"), str(shown.version), note=when(shown.added_at))
            figure(
                _("Rows"),
                number(shown.rows),
                note=_("{rejected} rejected").format(rejected=number(shown.rejected)) if shown.rejected else "",
            )
            figure(_("Columns"), str(len(shown.columns)))
            figure(_("Added by"), shown.who, small=True)
            figure(
                pgettext("source", "From"), shown.source.rsplit("/", 1)[-1], small=True,
                note=f"sha256 {shown.sha256[:12]}…" if shown.sha256 else "",
            )  # fmt: skip
        read = (
            (_("Picked by SQL"), shown.query), (_("Prepared by SQL"), shown.prepare), (_("Sheet"), shown.sheet),
            (_("Delimiter"), shown.delimiter), (_("Must have"), shown.target),
        )  # fmt: skip
        if any(value for _, value in read):
            facts([(label, value) for label, value in read if value])


def _whole_table(findings: tuple[Finding, ...], rejected: str) -> None:
    """What is about no column or about several; the rest stands beside its column."""
    found = [one for one in findings if one.column is None]
    if not found:
        return
    with box("stack s"):
        for one in found:
            with notice(sentence(one.message), tone="info" if one.code is Code.READER else "warn"):
                if one.code is Code.REJECTED:
                    link(_("Show them"), rejected, "small nowrap")


PAGE = Page(
    path="/data/{name}", section="data", title="{name}", build=build, parents=((_("Data"), "/data"),),
    cli="appliance data show {name}", rest="GET /api/datasets/{name}/profile; GET /api/datasets/{name}/findings",
)  # fmt: skip

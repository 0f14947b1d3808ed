"""What every ingest into a dataset is held against, and the rows that were rejected."""

from __future__ import annotations

import json

import msgspec
from nicegui import ui as ng

from appliance.permissions import Action
from storage.datasets import Snapshot
from storage.rules import ColumnRules, Rules
from ui.components.empty import empty
from ui.components.form import button, dialog
from ui.components.markup import box, panel, text
from ui.components.table import Cell, Column, Row, Table, raw_table
from ui.page import View, tell
from ui.pages.dataset_rows import cells_of
from ui.texts import _
from ui.words import DTYPES, number, share

_SHOWN = 100


async def show_rules(view: View, shown: Snapshot) -> None:
    """Fill the tab."""
    rules = await view.ask(view.appliance.datasets.rules, shown.dataset)
    if rules is None:
        empty(
            _("No rules"),
            _(
                "Rules say what a column may hold. A row that breaks one is rejected at every ingest from then "
                "on, and kept beside the version with the reason; what is there already stays as it is."
            ),
            icon_name="rule",
        )
    else:
        _declared(rules)

    async def clear() -> None:
        await _declare(view, shown.dataset, None)

    if view.may(Action.WORK):
        with box("line"):
            button(_("Change the rules") if rules else _("Declare rules"), lambda: _ask(view, shown, rules),
                   icon_name="edit")  # fmt: skip
            if rules:
                button(_("Take the rules away"), clear, kind="quiet", icon_name="delete_outline")
    await _rejected(view, shown)


def _declared(rules: Rules) -> None:
    columns = (Column(name="name", label=_("Column")), Column(name="rule", label=_("Every value"), prose=True))
    rows = [
        Row(id=name, cells={"name": Cell(text=name), "rule": Cell(text=in_words(column))})
        for name, column in rules.columns.items()
    ]
    with panel(
        _("Rules"),
        _("an ingest of which more than {share} is rejected is refused as a whole").format(
            share=share(rules.max_rejected_share)
        ),
        tight=True,
    ):
        Table(columns, rows, search=_("Search rules"), name="rules")


def in_words(rules: ColumnRules) -> str:
    """The rules of one column as a sentence."""
    parts = [
        _("is a {type}").format(type=DTYPES[rules.type]) if rules.type else "",
        _("is there") if rules.required else "",
        _("is at least {min}").format(min=rules.min) if rules.min is not None else "",
        _("is at most {max}").format(max=rules.max) if rules.max is not None else "",
        _("is one of {values}").format(values=", ".join(map(str, rules.values))) if rules.values else "",
        _("matches {regex}").format(regex=rules.regex) if rules.regex else "",
        _("stands in no other row") if rules.unique else "",
        _("is missing in at most {share} of the rows").format(share=share(rules.max_null_share))
        if rules.max_null_share is not None
        else "",
    ]
    return ", ".join(part for part in parts if part)


def as_toml(rules: Rules) -> str:
    """The rules as ``storage.rules.parse_rules`` reads them; JSON's texts, figures and lists are TOML's too."""
    lines = [f"max_rejected_share = {rules.max_rejected_share}"]
    for name, column in rules.columns.items():
        lines += ["", f"[columns.{json.dumps(name)}]"]
        lines += [f"{rule} = {json.dumps(value)}" for rule, value in msgspec.to_builtins(column).items()]
    return "\n".join(lines) + "\n"


def _sample(column: str) -> str:
    return f"""max_rejected_share = 0.5

[columns.{json.dumps(column)}]
required = true
# type = "float64"            string, bool, int64, float64, date or datetime
# min = 0
# max = 100
# values = ["a", "b"]
# regex = "[A-Z]{{2}}-[0-9]+"
# unique = true
# max_null_share = 0.1
"""


async def _ask(view: View, shown: Snapshot, rules: Rules | None) -> None:
    with dialog(_("Rules of {dataset}").format(dataset=shown.dataset)) as window:
        text(_("As TOML: a table a column. They replace the present rules and hold from the next ingest on."), "muted")
        field = ng.textarea(_("Rules"), value=as_toml(rules) if rules else _sample(shown.columns[0].name))
        field.props("outlined autogrow").classes("mono-field").style("width: 100%")

        async def go() -> None:
            if await _declare(view, shown.dataset, field.value or ""):
                window.close()

        with box("line"):
            button(_("Declare"), go, kind="primary", icon_name="rule")
            ng.button(_("Cancel"), on_click=window.close, color=None).props("flat no-caps").classes("btn-quiet")
    window.open()


async def _declare(view: View, name: str, toml: str | None) -> bool:
    def declare() -> str:
        found = view.appliance.datasets.declare_rules(name, toml, who=view.caller.name)
        return _("of {columns}").format(columns=", ".join(found.columns)) if found else _("none")

    said = await view.act(Action.WORK, declare)
    if said is None:
        return False
    tell(_("Rules of {name}: {said}").format(name=name, said=said))
    ng.navigate.to(f"/data/{name}?tab=rules")
    return True


async def _rejected(view: View, shown: Snapshot) -> None:
    if not shown.rejected:
        text(_("No row of version {version} was rejected.").format(version=shown.version), "muted small")
        return
    frame = await view.ask(view.appliance.datasets.rejected, shown.dataset, shown.version, rows=_SHOWN)
    labels = {"_row": (_("Row"), _("from 1")), "_reason": (_("Reason"), "")}
    with panel(
        _("Rejected rows of version {version}").format(version=shown.version),
        _("the first {shown} of {rejected}, as the source had them").format(
            shown=number(frame.height), rejected=number(shown.rejected)
        ),
        tight=True,
    ):
        raw_table(
            [labels.get(name, (name, "")) for name in frame.columns], cells_of(frame),
            numeric=[name == "_row" for name in frame.columns], name=f"{shown.dataset}-{shown.version}-rejected",
        )  # fmt: skip

"""What every ingest into a dataset is held against, and the rows that were rejected."""

from __future__ import annotations

import msgspec
from nicegui import ui as ng

from appliance.permissions import Action
from storage.datasets import Snapshot
from storage.rules import ColumnRules, Rules
from storage.toml_text import toml_value
from ui.components.empty import empty
from ui.components.form import button, cancel_button, dialog
from ui.components.markup import box, panel, text
from ui.components.table import Cell, Column, Row, Table, raw_table
from ui.components.undo import offer_undo
from ui.page import View, tell
from ui.pages.dataset_rows import cells_of
from ui.redraw import redraw
from ui.texts import _
from ui.words import DTYPES, number, share

_SHOWN = 100


async def show_rules(view: View, shown: Snapshot) -> None:
    """Fill the tab."""
    await _RulesPart(view, shown).draw()
    await _rejected(view, shown)


class _RulesPart:
    """The rules that are declared, and what changes them; drawn again after each change."""

    def __init__(self, view: View, shown: Snapshot) -> None:
        self._view, self._shown = view, shown
        self._place = box("stack")

    async def draw(self) -> None:
        """Show the rules as they are now."""
        rules = await self._view.ask(self._view.appliance.datasets.rules, self._shown.dataset)
        redraw(self._place, lambda: self._show(rules))

    def _show(self, rules: Rules | None) -> None:
        _rules(rules)
        if not self._view.may(Action.WORK):
            return
        with box("line"):
            label = _("Change the rules") if rules else _("Declare rules")
            button(label, lambda: self._ask(rules), icon_name="edit")
            if rules:
                button(_("Take the rules away"), lambda: self._clear(rules), kind="quiet", icon_name="delete_outline")

    async def _clear(self, rules: Rules) -> None:
        if await self._declare(None) is None:
            return

        async def undo() -> None:
            if said := await self._declare(as_toml(rules)):
                tell(said)

        offer_undo(_("The rules of {name} were taken away").format(name=self._shown.dataset), undo)

    async def _declare(self, toml: str | None) -> str | None:
        """Declare it, or with None that there are no rules; the sentence to tell, None when it was refused."""
        name = self._shown.dataset

        def declare() -> str:
            found = self._view.appliance.datasets.declare_rules(name, toml, who=self._view.caller.name)
            return _("of {columns}").format(columns=", ".join(found.columns)) if found else _("none")

        said = await self._view.act(Action.WORK, declare)
        if said is None:
            return None
        await self.draw()
        return _("Rules of {name}: {said}").format(name=name, said=said)

    async def _ask(self, rules: Rules | None) -> None:
        with dialog(_("Rules of {dataset}").format(dataset=self._shown.dataset)) as window:
            text(
                _("As TOML: a table a column. They replace the present rules and hold from the next ingest on."),
                "muted",
            )
            field = ng.textarea(_("Rules"), value=as_toml(rules) if rules else _sample(self._shown.columns[0].name))
            field.props("outlined autogrow").classes("mono-field").style("width: 100%")

            async def go() -> None:
                if said := await self._declare(field.value or ""):
                    window.close()
                    tell(said)

            with box("line"):
                button(_("Declare"), go, kind="primary", icon_name="rule")
                cancel_button(window)
        window.open()


def _rules(rules: Rules | None) -> None:
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
    """The rules as ``storage.rules.parse_rules`` reads them."""
    lines = [f"max_rejected_share = {rules.max_rejected_share}"]
    for name, column in rules.columns.items():
        lines += ["", f"[columns.{toml_value(name)}]"]
        lines += [f"{rule} = {toml_value(value)}" for rule, value in msgspec.to_builtins(column).items()]
    return "\n".join(lines) + "\n"


def _sample(column: str) -> str:
    return f"""max_rejected_share = 0.5

[columns.{toml_value(column)}]
required = true
# type = "float64"            string, bool, int64, float64, date or datetime
# min = 0
# max = 100
# values = ["a", "b"]
# regex = "[A-Z]{{2}}-[0-9]+"
# unique = true
# max_null_share = 0.1
"""


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

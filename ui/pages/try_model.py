"""Try a model: a form filled from a real row, the answer with its reasons, and the same from a program."""

from __future__ import annotations

import re
import secrets
from typing import Any

from nicegui import ui as ng

from appliance.keys import Scope
from appliance.permissions import Action
from appliance.schema import Column, Kind
from appliance.trial import Answer, Example, Value
from ui.components.chart import Chart, signed_bars
from ui.components.form import button, choice, text_field, toggle
from ui.components.markup import box, button_link, panel, text
from ui.components.snippet import snippet
from ui.components.status import badge, notice
from ui.page import Page, View, tell
from ui.pages.file_panel import show_file_panel
from ui.pages.rollout import ask_rollback
from ui.programs import BATCH, DIALECTS, LANGUAGES, Question, program
from ui.texts import _
from ui.words import number, share

MOST_OFFERED = 500
MOST_LETTERS = 40
_LETTERS_A_LINE = 18
"""Of a label beside its bar."""
_FLAGS = {
    "null": _("is missing, and training saw no missing value there"),
    "unseen": _("has a category that training never saw; it is taken as missing"),
    "ignored": _("is no input of this model"),
}


def level_field(column: Column, value: str) -> ng.select | ng.input:
    """One of a category's levels: to choose from, or to write where they are too many to send to a browser.

    What is written and unknown is said at once: nobody sees in thousands of levels that one is spelt otherwise.
    """
    if len(column.levels) > MOST_OFFERED:
        hint = _("one of {count} known values, such as {example}").format(
            count=number(len(column.levels)), example=column.levels[0][:MOST_LETTERS]
        )
        field, known = text_field(column.name, value, hint=hint), frozenset(column.levels)
        unseen = _("never seen by the training; it is taken as missing")
        field.validation = {unseen: lambda typed: not typed or typed in known}
        return field
    levels = {level: level for level in column.levels}
    other = {} if value in levels or not value else {value: value}
    return choice(column.name, {"": _("missing")} | other | levels, value)


def tidy(value: Value) -> Value:
    """A number without what binary floats add to it: 25.839999999999996 was 25.84 in somebody's table."""
    return float(f"{value:.15g}") if isinstance(value, float) else value


async def build(view: View) -> None:
    """Fill the page."""
    name = view.parts["name"]
    model = await view.ask(view.appliance.models.get, name)
    can_roll_back = await view.ask(view.appliance.deployments.can_roll_back, name)
    if view.actions is not None:
        with view.actions:
            button_link(_("Model"), f"/models/{name}", icon_name="hub")
            if can_roll_back and view.may(Action.WORK):
                button(_("Roll back"), lambda: ask_rollback(view, model), icon_name="undo")
    if model.deployed is None:
        notice(
            _("Nothing of this model serves yet. Deploy a version on its page; then it can be tried here."), tone="warn"
        )
        return
    example = await view.ask(view.appliance.trial.example, name, model.deployed)
    _Form(view, name, example).draw()
    show_file_panel(view, name)
    if view.may(Action.WORK):
        await view.ask(view.appliance.expect_rows)


class _Form:
    def __init__(self, view: View, model: str, example: Example) -> None:
        self._view = view
        self._model = model
        self._schema = example.schema
        self._row: dict[str, Value] = {name: tidy(value) for name, value in example.row.items()}
        self._reasons = example.reasons
        self._dialect, self._language = "native", "curl"
        self._key: str | None = None

    def draw(self) -> None:
        """Put form, answer and snippet on the page."""
        with box("split"):
            with panel(_("A row"), _("filled from the data it was trained on; change what you like")):
                with box("cols narrow"):
                    for column in self._schema.columns:
                        self._field(column)
                with box("line"):
                    button(_("Predict"), self._predict, kind="primary", icon_name="play_arrow")
                    text(_("The API answers, counts and logs it like any other request."), "muted small")
            with box("stack"):
                self._answer = panel(_("Answer"))
                with self._answer:
                    text(_("Press Predict."), "muted")
        self._draw_programs()

    def _draw_programs(self) -> None:
        with panel(_("The same from a program")):
            with box("line"):
                dialect = toggle(_("Dialect"), DIALECTS, self._dialect)
                language = toggle(_("Language"), LANGUAGES, self._language)
            self._program = box()
            self._show_program()
            with box("line"):
                if self._view.may(Action.ADMINISTER):
                    button(_("Fill in a new key"), self._make_key, icon_name="key")
                text(
                    _("A key with the scope predict opens it; appliance key create makes one too."), "muted small grow"
                )
        dialect.bind_visibility_from(language, "value", lambda value: value != BATCH)
        dialect.on_value_change(lambda event: self._choose(dialect=str(event.value)))
        language.on_value_change(lambda event: self._choose(language=str(event.value)))

    def _choose(self, *, dialect: str = "", language: str = "") -> None:
        self._dialect, self._language = dialect or self._dialect, language or self._language
        self._show_program()

    async def _make_key(self) -> None:
        name, view = f"{self._model[:40]}-{secrets.token_hex(3)}", self._view
        made = await view.act(
            Action.ADMINISTER, view.appliance.access.create_key, name, Scope.PREDICT.value, who=view.caller.name
        )
        if made:
            self._key = made.key
            self._show_program()
            tell(_("The key {name} is filled in; copy it now, it cannot be shown again").format(name=made.name))

    def _field(self, column: Column) -> None:
        value = self._row[column.name]
        if column.kind is Kind.NUMBER:
            field: Any = ng.number(column.name, value=value if isinstance(value, int | float) else None)
            field.props("outlined dense clearable").style("width: 100%")
        elif column.kind is Kind.BOOLEAN:
            field = choice(
                column.name,
                {"": _("missing"), "true": _("yes"), "false": _("no")},
                str(value).lower() if value is not None else "",
            )
        elif column.kind is Kind.CATEGORY:
            field = level_field(column, "" if value is None else str(value))
        else:
            field = text_field(column.name, "" if value is None else str(value), hint="2026-11-21T22:53:00Z")
        field.on_value_change(lambda event, column=column: self._set(column, event.value))

    def _set(self, column: Column, value: object) -> None:
        if value in {None, ""}:
            self._row[column.name] = None
        elif column.kind is Kind.BOOLEAN:
            self._row[column.name] = value == "true"
        elif column.kind is Kind.NUMBER and isinstance(value, int | float):
            self._row[column.name] = int(value) if column.integer and float(value).is_integer() else value
        else:
            self._row[column.name] = str(value)
        self._show_program()

    def _show_program(self) -> None:
        question = Question(
            api_url=self._view.addresses.api, model=self._model, schema=self._schema, row=self._row,
            key=self._key,
        )  # fmt: skip
        self._program.clear()
        with self._program:
            snippet(program(question, self._dialect, self._language))

    async def _predict(self) -> None:
        answer = await self._view.act(
            Action.LOOK, self._view.appliance.trial.predict, self._model, dict(self._row), reasons=self._reasons
        )
        if answer is None or self._answer.is_deleted:
            return
        self._answer.clear()
        with self._answer:
            self._show(answer)

    def _show(self, answer: Answer) -> None:
        target = self._schema.target
        text(_("Answer"), tag="h2")
        with box("figure answer"):
            text(target, "label")
            text(answer.label if answer.label is not None else number(answer.value), "value")
        if answer.probabilities:
            ordered = sorted(answer.probabilities.items(), key=lambda entry: -entry[1])
            for label, probability in ordered[:12]:
                with box("bar"):
                    text(label, "name")
                    with box("track"):
                        box("fill").style(f"width: {probability:.2%}")
                    text(share(probability), "small nowrap")
        for flag in answer.flags:
            kind, _colon, column = flag.partition(":")
            notice(f"{column} {_FLAGS.get(kind, kind)}.", tone="warn")
        if answer.reasons:
            text(
                _("What moved it most")
                if answer.label is None
                else _("What moved it most towards {label}").format(label=answer.label),
                tag="h3",
            )
            unit = target if answer.label is None else _("log-odds")
            labels = [f"{one.field} = {_short(one.value)}" for one in answer.reasons]
            most_lines = 1 + max(map(len, labels)) // _LETTERS_A_LINE
            height = max(120, (12 + 14 * most_lines) * len(labels) + 60)
            chart = Chart(
                signed_bars(labels, [round(one.contribution, 4) for one in answer.reasons], x_unit=unit),
                label=_("Contributions of the columns to this prediction"),
            )
            chart.tall(height)
        with box("line"):
            badge("ok", _("Logged"))
            text(_("id {id}").format(id=answer.id), "mono muted wrap-any")


def _short(value: Value) -> str:
    if value is None:
        return _("missing")
    if isinstance(value, float):
        return number(value)
    return re.sub(r"(?<=\d)T(\d\d:\d\d)(:00)?Z$", r" \1", str(value))[:24]


PAGE = Page(
    path="/models/{name}/try", section="models", title=_("Try {name}"), build=build,
    parents=((_("Models"), "/models"), ("{name}", "/models/{name}")), cli="appliance predict {name} FILE",
    rest="POST /models/{name}/predict (inference API); POST /api/models/{name}/predictions",
)  # fmt: skip

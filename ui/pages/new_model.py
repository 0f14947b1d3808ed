"""A new model in three clicks: the dataset, its target, train."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from nicegui import ui as ng
from nicegui.events import ValueChangeEventArguments

from appliance.durations import Past, estimate
from appliance.model_spec import MEASURES, TIME_LIMIT, TRIALS, ModelSpec, seconds_of
from appliance.models import ModelInfo, Proposal
from appliance.past_trainings import list_past
from appliance.permissions import Action
from appliance.schema import Kind, Task
from storage.datasets import Snapshot
from ui.components.empty import empty
from ui.components.facts import sentences
from ui.components.form import button, choice, native_choice, text_field, toggle
from ui.components.markup import box, link, panel, text, with_attributes
from ui.page import Page, View, tell
from ui.pages.models import TASKS
from ui.texts import _, ngettext
from ui.words import DTYPES, about, metric, number, plain_name, seconds, share

_LIMITS = {budget: seconds(seconds_of(limit)) for budget, limit in TIME_LIMIT.items()}
_BUDGETS = {"quick": _("Quick"), "better": _("Better"), "best": _("Best")}
_EFFORT = _(
    "Quick fits once with good defaults: seconds, up to minutes with a million rows. "
    "Better tries {better} settings and stops after {better_limit}, "
    "Best tries {best} and stops after {best_limit}."
).format(better=TRIALS["better"], better_limit=_LIMITS["better"], best=TRIALS["best"], best_limit=_LIMITS["best"])
_KINDS = {
    Kind.NUMBER.value: _("number"), Kind.BOOLEAN.value: _("yes or no"), Kind.CATEGORY.value: _("category"),
    Kind.DATETIME.value: _("date and time"),
}  # fmt: skip
_FIND_OUT = _("find out from the values")
_RANDOM = _("no column: rows are in no order")


async def build(view: View) -> None:
    """Fill the page."""
    dataset, target = view.query.get("dataset", ""), view.query.get("target", "")
    if not dataset:
        _choose_dataset(await view.ask(view.appliance.datasets.list))
        return
    shown = await view.ask(view.appliance.datasets.show, dataset)
    if not target:
        _choose_target(shown)
        return
    taken = {one.name for one in await view.ask(view.appliance.models.list)}
    name = free_name(dataset, target, taken)
    view.later(
        _("Looking at {target} and at what predicts it; this takes a few seconds.").format(target=target),
        lambda: look_at(view, shown, target, name),
        lambda found: Draft(view, shown, found).draw(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A proposal, and what says how long its training takes: the target's distinct values, the host's trainings."""

    proposal: Proposal
    distinct: int
    past: tuple[Past, ...]


def look_at(view: View, shown: Snapshot, target: str, name: str) -> Found:
    """What a new model would be declared as, and why."""
    appliance = view.appliance
    proposal = appliance.models.propose(shown.dataset, target, name=name)
    profile = appliance.datasets.profile(shown.dataset, shown.version)
    return Found(
        proposal=proposal, distinct=next((one.distinct for one in profile if one.name == target), 1),
        past=list_past(appliance.models),
    )  # fmt: skip


def _choose_dataset(snapshots: tuple[Snapshot, ...]) -> None:
    if not snapshots:
        empty(
            _("A model needs a dataset first"),
            _("There is none yet."),
            icon_name="table_chart",
            action=(_("Add data"), "/data"),
        )
        return
    with panel(_("1. Which dataset?")), box("cols narrow"):
        for one in snapshots:
            with _pick(f"/models/new?dataset={one.dataset}"):
                text(one.dataset, "strong wrap-any")
                rows = ngettext("{rows} row", "{rows} rows", one.rows).format(rows=number(one.rows))
                count = len(one.columns)
                columns = ngettext("{count} column", "{count} columns", count).format(count=count)
                version = _("version {version}").format(version=one.version)
                text(f"{version}, {rows}, {columns}", "meta")


def _choose_target(shown: Snapshot) -> None:
    with panel(
        _("2. Click the column to predict"),
        ngettext(
            "{dataset} version {version}, {rows} row", "{dataset} version {version}, {rows} rows", shown.rows
        ).format(dataset=shown.dataset, version=shown.version, rows=number(shown.rows)),
    ):
        with box("cols narrow"):
            for column in shown.columns:
                with _pick(f"/models/new?dataset={shown.dataset}&target={quote(column.name)}"):
                    text(column.name, "strong wrap-any")
                    text(DTYPES[column.dtype], "meta")
        link(_("Another dataset"), "/models/new", "small")


class Draft:
    """The declaration as proposed, which may be changed before the training."""

    def __init__(self, view: View, shown: Snapshot, found: Found, *, known: bool = False) -> None:
        """``known``: the model is declared already, by the proposal's declaration."""
        self._view = view
        self._known = known
        self._shown = shown
        self._found = found
        self._proposal = proposal = found.proposal
        self._left_out = set(proposal.spec.exclude)
        self._kinds = dict(proposal.spec.columns)
        self._boxes: dict[str, ng.checkbox] = {}

    def draw(self) -> None:
        """Put it on the page."""
        spec = self._proposal.spec
        with box("split"):
            with box("stack"):
                with panel(_("Train again") if self._known else _("3. Train")):
                    self._name = text_field(_("Name of the model"), spec.name, hint=_("a-z, 0-9, - and _"))
                    self._name.set_visibility(not self._known)
                    with box("line"):
                        button(_("Train"), self._train, kind="primary", icon_name="play_arrow")
                        button(_("Save without training"), self._save, kind="plain")
                    text(_("Nothing serves before you deploy a version, unless you tick the box below."), "muted small")
                    self._budget = toggle(_("How long to search"), _BUDGETS, spec.budget)
                    self._takes = with_attributes(ng.label().classes("small strong"), aria_live="polite")
                    text(_EFFORT, "muted small")
                    self._budget.on_value_change(lambda _event: self._estimate())
                    self._auto = ng.checkbox(
                        _("Deploy a version by itself when it passes the gate"), value=spec.deploy == "auto"
                    )
                if self._proposal.suspects:
                    with panel(_("Is this known when you predict?")):
                        self._ask()
                with panel(_("Columns"), _("untick what is not known at the moment you predict")):
                    self._columns()
            with box("stack"):
                with panel(_("What was found out")):
                    sentences(self._proposal.sentences)
                with panel(_("Change it")):
                    tasks = {"": _FIND_OUT} | {task.value: label for task, label in TASKS.items()}
                    self._task = choice(_("What the target is"), tasks, spec.task.value if spec.task else "")
                    measures = _measures(self._task.value)
                    self._metric = choice(
                        _("What versions are compared by"), measures, spec.metric if spec.metric in measures else ""
                    )
                    self._task.on_value_change(lambda event: self._metric.set_options(_measures(event.value), value=""))
                    times = {"": _RANDOM} | {
                        one.name: one.name for one in self._shown.columns if one.name != spec.target
                    }
                    times |= {spec.time: spec.time} if spec.time else {}  # the dataset may have lost it
                    self._time = choice(_("Column that orders the rows"), times, spec.time or "")
                    text(
                        _("With such a column the newest rows are held out for the metrics: that is how the model will "
                        "be used. A random split flatters."), "muted small",
                    )  # fmt: skip
                    self._holdout = choice(
                        _("Rows held out for the metrics"),
                        {"0.1": "10 %", "0.2": "20 %", "0.3": "30 %"} | {f"{spec.holdout:g}": share(spec.holdout)},
                        f"{spec.holdout:g}",
                    )
                    if not self._known:
                        link(_("Another target"), f"/models/new?dataset={spec.dataset}", "small")
        self._estimate()

    def _estimate(self) -> None:
        """Say how long the training takes, as it is declared now."""
        spec = self._spec()
        several = (spec.task or self._proposal.spec.task) is Task.MULTICLASS
        columns = sum(one.value for one in self._boxes.values())
        found = estimate(
            rows=self._shown.rows, columns=columns, outputs=self._found.distinct if several else 1, spec=spec,
            past=self._found.past,
        )  # fmt: skip
        span = about(found.low_s, found.high_s)
        if self._found.past:
            said = _("This training takes {span}, by what trainings took on this host.")
        else:
            said = _("This training takes {span}; nothing was trained on this host yet that would say it better.")
        self._takes.set_text(said.format(span=span))

    def _ask(self) -> None:
        """About each column that nearly gives the answer away; the answer ticks or unticks it below."""
        text(_("A column that is filled in only after the fact makes metrics that no live request will see."), "muted")
        for name in self._proposal.suspects:
            with box("line"):
                text(name, "strong wrap-any grow")
                answer = toggle(
                    _("Is {name} known when you predict?").format(name=name),
                    {"yes": _("Yes"), "no": _("No, leave it out")},
                    "no" if name in self._left_out else "yes",
                )
                answer.on_value_change(partial(self._answer, name))

    def _answer(self, name: str, event: ValueChangeEventArguments[Any]) -> None:
        self._boxes[name].set_value(event.value == "yes")

    def _columns(self) -> None:
        with box("cols narrow"):
            for column in self._shown.columns:
                if column.name in {self._proposal.spec.target, self._proposal.spec.time}:
                    continue
                with box("stack s"):
                    self._boxes[column.name] = ng.checkbox(
                        column.name, value=column.name not in self._left_out,
                        on_change=lambda event, name=column.name: self._use(name, used=bool(event.value)),
                    ).props("dense")  # fmt: skip
                    native_choice(
                        _("How {name} is read").format(name=column.name),
                        {"": _("{type}, as found").format(type=DTYPES[column.dtype])} | _KINDS,
                        partial(self._read_as, column.name),
                        chosen=self._kinds[column.name].value if column.name in self._kinds else "",
                    )

    def _use(self, name: str, *, used: bool) -> None:
        (self._left_out.discard if used else self._left_out.add)(name)
        self._estimate()

    def _read_as(self, name: str, kind: str) -> None:
        self._kinds.pop(name, None)
        if kind:
            self._kinds[name] = Kind(kind)

    def _spec(self) -> ModelSpec:
        spec = self._proposal.spec
        return msgspec.structs.replace(
            spec, name=(self._name.value or "").strip(), task=Task(self._task.value) if self._task.value else None,
            metric=self._metric.value or None, time=self._time.value or None,
            holdout=float(self._holdout.value or spec.holdout),
            exclude=tuple(one.name for one in self._shown.columns if one.name in self._left_out),
            deploy="auto" if self._auto.value else "manual",
            budget=self._budget.value,
            columns={name: kind for name, kind in self._kinds.items() if name not in self._left_out},
        )  # fmt: skip

    async def _declare(self) -> ModelInfo | None:
        models = self._view.appliance.models
        declare = models.apply if self._known else models.create
        return await self._view.act(Action.WORK, declare, self._spec(), who=self._view.caller.name)

    async def _save(self) -> None:
        made = await self._declare()
        if made:
            ng.navigate.to(f"/models/{made.name}")

    async def _train(self) -> None:
        view = self._view
        made = await self._declare()
        if made is None:
            return
        job_id = await view.act(Action.WORK, view.appliance.jobs.start_training, made.name, who=view.caller.name)
        if job_id is None:
            tell(
                _("{name} is saved; start its training from its page once the orchestrator answers").format(
                    name=made.name
                ),
                wrong=True,
            )
        ng.navigate.to(f"/jobs/{job_id}" if job_id else f"/models/{made.name}")


def free_name(dataset: str, target: str, taken: set[str]) -> str:
    """A name for a model of a dataset's column that none has yet."""
    plain = plain_name(target).replace("_", "-")
    stem = f"{dataset}-{plain}"[:58].strip("-") if plain else dataset
    names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
    return next(name for name in names if name not in taken)


def _pick(address: str) -> ng.element:
    return with_attributes(box("pick", "a"), href=address)


def _measures(task: str | None) -> dict[str, str]:
    """What may be chosen for a task; the first is what is taken where nothing is."""
    if not task:
        return {"": _("as is usual for what the target is")}
    usual, *others = MEASURES[Task(task)]
    return {"": _("{metric}, as usual").format(metric=metric(usual))} | {name: metric(name) for name in others}


PAGE = Page(
    path="/models/new", section="models", title=_("Create a model"), build=build, parents=((_("Models"), "/models"),),
    action=Action.WORK, cli="appliance model create NAME --dataset D --target T", rest="POST /api/models",
)  # fmt: skip

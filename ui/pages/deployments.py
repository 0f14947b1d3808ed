"""Deployments: which version of which model answers whom, since when and by whom, and the way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from appliance.deployments import Deployment
from appliance.house import Appliance
from appliance.permissions import Action
from ui.components.empty import empty
from ui.components.markup import panel, text
from ui.components.status import Status, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.rollout import ask_rollback, role_status
from ui.texts import _, pgettext
from ui.words import NONE, when

_MOST = 200
_NOW = (
    Column(name="model", label=_("Model")), Column(name="serves", label=_("Serves")),
    Column(name="trial", label=_("On trial")), Column(name="since", label=_("Since")),
    Column(name="why", label=_("By, and why"), prose=True), Column(name="before", label=_("Before it")),
    Column(name="watch", label="", sortable=False),
)  # fmt: skip
_ACT = (Column(name="act", label="", sortable=False),)
_PAST = (
    Column(name="model", label=_("Model")), Column(name="version", label=_("Version")),
    Column(name="role", label=_("As")), Column(name="from", label=pgettext("time", "From")),
    Column(name="until", label=pgettext("time", "Until")), Column(name="why", label=_("By, and why"), prose=True),
)  # fmt: skip

_Undo = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """A model; its deployments newest first, and the version that a rollback goes to."""

    model: str
    history: tuple[Deployment, ...]
    before: int | None

    def in_role(self, role: str) -> Deployment | None:
        return next((one for one in self.history if one.role == role and one.ended_at is None), None)


async def build(view: View) -> None:
    """Fill the page."""

    async def undo(model: str, _action: str) -> None:
        await ask_rollback(view, await view.ask(view.appliance.models.get, model))

    await view.live(
        5.0, lambda: _standing(view.appliance), lambda found: _show(found, undo if view.may(Action.WORK) else None)
    )


def _standing(appliance: Appliance) -> tuple[_Standing, ...]:
    return tuple(
        _Standing(
            model=one.name,
            history=appliance.deployments.history(one.name),
            before=appliance.deployments.before(one.name),
        )
        for one in appliance.models.list()
    )


def _show(found: Sequence[_Standing], undo: _Undo | None) -> None:
    past = sorted((one for standing in found for one in standing.history), key=lambda one: one.started_at, reverse=True)
    if not past:
        empty(
            _("Nothing has served yet"),
            _("Every version that answers requests, tries for a share of them or scores beside stands here, with who "
            "let it and why."), icon_name="rocket_launch", action=(_("To the models"), "/models"),
        )  # fmt: skip
        return
    with panel(_("What serves now"), _("Undo lets the version before serve again, at once"), tight=True):
        Table(
            (*_NOW, *(_ACT if undo else ())), [_now(one) for one in found], name="serving",
            search=_("Search models"), on_action=undo,
        )  # fmt: skip
    with panel(_("What served when"), _("all models, the newest first"), tight=True):
        Table(
            _PAST, [_was(i, one) for i, one in enumerate(past[:_MOST])], name="deployments",
            per_page=15 if len(past) > 15 else 0, search=_("Search deployments"),
        )  # fmt: skip
    if len(past) > _MOST:
        text(_("The page of a model has all of its history."), "muted small")


def _now(one: _Standing) -> Row:
    serves, trials = one.in_role("champion"), [one.in_role(role) for role in ("canary", "shadow")]
    on_trial = [trial for trial in trials if trial is not None]
    newest = next((entry for entry in one.history if entry.ended_at is None), None)
    cells = {
        "model": Cell(text=one.model, href=f"/models/{one.model}"),
        "serves": Cell(status=_serving(serves)),
        "trial": Cell(text=_trials(on_trial), href=f"/models/{one.model}" if on_trial else ""),
        "since": Cell(text=when(newest.started_at), sort=newest.started_at.timestamp()) if newest else Cell(text=NONE),
        "why": Cell(text=newest.who, note=newest.reason) if newest else Cell(text=NONE),
        "before": Cell(text=_("version {version}").format(version=one.before) if one.before else NONE),
        "watch": Cell(text=_("Monitoring"), href=f"/monitoring/{one.model}?tab=service"),
        "act": Cell(text=_("Undo"), action="undo") if one.in_role("canary") or one.before else Cell(),
    }
    return Row(id=one.model, cells=cells)


def _serving(one: Deployment | None) -> Status:
    if one is None:
        return status_of("none", _("Nothing serves"))
    return status_of("serving", _("Version {version}").format(version=one.version))


def _trials(found: Sequence[Deployment]) -> str:
    said = (_("version {version}: {role}").format(version=one.version, role=role_status(one).label) for one in found)
    return ", ".join(said) or NONE


def _was(place: int, one: Deployment) -> Row:
    role = ", ".join((status_of(one.role).label, *([f"{one.percent} %"] if one.percent else [])))
    cells = {
        "model": Cell(text=one.model, href=f"/models/{one.model}"),
        "version": Cell(text=str(one.version), sort=one.version, href=f"/models/{one.model}?version={one.version}"),
        "role": Cell(status=role_status(one)) if one.ended_at is None else Cell(text=role),
        "from": Cell(text=when(one.started_at), sort=one.started_at.timestamp()),
        "until": Cell(text=when(one.ended_at), sort=one.ended_at.timestamp()) if one.ended_at else Cell(text=_("now")),
        "why": Cell(text=one.who, note=one.reason),
    }
    return Row(id=str(place), cells=cells)


PAGE = Page(
    path="/deployments", section="deployments", title=_("Deployments"), build=build,
    lead=_("Which version answers whom, and the way back."),
    cli="appliance models; appliance rollback NAME", rest="GET /api/deployments",
)  # fmt: skip

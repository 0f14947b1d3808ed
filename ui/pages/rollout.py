"""Letting a version serve: at once, to a share of the requests, or beside the champion; and taking it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui as ng

from appliance.deployments import Deployment
from appliance.house import Appliance
from appliance.models import ModelInfo
from appliance.monitoring.quality_report import QualityReport
from appliance.monitoring.service_report import LatencyReport
from appliance.permissions import Action
from appliance.undo import undo_promotion
from ui.components.form import button, cancel_button, choice, dialog, text_field
from ui.components.markup import box, panel, text
from ui.components.status import Status, badge, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.components.undo import offer_undo
from ui.page import View, tell
from ui.pages.version_figures import show_versions_beside
from ui.texts import _, pgettext
from ui.words import seconds, when

_ROLES = {
    "champion": _("Every request"),
    "canary": _("A share of the requests (canary)"),
    "shadow": _("Nobody: it scores beside the champion (shadow)"),
}
_TRIAL = {
    "canary": _("It answers its share of the requests; a caller with a key always meets the same version."),
    "shadow": _("It scores what the champion answers, and answers nobody."),
}
_ENDED = {"canary": _("the canary of {model} has ended"), "shadow": _("the shadow of {model} has ended")}
_FIRST_SHARE = 10


def role_status(one: Deployment) -> Status:
    """The badge of a version that stands in a role."""
    match one.role:
        case "canary":
            return status_of("canary", _("Answers {percent} %").format(percent=one.percent))
        case "shadow":
            return status_of("shadow")
    return status_of("serving", _("Serves now"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How the versions of a model did side by side while one of them was on trial."""

    current: tuple[Deployment, ...]
    latency: LatencyReport
    quality: QualityReport
    window_s: int


def find_trial(appliance: Appliance, name: str) -> Trial | None:
    """The figures to decide a trial by, over the model's own window; None while nothing is on trial."""
    current = tuple(one for one in appliance.deployments.current() if one.model == name)
    if not any(one.role in _TRIAL for one in current):
        return None
    window_s = appliance.models.get(name).spec.window_s
    return Trial(
        current=current, latency=appliance.monitoring.latency(name, window_s),
        quality=appliance.monitoring.quality(name, window_s), window_s=window_s,
    )  # fmt: skip


def show_trials(view: View, history: Sequence[Deployment], found: Trial | None) -> None:
    """A canary or shadow beside the champion, in figures, with the buttons that decide about it."""
    trials = [one for one in history if one.ended_at is None and one.role in _TRIAL]
    for place, one in enumerate(trials):
        with panel(), box("line"):
            badge(one.role, role_status(one).label)
            with box("grow"):
                text(
                    _("Version {version} is on trial since {when}. {effect}").format(
                        version=one.version, when=when(one.started_at), effect=_TRIAL[one.role]
                    )
                )
            if not view.may(Action.WORK):
                continue
            with box("line"):
                button(_("End it"), lambda one=one: _end(view, one), kind="plain", icon_name="stop_circle")  # type: ignore[misc]
                if place == 0:  # promote takes the canary, or the shadow when there is none
                    button(_("Promote"), lambda one=one: _promote(view, one), kind="primary", icon_name="upgrade")  # type: ignore[misc]
    if found:
        show_versions_beside(
            current=found.current,
            latency=found.latency,
            quality=found.quality,
            title=_("Side by side"),
            note=_("the last {span} of traffic; a shadow is held against the same labels").format(
                span=seconds(found.window_s)
            ),
        )


async def ask_deploy(view: View, model: ModelInfo, version: int) -> None:
    """Ask whom the version shall answer, and do it."""
    with dialog(_("Deploy version {version} of {name}").format(version=version, name=model.name)) as window:
        now = (
            _("Version {deployed} serves now; it can be put back with Roll back.").format(deployed=model.deployed)
            if model.deployed
            else _("Nothing serves now.")
        )
        text(_("{now} No request is lost in the change.").format(now=now), "muted")
        role = choice(_("Whom it answers"), _ROLES if model.deployed else {"champion": _ROLES["champion"]}, "champion")
        percent = ng.number(_("Share of the requests, %"), value=_FIRST_SHARE, min=1, max=99, precision=0)
        percent.props("outlined dense").style("width: 100%").bind_visibility_from(role, "value", value="canary")
        reason = text_field(_("Why (for the history, may stay empty)"))

        async def go() -> None:
            who, why, act = view.caller.name, reason.value or "", view.appliance.deployments
            if role.value == "canary":
                share = int(percent.value or 0)
                done = await view.act(Action.WORK, act.start_canary, model.name, share, version, who=who, reason=why)
            elif role.value == "shadow":
                done = await view.act(Action.WORK, act.start_shadow, model.name, version, who=who, reason=why)
            else:
                done = await view.act(Action.WORK, act.deploy, model.name, version, who=who, reason=why)
            if done:
                window.close()
                tell(
                    _("{name} version {version}: {role}").format(
                        name=model.name, version=version, role=role_status(done).label
                    )
                )
                view.look_now()

        with box("line"):
            button(_("Deploy"), go, kind="primary", icon_name="rocket_launch")
            cancel_button(window)
    window.open()


async def ask_rollback(view: View, model: ModelInfo) -> None:
    """Say what is taken back, ask, and do it, unless somebody who decided at the same time has done it already."""
    deployments = view.appliance.deployments
    seen = await view.ask(deployments.rolled_back, model.name)
    before = await view.ask(deployments.before, model.name)
    if seen is None or (seen.role == "champion" and before is None):
        tell(
            _("No other version of {name} served before; there is nothing to go back to").format(name=model.name),
            wrong=True,
        )
        return
    if seen.role == "champion":
        said = _("Version {before} serves again in place of version {version}, at once. No request is lost.")
    else:
        said = _("The canary, version {version}, ends; the champion answers every request again. No request is lost.")
    with dialog(_("Roll {name} back").format(name=model.name)) as window:
        text(said.format(before=before, version=seen.version), "muted")
        reason = text_field(_("Why (for the history, may stay empty)"))

        async def go() -> None:
            done = await view.act(
                Action.WORK, deployments.rollback, model.name, who=view.caller.name,
                reason=reason.value or "", expected=seen,
            )  # fmt: skip
            if done:
                window.close()
                tell(_("{name} version {version} answers every request").format(name=model.name, version=done.version))
                view.look_now()

        with box("line"):
            button(_("Roll back"), go, kind="primary", icon_name="undo")
            cancel_button(window)
    window.open()


def show_history(history: Sequence[Deployment]) -> None:
    """Which version stood in which role, when, and why."""
    columns = (
        Column(name="version", label=_("Version")),
        Column(name="role", label=_("As")),
        Column(name="from", label=pgettext("time", "From")),
        Column(name="why", label=_("By, and why"), prose=True),
    )
    rows = [
        Row(id=str(i), cells={
            "version": Cell(text=str(one.version), sort=one.version),
            "role": Cell(status=role_status(one)) if one.ended_at is None else
            Cell(text=", ".join((status_of(one.role).label, *([f"{one.percent} %"] if one.percent else [])))),
            "from": Cell(
                text=when(one.started_at), sort=one.started_at.timestamp(),
                note=_("until {when}").format(when=when(one.ended_at)) if one.ended_at else _("until now"),
            ),
            "why": Cell(text=one.who, note=one.reason),
        })
        for i, one in enumerate(history)
    ]  # fmt: skip
    with panel(_("What served when"), tight=True):
        if rows:
            Table(columns, rows, per_page=8 if len(rows) > 8 else 0, name="deployments")
        else:
            text(_("Nothing of this model has served yet."), "muted").style("padding: 16px 20px")


async def _promote(view: View, one: Deployment) -> None:
    deployments, who = view.appliance.deployments, view.caller.name
    done = await view.act(Action.WORK, deployments.promote, one.model, who=who)
    if done is None:
        return

    async def undo() -> None:
        def take_back() -> bool:
            undo_promotion(deployments, done, one, who=who)
            return True

        if await view.act(Action.WORK, take_back):
            tell(_("Taken back: version {version} is on trial again").format(version=one.version))
            view.look_now()

    offer_undo(_("{name} version {version} answers every request").format(name=one.model, version=done.version), undo)
    view.look_now()


async def _end(view: View, one: Deployment) -> None:
    done = await view.act(Action.WORK, view.appliance.deployments.end, one.model, one.role, who=view.caller.name)
    if done:
        tell(_ENDED.get(one.role, _("{model} is on trial no more")).format(model=one.model))
        view.look_now()

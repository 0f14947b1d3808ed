"""One model: what serves, how good it is beside the baseline, its versions, and the buttons to change that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui as ng

from appliance.deployments import Deployment
from appliance.errors import NotReady
from appliance.jobs import Job, JobKind
from appliance.model_card import ModelCard
from appliance.models import ModelInfo, VersionInfo
from appliance.monitoring.alerts import Alert
from appliance.permissions import Action
from appliance.settings import Settings
from storage.skew_rows import SkewRow
from ui.components.card_link import card_link
from ui.components.empty import empty
from ui.components.facts import facts, sentences
from ui.components.form import button, figure
from ui.components.guest_link import guest_link
from ui.components.markup import box, button_link, panel, text, with_attributes
from ui.components.status import badge, notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.declaration import show_declaration
from ui.pages.evaluation import show_evaluation
from ui.pages.gate_lines import show_gates
from ui.pages.rollout import Trial, ask_deploy, ask_rollback, find_trial, role_status, show_history, show_trials
from ui.pages.skew_panel import show_skew
from ui.redraw import redraw
from ui.texts import _, ngettext
from ui.words import metric, number, plain, seconds, share, when

_RUNNING = {
    JobKind.TRAIN: _("A training runs since {when}."), JobKind.RETRAIN: _("A retraining runs since {when}."),
    JobKind.PREDICT: _("A batch prediction runs since {when}."),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    model: ModelInfo
    versions: tuple[VersionInfo, ...]
    card: ModelCard | None
    history: tuple[Deployment, ...]
    running: tuple[Job, ...]
    refused: tuple[Alert, ...]
    trial: Trial | None
    can_roll_back: bool
    proofs: tuple[SkewRow, ...]


async def build(view: View) -> None:
    """Fill the page."""
    name = view.parts["name"]
    await view.ask(view.appliance.models.get, name)  # else there is no such page
    page = _ModelPage(view, name)
    await view.live(4.0, page.fetch, page.show)


class _ModelPage:
    def __init__(self, view: View, name: str) -> None:
        self._view = view
        self._name = name
        self._version = view.whole("version")

    def fetch(self) -> _Facts:
        """All that the page shows."""
        appliance = self._view.appliance
        versions = appliance.models.versions(self._name)
        return _Facts(
            model=appliance.models.get(self._name), versions=versions,
            card=appliance.models.card(self._name, self._version) if versions else None,
            history=appliance.deployments.history(self._name),
            running=_running(self._view, self._name),
            refused=tuple(one for one in appliance.monitoring.alerts(open_only=True)
                          if one.model == self._name and one.subject == "bundle"),
            trial=find_trial(appliance, self._name),
            can_roll_back=appliance.deployments.can_roll_back(self._name),
            proofs=appliance.monitoring.skew(self._name),
        )  # fmt: skip

    def show(self, found: _Facts) -> None:
        """Put it on the page; what may be done above it changes with what serves."""
        if self._view.actions is not None:
            redraw(self._view.actions, lambda: _actions(self._view, found.model, can_roll_back=found.can_roll_back))
        for alert in found.refused:
            notice(
                plain(alert.message),
                tone="alarm",
                title=_("A version was refused, {when}").format(when=when(alert.opened_at)),
            )
        for job in found.running:
            with panel(), box("line"):
                badge(job.state.value)
                text(
                    _RUNNING.get(job.kind, _("A job runs since {when}.")).format(
                        when=when(job.started_at or job.created_at)
                    ),
                    "grow",
                )
                button_link(_("Watch it"), f"/jobs/{job.id}", icon_name="visibility")
        if not found.versions or found.card is None:
            empty(
                _("No version yet"),
                _("Each training makes a version, measured on rows it has never seen."),
                icon_name="hub",
                steps=(_("Press Train."), _("Look at its metrics beside the baseline."), _("Deploy it.")),
            )
            show_declaration(self._view, found.model)
            return
        show_trials(self._view, found.history, found.trial)
        self._headline(found, found.card)
        self._versions(found)
        show_evaluation(self._view, found.model, found.card)
        with box("cols wide"):
            _importance(found.card)
            with box("stack"):
                _how(found.card, self._view.appliance.settings)
                show_declaration(self._view, found.model)
        show_history(found.history)
        show_skew(found.proofs)

    def _headline(self, found: _Facts, card: ModelCard) -> None:
        with panel(), box("stack"):
            with box("line"):
                text(_("Version {version}").format(version=card.version), tag="h2")
                if card.version == found.model.deployed:
                    badge("serving", _("Serves now"))
                if card.version == found.model.champion:
                    badge("champion")
                badge(
                    "passed" if card.gate.passed else "not_passed",
                    _("Gate passed") if card.gate.passed else _("Gate not passed"),
                )
            with box("figures"):
                for name, value in card.metrics.items():
                    dummy = card.baseline.get(name)
                    notes = [_("baseline {figure}").format(figure=number(dummy))] if dummy is not None else []
                    if card.champion and name in card.champion:
                        notes.append(
                            _("champion {version}: {figure}").format(
                                version=card.champion_version, figure=number(card.champion[name])
                            )
                        )
                    figure(metric(name), number(value), note=", ".join(notes))
            text(
                _(
                    "Measured on {rows} held-out rows, {split}. The baseline always answers the "
                    "mean, or the class shares."
                ).format(rows=number(card.rows_holdout), split=card.split),
                "muted small",
            )
            with box("line"):
                card_link(card.model, card.version)
            show_gates(card.gate)

    def _versions(self, found: _Facts) -> None:
        names = list(found.versions[0].metrics)[:4]
        columns = (
            Column(name="version", label=_("Version")), Column(name="state", label=_("State")),
            Column(name="deploy", label="", sortable=False),
            *(Column(name=name, label=metric(name), numeric=True) for name in names),
            Column(name="gate", label=_("Gate")), Column(name="data", label=_("Data")),
            Column(name="at", label=_("Trained")),
            # On the page they stand below the data and the time: all of it has to fit beside the navigation.
            Column(name="rows", label=_("Rows"), numeric=True, filed=True),
            Column(name="seconds", label=_("Seconds"), numeric=True, filed=True),
        )  # fmt: skip

        async def act(version: str, _action: str) -> None:
            await ask_deploy(self._view, found.model, int(version))

        with panel(_("Versions"), tight=True):
            may = self._view.may(Action.WORK)
            rows = [_version(one, found, names, may=may) for one in found.versions]
            Table(columns, rows, per_page=10 if len(rows) > 10 else 0, search=_("Search versions"),
                  name=f"{self._name}-all-versions", on_action=act).fit()  # fmt: skip


def _running(view: View, name: str) -> tuple[Job, ...]:
    try:
        jobs = view.appliance.jobs.list()
    except NotReady:
        return ()  # the versions are there without the orchestrator; the Jobs page says that it does not answer
    return tuple(job for job in jobs if job.model == name and not job.state.final)


def _version(one: VersionInfo, found: _Facts, names: Sequence[str], *, may: bool) -> Row:
    serving = one.version == found.model.deployed
    roles = [live for live in found.history if live.ended_at is None and live.version == one.version]
    state = role_status(roles[0]) if roles else status_of(one.alias) if one.alias else None
    cells = {
        "version": Cell(text=str(one.version), sort=one.version, href=f"/models/{one.model}?version={one.version}"),
        "state": Cell(status=state),
        "gate": Cell(status=status_of("passed" if one.gate.passed else "not_passed")),
        "data": Cell(
            text=f"{one.dataset} {one.dataset_version}",
            href=f"/data/{one.dataset}?version={one.dataset_version}",
            note=ngettext("{rows} row", "{rows} rows", one.rows).format(rows=number(one.rows)),
        ),
        "rows": Cell(text=number(one.rows), sort=one.rows),
        "seconds": Cell(text=seconds(one.seconds), sort=one.seconds),
        "at": Cell(
            text=when(one.created_at),
            sort=one.created_at.timestamp(),
            note=_("took {seconds}").format(seconds=seconds(one.seconds)),
        ),
        "deploy": Cell(text=_("Deploy"), action="deploy") if may and not serving else Cell(),
    } | {
        name: Cell(
            text=number(one.metrics.get(name)),
            sort=one.metrics.get(name, 0.0),
            note=_("baseline {figure}").format(figure=number(one.baseline.get(name))) if name in one.baseline else "",
        )
        for name in names
    }
    return Row(id=str(one.version), cells=cells)


def _actions(view: View, model: ModelInfo, *, can_roll_back: bool) -> None:
    if view.actions is None:
        return
    with view.actions:
        if model.deployed:
            button_link(_("Try it"), f"/models/{model.name}/try", icon_name="science")
            button_link(_("Monitoring"), f"/monitoring/{model.name}", icon_name="monitor_heart")
        if not view.may(Action.WORK):
            return
        if can_roll_back:
            button(_("Roll back"), lambda: ask_rollback(view, model), kind="plain", icon_name="undo")
        if model.deployed:
            button(
                _("Retrain on labels"), lambda: _start(view, model, again=True), kind="plain", icon_name="restart_alt"
            )
        button(_("Train"), lambda: _start(view, model, again=False), kind="primary", icon_name="play_arrow")


async def _start(view: View, model: ModelInfo, *, again: bool) -> None:
    jobs = view.appliance.jobs
    begin = jobs.start_retraining if again else jobs.start_training
    job_id = await view.act(Action.WORK, begin, model.name, who=view.caller.name)
    if job_id:
        ng.navigate.to(f"/jobs/{job_id}")


def _importance(card: ModelCard) -> None:
    with panel(_("What it goes by"), _("share of the gain in the trees")):
        for one in card.importance[:10]:
            with box("bar"):
                with_attributes(text(one.column, "name"), title=one.column)
                with box("track"):
                    box("fill").style(f"width: {one.share:.1%}")
                text(share(one.share), "small nowrap")


def _how(card: ModelCard, settings: Settings) -> None:
    with panel(_("How it was made")):
        sentences(card.decisions)
        facts(
            (
                (
                    _("Trained on"),
                    _("{dataset} version {version}: {fitted} rows fitted, {stopping} to stop in time").format(
                        dataset=card.dataset,
                        version=card.dataset_version,
                        fitted=number(card.rows_train),
                        stopping=number(card.rows_stop),
                    ),
                ),
                (
                    _("Rounds"),
                    _("{rounds}, in {seconds}").format(rounds=number(card.iterations), seconds=seconds(card.seconds)),
                ),
                (_("MLflow run"), card.run_id),
            )
        )
        guest_link(settings, "mlflow", f"/#/runs/{card.run_id}", _("This run in MLflow"))
        for one in card.warnings:
            notice(one.message, tone="warn", title=one.column or _("The whole table"))


PAGE = Page(
    path="/models/{name}", section="models", title="{name}", build=build, parents=((_("Models"), "/models"),),
    cli="appliance versions {name}", rest="GET /api/models/{name}/versions",
)  # fmt: skip

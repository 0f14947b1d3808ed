"""One job: progress, metric curve, log, result; open it again at any time, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from nicegui import ui as ng

from appliance.durations import Between, time_left
from appliance.jobs import Job, JobKind, JobProgress, JobState, LogLine
from appliance.model_card import PredictionReport, TrainingReport
from appliance.models import ModelInfo
from appliance.permissions import Action
from appliance.schema import Task
from ui.clicks import in_clicks
from ui.components.card_link import card_link
from ui.components.chart import Chart, Line, lines
from ui.components.form import button, figure
from ui.components.guest_link import guest_link
from ui.components.markup import box, button_link, clock_html, panel, text, with_attributes
from ui.components.snippet import ProgressBar
from ui.components.status import badge, notice
from ui.page import Page, Trouble, View, tell
from ui.pages.declaration import show_declaration
from ui.pages.file_panel import show_scored
from ui.pages.gate_lines import show_gates
from ui.pages.jobs import KINDS, address_of, duration_s
from ui.redraw import redraw
from ui.texts import _
from ui.words import about, metric, number, seconds, share, when


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    job: Job
    progress: JobProgress | None
    log: tuple[LogLine, ...]
    report: TrainingReport | PredictionReport | None
    model: ModelInfo | None
    left: Between | None

    @property
    def task(self) -> Task | None:
        """What the model's target is, where the job works for one."""
        return self.model.task if self.model else None


async def build(view: View) -> None:
    """Fill the page."""
    page = _JobPage(view, view.parts["job_id"])
    first = await view.ask(page.fetch)
    page.draw(first)
    page.show(first)
    if not first.job.state.final:
        page.timer = view.every(2.0, page.refresh)


class _JobPage:
    def __init__(self, view: View, job_id: str) -> None:
        self._view = view
        self._job_id = job_id
        self.timer: ng.timer | None = None

    def fetch(self) -> _State:
        """All that the page shows."""
        jobs = self._view.appliance.jobs
        job = jobs.get(self._job_id)
        model = None if job.kind in {JobKind.FEED, JobKind.DEMO} else self._view.appliance.models.get(job.model)
        progress, log = jobs.progress(self._job_id), jobs.logs(self._job_id)
        left = None
        if model and progress and not job.state.final and job.kind in {JobKind.TRAIN, JobKind.RETRAIN}:
            left = time_left(progress, log, model.spec, now=datetime.now(UTC))
        return _State(
            model=model,
            job=job,
            progress=progress,
            left=left,
            log=log,
            report=jobs.report(self._job_id),
        )

    async def refresh(self) -> None:
        """Look again; the last look is the one after the end."""
        try:
            state = await self._view.ask(self.fetch)
            self.show(state)
        except Exception as exc:  # noqa: BLE001  (the border of the page's timer)
            self._trouble.say(exc)
            return
        self._trouble.end()
        if state.job.state.final and self.timer:
            self._view.end(self.timer)
            self.timer = None

    def draw(self, state: _State) -> None:
        """Put the parts on the page that ``show`` fills."""
        job = state.job
        self._trouble = Trouble()
        self._trouble.end()
        if self._view.actions is not None:
            with self._view.actions:
                button_link(job.model, address_of(job), icon_name="database" if state.task is None else "hub")
                if self._view.may(Action.WORK) and job.kind is not JobKind.FEED:
                    self._cancel = button(_("Stop"), self._stop, kind="danger", icon_name="stop")
                    self._cancel.set_visibility(not job.state.final)
                    self._again = button(_("Try again"), self._start_again, icon_name="refresh")
                    self._again.set_visibility(_fell_short(job))
        with panel():
            with box("line"):
                self._badge = box()
                text(
                    _("{kind} of {model}, asked for by {who}, {when}").format(
                        kind=KINDS[job.kind], model=job.model, who=job.who, when=when(job.created_at)
                    ),
                    "muted grow",
                )
                self._took = ng.html("", sanitize=False).classes("muted nowrap")
                guest_link(self._view.appliance.settings, "prefect", f"/runs/flow-run/{job.id}", _("In Prefect"))
            self._bar = ProgressBar(_("Progress"))
            self._step = ng.html("", sanitize=False).classes("small muted")
        self._result = box("stack")
        self._curve_place = panel(
            _("Metric while fitting"), _("on the fitted rows and on the rows that decide when to stop")
        )
        with self._curve_place:
            self._curve = Chart({}, label=_("Metric by boosting round"))
        if state.model is not None and job.kind in {JobKind.TRAIN, JobKind.RETRAIN}:
            show_declaration(self._view, state.model)
        with panel(_("Log")):
            self._log = with_attributes(
                ng.element("pre").classes("log").props("tabindex=0 role=region"), aria_label=_("Log")
            )
        self._lines: tuple[LogLine, ...] = ()

    def show(self, state: _State) -> None:
        """Bring the parts up to date."""
        job, progress = state.job, state.progress
        redraw(self._badge, lambda: badge(job.state.value))
        took = duration_s(job, now=datetime.now(UTC))
        self._took.set_content(seconds(took) if took is not None else _("not started yet"))
        fraction = 1.0 if job.state is JobState.COMPLETED else progress.fraction if progress else 0.0
        self._bar.show(fraction)
        step = f"{progress.step}: {progress.message}" if progress else _("waiting for the runner")
        said = f" · {_left(state.left)}" if state.left else ""
        self._step.set_content(_escaped(f"{share(fraction)} · {step}{said}"))
        self._show_curve(progress, _("RMSE") if state.task is Task.REGRESSION else _("log loss"))
        self._show_log(state.log)
        if job.state.final:
            if hasattr(self, "_cancel"):
                self._cancel.set_visibility(False)
                self._again.set_visibility(_fell_short(job))
            redraw(self._result, lambda: _result(self._view, job, state.report))

    def _show_log(self, log: tuple[LogLine, ...]) -> None:
        known, self._lines = self._lines, log
        if log[: len(known)] == known:
            with self._log:
                _write(log[len(known) :])
        else:  # a line came late
            redraw(self._log, lambda: _write(log))

    def _show_curve(self, progress: JobProgress | None, unit: str) -> None:
        points = progress.curve if progress else ()
        self._curve_place.set_visibility(bool(points))
        if points:
            self._curve.show(
                lines(
                    (
                        Line(name=_("rows that decide when to stop"), points=[(p.iteration, p.valid) for p in points]),
                        Line(
                            name=_("fitted rows"),
                            points=[(p.iteration, p.train) for p in points],
                            colour="var(--series-2)",
                        ),
                    ),
                    y_unit=unit,
                    x_name=_("boosting round"),
                )
            )

    async def _stop(self) -> None:
        who, cancel = self._view.caller.name, self._view.appliance.jobs.cancel
        stopped = await self._view.act(Action.WORK, cancel, self._job_id, who=who)
        if stopped:
            tell(_("The job is told to stop"))
            await self.refresh()

    async def _start_again(self) -> None:
        who, again = self._view.caller.name, self._view.appliance.jobs.again
        started = await self._view.act(Action.WORK, again, self._job_id, who=who)
        if started:
            ng.navigate.to(f"/jobs/{started}")


def _fell_short(job: Job) -> bool:
    return job.state.final and job.state is not JobState.COMPLETED


def _result(view: View, job: Job, report: TrainingReport | PredictionReport | None) -> None:
    if job.state is not JobState.COMPLETED:
        if job.state is JobState.CANCELLED:
            notice(_("It was stopped; nothing of it was kept."), tone="info", title=_("Stopped"))
        else:
            notice(in_clicks(job.message) or _("The log below says more."), tone="alarm", title=_("It did not finish"))
        return
    if isinstance(report, TrainingReport):
        _training(view, report)
    elif isinstance(report, PredictionReport):
        show_scored(view, job.id, report)
    elif job.message:
        notice(in_clicks(job.message), tone="ok", title=_("Done"))
    if job.kind is JobKind.DEMO:
        with box("line"):
            button_link(_("See how it does"), f"/monitoring/{job.model}", primary=True, icon_name="monitor_heart")
            button_link(_("Try it"), f"/models/{job.model}/try", icon_name="science")


def _training(view: View, report: TrainingReport) -> None:
    async def deploy() -> None:
        done = await view.act(
            Action.WORK, view.appliance.deployments.deploy, report.model, report.version, who=view.caller.name,
            reason="deployed from its training",
        )  # fmt: skip
        if done:
            ng.navigate.to(f"/models/{report.model}/try")

    with panel(_("Version {version}").format(version=report.version)):
        with box("line"):
            badge(
                "passed" if report.gate.passed else "not_passed",
                _("Gate passed") if report.gate.passed else _("Gate not passed"),
            )
            if report.deployed:
                badge("serving", _("Serves now"))
        with box("figures"):
            for name, value in report.metrics.items():
                notes = []
                if name in report.baseline:
                    notes.append(_("baseline {figure}").format(figure=number(report.baseline[name])))
                if report.champion and name in report.champion:
                    notes.append(_("champion {figure}").format(figure=number(report.champion[name])))
                figure(metric(name), number(value), note=", ".join(notes))
        show_gates(report.gate)
        with box("line"):
            if report.deployed:
                button_link(_("Try it"), f"/models/{report.model}/try", primary=True, icon_name="science")
            elif view.may(Action.WORK):
                kind = "primary" if report.gate.passed else "plain"
                button(
                    _("Deploy version {version}").format(version=report.version),
                    deploy,
                    kind=kind,
                    icon_name="rocket_launch",
                )
            button_link(_("Look at the version"), f"/models/{report.model}?version={report.version}", icon_name="hub")
            card_link(report.model, report.version)
        if not report.deployed:
            text(_("Once it serves, Roll back on the model's page puts back what served before."), "muted small")


def _write(lines: tuple[LogLine, ...]) -> None:
    for one in lines:
        ng.html(_line(one), sanitize=False)


def _left(left: Between) -> str:
    return _("{span} left for the fits").format(span=about(left.low_s, left.high_s))


def _line(one: LogLine) -> str:
    level = "" if one.level == "INFO" else f"{one.level}  "
    return f"{clock_html(one.at)}  {_escaped(level + one.message)}"


def _escaped(content: str) -> str:
    return content.replace("&", "&amp;").replace("<", "&lt;")


PAGE = Page(
    path="/jobs/{job_id}", section="jobs", title=_("Job"), build=build, parents=((_("Jobs"), "/jobs"),),
    cli="appliance train NAME --wait", rest="GET /api/jobs/{job_id}",
)  # fmt: skip

"""Jobs: what runs and ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.jobs import Job, JobKind, JobProgress
from ui.components.empty import empty
from ui.components.markup import panel
from ui.components.status import status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.texts import _
from ui.words import NONE, seconds, share, when

KINDS = {
    JobKind.TRAIN: _("Training"),
    JobKind.RETRAIN: _("Retraining"),
    JobKind.PREDICT: _("Batch prediction"),
    JobKind.FEED: _("Feed"),
    JobKind.DEMO: _("Demo"),
}
_COLUMNS = (
    Column(name="what", label=_("Job")), Column(name="model", label=_("Model")), Column(name="state", label=_("State")),
    Column(name="progress", label=_("Progress")), Column(name="at", label=_("Asked for")),
    Column(name="took", label=_("Took"), numeric=True), Column(name="who", label=_("By")),
    Column(name="message", label=_("What it says"), prose=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    job: Job
    progress: JobProgress | None


async def build(view: View) -> None:
    """Fill the page."""

    def fetch() -> tuple[_Line, ...]:
        jobs = view.appliance.jobs
        return tuple(
            _Line(job=job, progress=None if job.state.final else jobs.progress(job.id)) for job in jobs.list(100)
        )

    await view.live(3.0, fetch, _show)


def _show(lines: tuple[_Line, ...]) -> None:
    if not lines:
        empty(
            _("No job yet"),
            _("Trainings, retrainings and batch predictions are jobs, with a progress, a log and a result."),
            icon_name="schedule",
            action=(_("Create a model"), "/models/new"),
        )
        return
    with panel(tight=True):
        Table(_COLUMNS, [_row(one) for one in lines], search=_("Search jobs"), name="jobs",
              per_page=20 if len(lines) > 20 else 0)  # fmt: skip


def _row(line: _Line) -> Row:
    job, progress = line.job, line.progress
    cells = {
        "what": Cell(text=KINDS[job.kind], href=f"/jobs/{job.id}"),
        "model": Cell(text=job.model, href=address_of(job)),
        "state": Cell(status=status_of(job.state.value)),
        "progress": Cell(text=f"{share(progress.fraction)}, {progress.step}" if progress else NONE),
        "at": Cell(text=when(job.created_at), sort=job.created_at.timestamp()),
        "took": Cell(text=seconds(duration_s(job, now=datetime.now(UTC)) if job.state.final else None)),
        "who": Cell(text=job.who),
        "message": Cell(text=job.message or NONE),
    }
    return Row(id=job.id, cells=cells)


def address_of(job: Job) -> str:
    """The page of what a job works for."""
    if job.kind is JobKind.DEMO:
        return "/"  # its model is made on the way
    return f"/data/{job.model}?tab=feed" if job.kind is JobKind.FEED else f"/models/{job.model}"


def duration_s(job: Job, *, now: datetime) -> float | None:
    """How long a job took, or has taken by now; None before it starts."""
    return ((job.ended_at or now) - job.started_at).total_seconds() if job.started_at else None


PAGE = Page(
    path="/jobs", section="jobs", title=_("Jobs"), build=build, lead=_("Everything that takes longer than a moment."),
    cli="appliance train NAME", rest="GET /api/jobs",
)  # fmt: skip

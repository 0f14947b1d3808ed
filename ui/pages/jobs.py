"""Jobs: what runs and ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appliance.jobs import Job, JobKind, JobProgress
from ui.clicks import in_clicks
from ui.components.empty import empty
from ui.components.markup import panel
from ui.components.status import status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.time_range import USUAL, choose_range
from ui.texts import _, ngettext
from ui.words import NONE, number, seconds, share, when

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What is in the time range, and how many are not."""

    lines: tuple[_Line, ...]
    earlier: int


async def build(view: View) -> None:
    """Fill the page."""
    window_s = choose_range(view, lambda key: f"/jobs?window={key}", usual=_("The newest"))

    def fetch() -> _Found:
        jobs = view.appliance.jobs
        newest, oldest = jobs.list(100), None if window_s is None else datetime.now(UTC) - timedelta(seconds=window_s)
        shown = [job for job in newest if oldest is None or not job.state.final or job.created_at >= oldest]
        lines = tuple(_Line(job=job, progress=None if job.state.final else jobs.progress(job.id)) for job in shown)
        return _Found(lines=lines, earlier=len(newest) - len(shown))

    await view.live(3.0, fetch, lambda found: _show(found, window_s))


def _show(found: _Found, window_s: int | None) -> None:
    lines = found.lines
    if not lines and found.earlier:
        empty(
            _("No job in this time range"),
            ngettext(
                "Nothing was asked for in the last {span}; {count} earlier job is kept.",
                "Nothing was asked for in the last {span}; {count} earlier jobs are kept.",
                found.earlier,
            ).format(span=seconds(window_s), count=number(found.earlier)),
            icon_name="schedule", action=(_("Show the newest"), f"/jobs?window={USUAL}"),
        )  # fmt: skip
        return
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
        # The state has a column of its own, in the language of the page.
        "message": Cell(text=NONE if job.message in {"", job.state.value} else in_clicks(job.message)),
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

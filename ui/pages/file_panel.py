"""A whole file scored from the page: dropped, looked at, scored by a job, and had back with its predictions."""

from __future__ import annotations

from nicegui import ui as ng

from appliance.api.control.uploads import drop_upload, find_upload, told_by_name
from appliance.errors import ApplianceError
from appliance.jobs import Job, JobProgress, JobState
from appliance.model_card import PredictionReport
from appliance.permissions import Action
from appliance.scored_files import is_kept, score_file
from storage.errors import StorageError
from ui.clicks import in_clicks
from ui.components.drop_zone import Sent, drop_zone
from ui.components.markup import box, button_link, link, panel, text, with_attributes
from ui.components.snippet import ProgressBar, snippet
from ui.components.status import notice, waiting_line
from ui.page import View, log_refused
from ui.programs import score_by_job
from ui.texts import _, ngettext
from ui.words import number, seconds


def show_file_panel(view: View, model: str) -> None:
    """The drop zone, what becomes of a file, and the same from a shell."""
    with panel(_("A whole file"), _("every row with its prediction beside it, as a file to keep")):
        if view.may(Action.WORK):
            _FilePanel(view, model).draw()
        else:
            text(_("Operators score whole files here."), "muted")
        text(
            _("The same from a shell, with a key of the scope admin in KEY. It is not counted as traffic."),
            "muted small",
        )
        snippet(score_by_job(view.addresses.control, model))


class _FilePanel:
    def __init__(self, view: View, model: str) -> None:
        self._view = view
        self._model = model
        self._timer: ng.timer | None = None
        self._job_id = ""

    def draw(self) -> None:
        """Put zone and answer on the page."""
        drop_zone(
            self._view.appliance.settings.max_upload_bytes, self._score, label=_("File to score"),
            invitation=_("Drop a file to score, or click to choose one"),
        )  # fmt: skip
        self._answer = with_attributes(box("stack"), aria_live="polite")

    async def _score(self, sent: Sent) -> None:
        upload, file_name = sent.upload, sent.name
        self._fresh()
        with self._answer:
            waiting_line(_("Looking whether {file_name} has what the model needs").format(file_name=file_name))
        view, refused = self._view, ""

        def start() -> str:
            nonlocal refused
            path = find_upload(view.appliance.settings.layout, upload)
            try:
                with told_by_name(path):
                    return score_file(view.appliance, self._model, path, who=view.caller.name)
            except (ApplianceError, StorageError) as exc:
                drop_upload(path)  # a second try begins with a second drop
                refused = log_refused(exc)
                return ""

        job_id = await view.act(Action.WORK, start)
        self._fresh()
        if not job_id:
            with self._answer:
                notice(
                    refused or _("The file was not scored."), tone="alarm",
                    title=_("{file_name} cannot be scored").format(file_name=file_name),
                )  # fmt: skip
            return
        self._job_id = job_id
        with self._answer, box("stack s"):
            self._bar = ProgressBar(_("Progress"))
            self._said = ng.label(_("waiting for the runner")).classes("small muted")
            link(_("Open the job: its log, and Stop"), f"/jobs/{job_id}", "small")
        self._timer = view.every(2.0, self._look)

    def _fresh(self) -> None:
        if self._timer is not None:
            self._timer.deactivate()
            self._timer = None
        self._answer.clear()

    async def _look(self) -> None:
        job_id, jobs = self._job_id, self._view.appliance.jobs

        def fetch() -> tuple[Job, JobProgress | None, object]:
            return jobs.get(job_id), jobs.progress(job_id), jobs.report(job_id)

        try:
            job, progress, report = await self._view.ask(fetch)
        except ApplianceError:
            return  # the orchestrator restarts; the next look may find it
        if job_id != self._job_id or self._answer.is_deleted:
            return
        if progress is not None and not job.state.final:
            self._bar.show(progress.fraction)
            self._said.set_text(progress.message)
        if job.state.final:
            self._fresh()
            with self._answer:
                self._show_end(job, report)

    def _show_end(self, job: Job, report: object) -> None:
        if job.state is JobState.COMPLETED and isinstance(report, PredictionReport):
            show_scored(self._view, job.id, report)
            return
        said = in_clicks(job.message) or _("Its log says more.")
        notice(said, tone="alarm", title=_("It did not finish"))
        link(_("Open the job"), f"/jobs/{job.id}", "small")


def show_scored(view: View, job_id: str, report: PredictionReport) -> None:
    """What a batch prediction did, and its file where it can be had from here."""
    kept = is_kept(view.appliance.settings.layout, report.out)
    name = report.out.rsplit("/", 1)[-1]
    said = ngettext(
        "{rows} row scored by version {version} in {seconds}, written to {out}.",
        "{rows} rows scored by version {version} in {seconds}, written to {out}.",
        report.rows,
    ).format(
        rows=number(report.rows), version=report.version, seconds=seconds(report.seconds),
        out=name if kept else report.out,
    )  # fmt: skip
    notice(said, tone="ok", title=_("Done"))
    for note in report.notes:
        text(note, "muted small")
    for column, count in report.unseen.items():
        notice(
            ngettext(
                "{count} row has a category that training never saw; it is taken as missing.",
                "{count} rows have a category that training never saw; they are taken as missing.",
                count,
            ).format(count=number(count)),
            tone="warn", title=column,
        )  # fmt: skip
    if kept:
        with box("line"):
            download = button_link(
                _("Download {file_name}").format(file_name=name), f"/api/jobs/{job_id}/result", icon_name="download",
                primary=True,
            )  # fmt: skip
            with_attributes(download, download=name)
            text(_("It is kept here for a day."), "muted small")

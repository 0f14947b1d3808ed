"""Jobs over HTTP."""

from __future__ import annotations

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from appliance.api.control.model_routes import Started
from appliance.house import Appliance
from appliance.jobs import Job, JobProgress, LogLine
from appliance.model_card import PredictionReport, TrainingReport
from appliance.permissions import Caller


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A job, how far it is, and what it brought."""

    job: Job
    progress: JobProgress | None
    training: TrainingReport | None
    prediction: PredictionReport | None


@get("/jobs", sync_to_thread=True)
def list_jobs(appliance: NamedDependency[Appliance], limit: FromQuery[int] = 50) -> list[Job]:
    """The newest jobs, newest first."""
    return list(appliance.jobs.list(min(max(limit, 1), 200)))


@get("/jobs/{job_id:str}", sync_to_thread=True)
def show(appliance: NamedDependency[Appliance], job_id: FromPath[str]) -> JobDetail:
    """One job."""
    report = appliance.jobs.report(job_id)
    return JobDetail(
        job=appliance.jobs.get(job_id),
        progress=appliance.jobs.progress(job_id),
        training=report if isinstance(report, TrainingReport) else None,
        prediction=report if isinstance(report, PredictionReport) else None,
    )


@get("/jobs/{job_id:str}/logs", sync_to_thread=True)
def logs(appliance: NamedDependency[Appliance], job_id: FromPath[str]) -> list[LogLine]:
    """Its log, oldest line first."""
    return list(appliance.jobs.logs(job_id))


@post("/jobs/{job_id:str}/cancel", sync_to_thread=True, status_code=200)
def cancel(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], job_id: FromPath[str]
) -> Job:  # fmt: skip
    """Stop it; one that has ended stays as it is."""
    return appliance.jobs.cancel(job_id, who=caller.name)


@post("/jobs/{job_id:str}/again", sync_to_thread=True, status_code=202)
def start_again(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], job_id: FromPath[str]
) -> Started:  # fmt: skip
    """Start the same as a job that has ended, with all that it was given."""
    return Started(job_id=appliance.jobs.again(job_id, who=caller.name))


@post("/demo", sync_to_thread=True, status_code=202)
def load_demo(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller]) -> Started:
    """Load the demo, as a job; what is there of it already is not done again."""
    return Started(job_id=appliance.jobs.start_demo(who=caller.name))


JOB_ROUTES = (list_jobs, show, logs, cancel, start_again, load_demo)

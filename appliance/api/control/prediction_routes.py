"""Whole files scored over HTTP: an upload becomes a job, and the job's result is fetched."""

from __future__ import annotations

from typing import Literal

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import File

from appliance.api.control.model_routes import Started
from appliance.api.control.uploads import find_upload, told_by_name
from appliance.house import Appliance
from appliance.permissions import Caller
from appliance.scored_files import find_scored, score_file


class ScoreFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to score.

    Attributes:
        upload: A file sent to ``POST /api/uploads``; it is used up unless this is refused.
        version: What serves when left out, else the champion.
        ending: Of the result; that of the file when left out, .csv where that cannot be written.
    """

    upload: str
    version: int | None = None
    ending: Literal[".csv", ".parquet", ".ndjson"] | None = None


@post("/models/{name:str}/predictions", sync_to_thread=True, status_code=202)
def score(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[ScoreFile],
) -> Started:
    """Score an uploaded file by a job; columns that are missing are said at once."""
    path = find_upload(appliance.settings.layout, data.upload)
    with told_by_name(path):
        job_id = score_file(appliance, name, path, who=caller.name, version=data.version, ending=data.ending)
    return Started(job_id=job_id)


@get("/jobs/{job_id:str}/result", sync_to_thread=True)
def result(appliance: NamedDependency[Appliance], job_id: FromPath[str]) -> File:
    """The file that a batch prediction of an upload wrote; 503 until it is there, 409 when the job failed."""
    path = find_scored(appliance, job_id)
    return File(path=path, filename=path.name, content_disposition_type="attachment")


PREDICTION_ROUTES = (score, result)

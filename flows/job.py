"""What every flow does around its work: settings, progress, the result's row, and a failure said in one sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from appliance.errors import ApplianceError
from appliance.model_card import PredictionReport, TrainingReport
from appliance.models import Models
from appliance.settings import Settings, load_settings
from appliance.training.train import Progress
from flows.progress import follow
from storage.errors import StorageError
from storage.passing import try_again
from storage.progress_rows import put_result
from storage.statedb import connect

Work = Callable[[Settings, str, Progress], TrainingReport | PredictionReport]
"""Settings, job id and progress to what the job brought."""


def run_job(model: str, work: Work) -> State[Any]:
    """Do a job's work inside a flow run; an error of ours becomes the state's message, without a traceback.

    What may pass by itself is tried again, the whole work from its start; the log says so.
    """
    settings = load_settings()
    job_id = str(flow_run.get_id())
    log = get_run_logger()

    def attempt() -> TrainingReport | PredictionReport:
        rounds = Models(settings).get(model).spec.rounds
        with follow(settings, job_id, model, rounds=rounds, log=log) as progress:
            return work(settings, job_id, progress)

    try:
        report = try_again(attempt, log.warning)
        try_again(lambda: _keep(settings, job_id, report), log.warning)
    except (ApplianceError, StorageError, sqlite3.Error) as exc:
        log.error("%s", exc)
        return Failed(message=str(exc))
    return Completed(message="done")


def _keep(settings: Settings, job_id: str, report: TrainingReport | PredictionReport) -> None:
    with closing(connect(settings.layout.database)) as connection:
        put_result(connection, job_id, msgspec.json.encode(report).decode())

"""What every flow does around its work: settings, progress, the result's row, and a failure said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
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
from storage.progress_rows import put_result
from storage.statedb import connect

Work = Callable[[Settings, str, Progress], TrainingReport | PredictionReport]
"""Settings, job id and progress to what the job brought."""


def run_job(model: str, work: Work) -> State[Any]:
    """Do a job's work inside a flow run; an error of ours becomes the state's message, without a traceback."""
    settings = load_settings()
    job_id = str(flow_run.get_id())
    log = get_run_logger()
    try:
        rounds = Models(settings).get(model).spec.rounds
        with follow(settings, job_id, model, rounds=rounds, log=log) as progress:
            report = work(settings, job_id, progress)
    except (ApplianceError, StorageError) as exc:
        log.error("%s", exc)
        return Failed(message=str(exc))
    connection = connect(settings.layout.database)
    try:
        put_result(connection, job_id, msgspec.json.encode(report).decode())
    finally:
        connection.close()
    return Completed(message="done")

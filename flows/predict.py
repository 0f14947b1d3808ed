"""The flow behind ``appliance predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from appliance.model_card import PredictionReport
from appliance.scored_files import drop_scored
from appliance.settings import Settings
from appliance.training.batch import BatchOrder, predict_file
from appliance.training.train import Progress
from flows.job import run_job


@flow(name="predict", persist_result=False)
def predict(model: str, who: str, file: str, out: str, version: int | None = None) -> State[Any]:  # noqa: ARG001
    """Score a file with a version of a model."""

    def work(settings: Settings, job_id: str, progress: Progress) -> PredictionReport:  # noqa: ARG001
        order = BatchOrder(model=model, version=version, file=Path(file), out=Path(out))
        report = predict_file(settings, order, progress)
        drop_scored(settings.layout, order.file)
        return report

    return run_job(model, work)

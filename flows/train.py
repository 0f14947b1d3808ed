"""The flow behind ``appliance train``."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from appliance.model_card import TrainingReport
from appliance.settings import Settings
from appliance.training.job import TrainingOrder, run_training
from appliance.training.train import Progress
from flows.job import run_job


@flow(name="train", persist_result=False)
def train(model: str, who: str, dataset_version: int | None = None) -> State[Any]:
    """Train a model's next version on a snapshot of its dataset."""

    def work(settings: Settings, job_id: str, progress: Progress) -> TrainingReport:
        order = TrainingOrder(model=model, who=who, dataset_version=dataset_version, job_id=job_id)
        return run_training(settings, order, progress)

    return run_job(model, work)

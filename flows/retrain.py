"""The flow behind ``appliance retrain`` and behind a model's schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from appliance.model_card import TrainingReport
from appliance.registry.released import find_released
from appliance.settings import Settings
from appliance.training.collect import collect_labelled
from appliance.training.job import TrainingOrder, run_training
from appliance.training.train import Progress
from flows.job import run_job


@flow(name="retrain", persist_result=False)
def retrain(model: str, who: str) -> State[Any]:
    """Append the labelled predictions not collected yet to the dataset, then train on all of it."""

    def work(settings: Settings, job_id: str, progress: Progress) -> TrainingReport:
        order = TrainingOrder(model=model, who=who, job_id=job_id)
        if find_released(settings.layout, job_id) is None:
            progress.step("collect", 0.0, "collecting labelled predictions")
            collected = collect_labelled(settings, model, who=who)
            progress.step("collect", 0.01, collected.sentence)
            order = replace(order, dataset_version=collected.dataset_version)
        return run_training(settings, order, progress)

    return run_job(model, work)

"""The pages, one module each."""

from ui.page import Page
from ui.pages import (
    alert,
    alerts,
    audit,
    change_model,
    data,
    dataset,
    deployments,
    doctor,
    help_index,
    help_topic,
    job,
    jobs,
    model,
    model_monitoring,
    models,
    monitoring,
    new_model,
    overview,
    settings,
    try_model,
)

PAGES: tuple[Page, ...] = tuple(
    # A fixed address comes before one with a placeholder that would swallow it.
    module.PAGE
    for module in (
        overview, data, dataset, models, new_model, change_model, model, try_model, deployments, monitoring,
        model_monitoring, jobs, job, alerts, alert, audit, settings, doctor, help_index, help_topic,
    )
)  # fmt: skip

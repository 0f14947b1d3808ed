"""The trainings of this host that say how fast it is."""

from __future__ import annotations

from appliance.durations import Past
from appliance.errors import ApplianceError
from appliance.models import Models
from appliance.schema import Task

MOST = 8
"""The newest ones: a host gets faster memory, or another neighbour."""


def list_past(models: Models) -> tuple[Past, ...]:
    """The newest trainings of all models; one whose bundle cannot be read says nothing."""
    found = sorted(
        (version for model in models.list() for version in models.versions(model.name)),
        key=lambda version: version.created_at, reverse=True,
    )  # fmt: skip
    return tuple(past for version in found[:MOST] if (past := _past(models, version.model, version.version)))


def _past(models: Models, name: str, version: int) -> Past | None:
    try:
        card = models.card(name, version)
    except ApplianceError:
        return None
    if card.seconds <= 0 or not card.rows:
        return None
    outputs = len(card.classes) if card.task == Task.MULTICLASS.value else 1
    return Past(
        rows=card.rows, columns=len(card.columns), outputs=outputs, trials=len(card.trials), seconds=card.seconds
    )

"""Makes the flows known to the orchestrator, with the schedules of the declared models."""

from __future__ import annotations

from appliance.models import Models
from appliance.orchestrator import Orchestrator, Schedule
from appliance.settings import Settings

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 1}

PARAMETERS: dict[str, dict[str, object]] = {
    "train": {"model": _TEXT, "who": _TEXT, "dataset_version": _NUMBER},
    "retrain": {"model": _TEXT, "who": _TEXT},
    "predict": {"model": _TEXT, "who": _TEXT, "file": _TEXT, "out": _TEXT, "version": _NUMBER},
}
"""Parameter schemas by flow; what a flow's function takes."""

REQUIRED = {"train": ["model", "who"], "retrain": ["model", "who"], "predict": ["model", "who", "file", "out"]}


def register_flows(orchestrator: Orchestrator, settings: Settings) -> None:
    """Create or update a deployment a flow; models with a schedule retrain by it.

    Raises:
        NotReady: The orchestrator does not answer.
    """
    schedules = model_schedules(settings)
    for flow, properties in PARAMETERS.items():
        orchestrator.register(
            flow,
            schema={"type": "object", "properties": properties, "required": REQUIRED[flow]},
            schedules=schedules if flow == "retrain" else (),
            entrypoint=f"flows/{flow}.py:{flow}",
        )


def model_schedules(settings: Settings) -> tuple[Schedule, ...]:
    """The schedules as declared now, by model."""
    return tuple(
        Schedule(slug=info.name, cron=info.spec.schedule, parameters={"model": info.name, "who": "schedule"})
        for info in Models(settings).list()
        if info.spec.schedule is not None
    )

"""Makes the flows known to the orchestrator."""

from __future__ import annotations

from appliance.orchestrator import Orchestrator

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 1}

PARAMETERS: dict[str, dict[str, object]] = {
    "train": {"model": _TEXT, "who": _TEXT, "dataset_version": _NUMBER},
    "retrain": {"model": _TEXT, "who": _TEXT},
    "predict": {"model": _TEXT, "who": _TEXT, "file": _TEXT, "out": _TEXT, "version": _NUMBER},
    "demo": {"model": _TEXT, "who": _TEXT},
    "feed": {"dataset": _TEXT, "who": _TEXT},
}
"""Parameter schemas by flow; what a flow's function takes. A feed's runs are told by ``appliance.feeding``."""

REQUIRED = {
    "train": ["model", "who"],
    "retrain": ["model", "who"],
    "predict": ["model", "who", "file", "out"],
    "demo": ["model", "who"],
    "feed": ["dataset", "who"],
}


def register_flows(orchestrator: Orchestrator) -> None:
    """Create or update a deployment a flow.

    Raises:
        NotReady: The orchestrator does not answer.
    """
    for flow, properties in PARAMETERS.items():
        schema = {"type": "object", "properties": properties, "required": REQUIRED[flow]}
        orchestrator.register(flow, schema=schema, entrypoint=f"flows/{flow}.py:{flow}")

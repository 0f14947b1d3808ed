"""The deployments of a model as marks on its charts."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.deployments import Deployment
from ui.components.chart import Marker


def markers_of(history: Sequence[Deployment]) -> tuple[Marker, ...]:
    """A mark where each version began to serve, to be tried, or to score along."""
    return tuple(
        Marker(at=one.started_at, label=f"v{one.version}" if one.role == "champion" else f"v{one.version} {one.role}")
        for one in history
    )

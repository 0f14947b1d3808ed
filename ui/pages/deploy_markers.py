"""The deployments of a model as marks on its charts."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.deployments import Deployment
from ui.components.chart import Marker
from ui.texts import _

_LABELS = {"canary": _("v{version} canary"), "shadow": _("v{version} shadow")}


def markers_of(history: Sequence[Deployment]) -> tuple[Marker, ...]:
    """A mark where each version began to serve, to be tried, or to score along."""
    return tuple(
        Marker(at=one.started_at, label=_LABELS.get(one.role, "v{version}").format(version=one.version))
        for one in history
    )

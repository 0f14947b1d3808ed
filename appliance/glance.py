"""Every model at a glance: what the first page of the dashboard and ``GET /api/overview`` show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from appliance.errors import NotFound, NotReady
from appliance.models import ModelInfo, VersionInfo
from appliance.monitoring.drift_report import DatasetDrift
from appliance.monitoring.quality_report import QualityReport
from appliance.monitoring.service_report import Latency, TrafficSeries
from storage.errors import BundleNotFound

if TYPE_CHECKING:
    from appliance.house import Appliance

DAY_S = 86_400
SLOTS = 48
"""Half hours of a day."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGlance:
    """One model; None stands where there is nothing to tell yet.

    Attributes:
        service: The last day of its traffic, up to its newest request.
        activity: Requests in each half hour of that day, oldest first.
        last_request_at: Begin of the newest bucket with traffic.
        drift: Over the model's own window, up to its newest event.
        quality: Over 30 days of event time, or the model's own window when that is longer.
        newest: Its newest version.
    """

    model: ModelInfo
    service: Latency | None
    activity: tuple[int, ...]
    last_request_at: datetime | None
    drift: DatasetDrift | None
    quality: QualityReport | None
    newest: VersionInfo | None


def glance_at(appliance: Appliance) -> tuple[ModelGlance, ...]:
    """Every model, by name."""
    return tuple(_one(appliance, model) for model in appliance.models.list())


def _one(appliance: Appliance, model: ModelInfo) -> ModelGlance:
    monitoring, name = appliance.monitoring, model.name
    traffic = _known(lambda: monitoring.traffic(name, DAY_S)) if model.latest else None
    latency = _known(lambda: monitoring.latency(name, DAY_S)) if model.latest else None
    drift = _known(lambda: monitoring.drift(name, model.spec.window_s)) if model.latest else None
    quality_s = max(30 * DAY_S, model.spec.window_s)
    return ModelGlance(
        model=model,
        service=latency.total if latency else None,
        activity=_activity(traffic) if traffic else (),
        last_request_at=traffic.points[-1].at if traffic and traffic.points else None,
        drift=drift.dataset if drift else None,
        quality=_known(lambda: monitoring.quality(name, quality_s)) if model.latest else None,
        newest=next(iter(appliance.models.versions(name)), None),
    )


def _activity(traffic: TrafficSeries) -> tuple[int, ...]:
    slots = [0] * SLOTS
    for point in traffic.points:
        into = (point.at - traffic.window.start).total_seconds() / traffic.window.seconds
        slots[min(max(int(into * SLOTS), 0), SLOTS - 1)] += point.latency.count
    return tuple(slots) if any(slots) else ()


def _known(ask: Callable[[], T]) -> T | None:
    """The answer, or None when there is none yet: a model without a bundle has no reference to compare with."""
    try:
        return ask()
    except (NotFound, NotReady, BundleNotFound):
        return None

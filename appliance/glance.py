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
from appliance.monitoring.spans import GLANCE_S
from storage.errors import BundleNotFound

if TYPE_CHECKING:
    from appliance.house import Appliance

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGlance:
    """One model; None stands where there is nothing to tell yet.

    Attributes:
        service: The last day of its traffic, or the window that was asked for, up to its newest request.
        activity: Requests in each half hour that this day touches, or in each bucket of that window; oldest first.
        last_request_at: Begin of the newest minute with traffic.
        drift: Over the model's own window or that one, up to its newest event.
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


def glance_at(appliance: Appliance, window_s: int | None = None) -> tuple[ModelGlance, ...]:
    """Every model, by name; all figures over the last ``window_s`` seconds where that is given."""
    return tuple(_one(appliance, model, window_s) for model in appliance.models.list())


def _one(appliance: Appliance, model: ModelInfo, window_s: int | None) -> ModelGlance:
    monitoring, name = appliance.monitoring, model.name
    activity = _known(lambda: monitoring.activity(name)) if model.latest else None
    total, slots = (activity.total, activity.slots) if activity else (None, ())
    if activity and window_s is not None:
        total = monitoring.latency(name, window_s).total
        slots = list_slots(monitoring.traffic(name, window_s))
    drift = _known(lambda: monitoring.drift(name, window_s or model.spec.window_s)) if model.latest else None
    quality_s = window_s or max(GLANCE_S, model.spec.window_s)
    return ModelGlance(
        model=model,
        service=total,
        activity=slots,
        last_request_at=activity.newest_at if activity else None,
        drift=drift.dataset if drift else None,
        quality=_known(lambda: monitoring.quality(name, quality_s)) if model.latest else None,
        newest=appliance.models.newest(name),
    )


def list_slots(series: TrafficSeries) -> tuple[int, ...]:
    """Requests in each bucket that the window touches, also in those without any; oldest first."""
    counts = {int(point.at.timestamp()): point.latency.count for point in series.points}
    first = int(series.window.start.timestamp()) // series.bucket_s * series.bucket_s
    return tuple(counts.get(at, 0) for at in range(first, int(series.window.end.timestamp()), series.bucket_s))


def _known(ask: Callable[[], T]) -> T | None:
    """The answer, or None when there is none yet: a model without a bundle has no reference to compare with."""
    try:
        return ask()
    except (NotFound, NotReady, BundleNotFound):
        return None

"""Drift, latency, traffic, quality and alerts over HTTP; a window is text such as ``24h``."""

from __future__ import annotations

from litestar import get, post

from appliance.house import Appliance
from appliance.monitoring.spans import Json, parse_span
from appliance.permissions import Caller


@get("/models/{name:str}/drift", sync_to_thread=True)
def drift(appliance: Appliance, name: str, window: str = "24h", version: int | None = None) -> Json:
    """Every column against the training reference."""
    return appliance.monitoring.drift(name, parse_span(window), version=version).to_json()


@get("/models/{name:str}/drift/{column:str}", sync_to_thread=True)
def drift_detail(appliance: Appliance, name: str, column: str, window: str = "24h", version: int | None = None) -> Json:
    """One column's two histograms; ``prediction`` and ``label`` are columns too."""
    return appliance.monitoring.drift_detail(name, column, parse_span(window), version=version).to_json()


@get("/models/{name:str}/latency", sync_to_thread=True)
def latency(appliance: Appliance, name: str, window: str = "24h") -> Json:
    """Requests, errors and percentiles of a window."""
    return appliance.monitoring.latency(name, parse_span(window)).to_json()


@get("/models/{name:str}/traffic", sync_to_thread=True)
def traffic(appliance: Appliance, name: str, window: str = "24h") -> Json:
    """The same in time."""
    return appliance.monitoring.traffic(name, parse_span(window)).to_json()


@get("/models/{name:str}/quality", sync_to_thread=True)
def quality(appliance: Appliance, name: str, window: str = "30d", version: int | None = None) -> Json:
    """Metrics of the labelled predictions of a window."""
    return appliance.monitoring.quality(name, parse_span(window), version=version).to_json()


@get("/models/{name:str}/quality/series", sync_to_thread=True)
def quality_series(appliance: Appliance, name: str, window: str = "90d", bucket: str = "1d") -> Json:
    """The same in time."""
    return appliance.monitoring.quality_series(name, parse_span(window), bucket_s=parse_span(bucket)).to_json()


@get("/alerts", sync_to_thread=True)
def alerts(appliance: Appliance, open_only: bool = False) -> list[Json]:
    """Alerts of all models, open ones first."""
    return [alert.to_json() for alert in appliance.monitoring.alerts(open_only=open_only)]


@post("/alerts/{alert_id:int}/acknowledge", sync_to_thread=True, status_code=200)
def acknowledge(appliance: Appliance, caller: Caller, alert_id: int) -> Json:
    """Note who has seen an alert."""
    return appliance.monitoring.acknowledge(alert_id, who=caller.name).to_json()


@get("/lag", sync_to_thread=True)
def lag(appliance: Appliance) -> Json:
    """How far the watch loop is behind the event log."""
    return appliance.monitoring.lag().to_json()


MONITORING_ROUTES = (drift, drift_detail, latency, traffic, quality, quality_series, alerts, acknowledge, lag)

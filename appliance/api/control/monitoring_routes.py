"""Drift, latency, traffic, quality and alerts over HTTP.

A window is text such as ``24h``, before the newest event or before ``until``, or ``FROM/TO``; times are ISO 8601. For
drift and data quality it is by default the model's own.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from litestar import Request, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery

from appliance.house import Appliance
from appliance.monitoring.skew import skew_json
from appliance.monitoring.spans import Json, parse_moment, parse_span, parse_window
from appliance.permissions import Caller

_COLUMN = re.compile(r"/models/[^/]+/(?:drift|quality/by)/([^?]*)")


async def provide_column(request: Request[Any, Any, Any], column: FromPath[str]) -> str:
    """The column that an address ends with, whatever slashes its name has.

    The router puts a slash before the rest of a path and folds those at its end or in a row, so the rest is taken from
    the address as it was sent, where the server keeps that.
    """
    sent: bytes = request.scope.get("raw_path", b"")
    found = _COLUMN.search(sent.decode("latin-1"))
    return unquote(found[1]) if found else column.removeprefix("/")


EXACT = {"exact": Provide(provide_column, use_cache=False)}


def _asked(window: str | None, until: str | None) -> tuple[int | None, datetime | None]:
    """Length and end of a window; None: the model's own length, the newest event."""
    if window is None:
        return None, None if until is None else parse_moment(until)
    asked = parse_window(window, until)
    return asked.seconds, asked.until


@get("/models/{name:str}/drift", sync_to_thread=True)
def drift(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
    against: FromQuery[str] = "training",
) -> Json:
    """Every column against the training, or ``previous``, ``FROM/TO``, ``dataset:VERSION``."""
    seconds, ends = _asked(window, until)
    report = appliance.monitoring.drift(name, seconds, version=version, until=ends, against=against)
    return report.to_json()


@get("/models/{name:str}/drift/{column:path}", sync_to_thread=True, dependencies=EXACT)
def drift_detail(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    exact: NamedDependency[str],
    window: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
) -> Json:
    """One column's two histograms; ``prediction`` and ``label`` are columns too. A slash in a name is ``%2F``."""
    seconds, ends = _asked(window, until)
    found = appliance.monitoring.drift_detail(name, exact, seconds, version=version, until=ends)
    return found.to_json()


@get("/models/{name:str}/data-quality", sync_to_thread=True)
def data_quality(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
) -> Json:
    """By column what was missing, unseen, out of range or refused, and the columns that nobody knows."""
    seconds, ends = _asked(window, until)
    return appliance.monitoring.data_quality(name, seconds, version=version, until=ends).to_json()


@get("/models/{name:str}/studies", sync_to_thread=True)
def studies(appliance: NamedDependency[Appliance], name: FromPath[str]) -> list[Json]:
    """What the nightly studies found last: domain classifier, reconstruction, attribution."""
    return [study.to_json() for study in appliance.monitoring.studies(name)]


@get("/models/{name:str}/skew", sync_to_thread=True)
def skew(appliance: NamedDependency[Appliance], name: FromPath[str]) -> list[Json]:
    """How each deployment was proved: rows of the training replayed over HTTP, and the first live rows."""
    return [skew_json(row) for row in appliance.monitoring.skew(name)]


@get("/models/{name:str}/latency", sync_to_thread=True)
def latency(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str] = "24h",
    until: FromQuery[str | None] = None,
) -> Json:
    """Requests, errors and percentiles of a window."""
    asked = parse_window(window, until)
    return appliance.monitoring.latency(name, asked.seconds, until=asked.until).to_json()


@get("/models/{name:str}/traffic", sync_to_thread=True)
def traffic(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str] = "24h",
    until: FromQuery[str | None] = None,
) -> Json:
    """The same in time."""
    asked = parse_window(window, until)
    return appliance.monitoring.traffic(name, asked.seconds, until=asked.until).to_json()


@get("/models/{name:str}/quality", sync_to_thread=True)
def quality(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str] = "30d",
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
) -> Json:
    """Metrics of the labelled predictions of a window."""
    asked = parse_window(window, until)
    return appliance.monitoring.quality(name, asked.seconds, version=version, until=asked.until).to_json()


@get("/models/{name:str}/quality/by/{column:path}", sync_to_thread=True, dependencies=EXACT)
def quality_by(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    exact: NamedDependency[str],
    window: FromQuery[str] = "30d",
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
) -> Json:
    """The same by the values or bins of an input or a protected column, and how alike binary answers treat them."""
    asked = parse_window(window, until)
    return appliance.monitoring.segments(
        name, exact, asked.seconds, version=version, until=asked.until
    ).to_json()  # fmt: skip


@get("/models/{name:str}/fairness", sync_to_thread=True)
def fairness(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str] = "30d",
    until: FromQuery[str | None] = None,
    version: FromQuery[int | None] = None,
) -> Json:
    """The same by every column that is declared protected, inputs or not."""
    asked = parse_window(window, until)
    reports = appliance.monitoring.fairness(name, asked.seconds, version=version, until=asked.until)
    return {"columns": [report.to_json() for report in reports]}


@get("/models/{name:str}/quality/series", sync_to_thread=True)
def quality_series(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    window: FromQuery[str] = "90d",
    until: FromQuery[str | None] = None,
    bucket: FromQuery[str] = "1d",
) -> Json:
    """The same in time."""
    asked = parse_window(window, until)
    return appliance.monitoring.quality_series(
        name, asked.seconds, bucket_s=parse_span(bucket), until=asked.until
    ).to_json()  # fmt: skip


@get("/labels/{prediction_id:str}", sync_to_thread=True)
def label_history(appliance: NamedDependency[Appliance], prediction_id: FromPath[str]) -> Json:
    """The label of one prediction, and every earlier one that it took the place of."""
    return appliance.monitoring.label_history(prediction_id).to_json()


@get("/alerts", sync_to_thread=True)
def alerts(appliance: NamedDependency[Appliance], open_only: FromQuery[bool] = False) -> list[Json]:
    """Alerts of all models, open ones first."""
    return [alert.to_json() for alert in appliance.monitoring.alerts(open_only=open_only)]


@get("/alerts/{alert_id:int}", sync_to_thread=True)
def alert(appliance: NamedDependency[Appliance], alert_id: FromPath[int]) -> Json:
    """One alert: the window that opened it, what its channels were told, what to do."""
    return appliance.monitoring.alert(alert_id).to_json()


@post("/alerts/{alert_id:int}/acknowledge", sync_to_thread=True, status_code=200)
def acknowledge(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], alert_id: FromPath[int]
) -> Json:
    """Note who has seen an alert."""
    return appliance.monitoring.acknowledge(alert_id, who=caller.name).to_json()


@get("/lag", sync_to_thread=True)
def lag(appliance: NamedDependency[Appliance]) -> Json:
    """How far the watch loop is behind the event log."""
    return appliance.monitoring.lag().to_json()


@get("/metrics", sync_to_thread=True, media_type="text/plain; version=1.0.0")
def metrics(appliance: NamedDependency[Appliance], request: Request[Any, Any, Any]) -> bytes:
    """Everything a Prometheus scrapes, the inference API's counts among it; with a key of scope read."""
    shown = {name: request.headers[name] for name in ("authorization", "x-api-key") if name in request.headers}
    return appliance.exposition.scrape(shown)


MONITORING_ROUTES = (
    drift, drift_detail, data_quality, studies, skew, latency, traffic, quality, quality_by, fairness,
    quality_series, label_history, alerts,
    alert, acknowledge, lag, metrics,
)  # fmt: skip

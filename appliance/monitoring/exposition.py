"""Everything a Prometheus scrapes, on one endpoint: the inference API's counts, drift, quality, alerts and processes.

The figures of models are worked out at most once a minute, however many scrape. Names follow Prometheus' conventions;
MLServer's and KServe's names of the same counts come beside them when the setting ``metrics_aliases`` names them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import httpx
import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from appliance.errors import ApplianceError
from appliance.monitoring.model_metrics import ModelFigures
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.process_metrics import ProcessFigures
from appliance.settings import Settings
from storage import statedb
from storage.delivery_rows import count_deliveries
from storage.errors import StorageError
from storage.held_rows import list_held
from storage.window_rows import watched_models

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
FRESH_S = 60.0
TIMEOUT_S = 2.0
_DURATION = "appliance_request_duration_seconds"
_UNREADABLE = (
    ApplianceError, StorageError, httpx.HTTPError, sqlite3.Error, msgspec.MsgspecError, OSError, ValueError,
    LookupError,
)  # fmt: skip
"""What a part or a model that cannot be read may raise, a window whose bytes are torn among it."""

log = logging.getLogger(__name__)


class Exposition:
    """The text of the one endpoint; may be asked from several threads."""

    def __init__(self, settings: Settings, monitoring: Monitoring) -> None:
        self._settings = settings
        self._monitoring = monitoring
        self._processes = ProcessFigures(settings)
        self._lock = threading.Lock()
        self._models: list[Metric] = []
        self._failed_models: tuple[str, ...] = ()
        self._worked_out = -FRESH_S

    def scrape(self, credentials: Mapping[str, str]) -> bytes:
        """The text format; a part or a model that cannot be read is left out, and ``appliance_scrape_failed`` names it.

        Args:
            credentials: The headers by which the caller showed a key: the inference API is asked with the same.
        """
        families: list[Metric] = []
        failed = GaugeMetricFamily("appliance_scrape_failed", "1 for a part that could not be read.", labels=["part"])
        for part, read in (
            ("api", lambda: self._api(credentials)), ("models", self._fresh_models), ("watch", self._watch),
            ("processes", self._processes.families),
        ):  # fmt: skip
            try:
                families += list(read())
            except _UNREADABLE:
                failed.add_metric([part], 1.0)
            else:
                failed.add_metric([part], 0.0)
        for model in self._failed_models:
            failed.add_sample(failed.name, {"part": "models", "model": model}, 1.0)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Found([*families, failed]))
        return generate_latest(registry)

    def _api(self, credentials: Mapping[str, str]) -> Iterator[Metric]:
        text = (
            httpx.get(
                f"{self._settings.api_url}/metrics", headers=dict(credentials), timeout=TIMEOUT_S, trust_env=False
            )
            .raise_for_status()
            .text
        )
        families = list(text_string_to_metric_families(text))
        yield from families
        if "mlserver" in self._settings.metrics_aliases:
            yield from _as_mlserver(families)
        if "kserve" in self._settings.metrics_aliases:
            yield from _as_kserve(families)

    def _fresh_models(self) -> list[Metric]:
        with self._lock:
            if time.monotonic() - self._worked_out >= FRESH_S:
                self._models = list(self._read_models())
                self._worked_out = time.monotonic()
            return self._models

    def _read_models(self) -> Iterator[Metric]:
        figures = ModelFigures()
        failed = []
        for model in self._models_with_traffic():
            try:
                figures.add(self._monitoring, model)
            except _UNREADABLE as exc:
                log.warning("the figures of the model %s cannot be read: %s", model, exc, extra={"model": model})
                failed.append(model)
        self._failed_models = tuple(failed)
        yield from figures.families()

    def _models_with_traffic(self) -> list[str]:
        connection = statedb.connect(self._settings.layout.database, read_only=True)
        try:
            return watched_models(connection)
        finally:
            connection.close()

    def _watch(self) -> Iterator[Metric]:
        lag = self._monitoring.lag()
        yield GaugeMetricFamily("appliance_watch_lag_bytes", "Bytes of the log not counted yet.", lag.bytes_behind)
        if lag.heartbeat_at is not None:
            yield GaugeMetricFamily(
                "appliance_watch_heartbeat_timestamp_seconds", "When the watch loop last said that it lives.",
                lag.heartbeat_at.timestamp(),
            )  # fmt: skip
        faults = CounterMetricFamily("appliance_events_faulty", "Events that could not be counted.", labels=["kind"])
        for kind, count in lag.faults.items():
            faults.add_metric([kind], count)
        alerts = GaugeMetricFamily(
            "appliance_alert_open", "1 for each open alert.", labels=["model", "subject", "state"]
        )  # fmt: skip
        for alert in self._monitoring.alerts(open_only=True, limit=1_000):
            alerts.add_metric([alert.model, alert.subject, alert.state.value], 1.0)
        deliveries = GaugeMetricFamily("appliance_alert_deliveries", "Messages to channels.", labels=["state"])
        with closing(statedb.connect(self._settings.layout.database, read_only=True)) as connection:
            for state, count in count_deliveries(connection).items():
                deliveries.add_metric([state], count)
            held = GaugeMetricFamily(
                "appliance_events_held", "Rows and labels that wait until their version can be read.",
                labels=["model", "version"],
            )  # fmt: skip
            waiting: Counter[tuple[str, int]] = Counter()
            for part in list_held(connection):
                waiting[part.model, part.version] += part.rows
            for (model, version), rows in waiting.items():
                held.add_metric([model, str(version)], rows)
        yield from (faults, alerts, deliveries, held)


class _Found(Collector):
    """Families that were read already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def _as_mlserver(families: Iterable[Metric]) -> Iterator[Metric]:
    """MLServer 1.7's counters of inferences that went well and that did not, and its summary of their seconds."""
    labels = ["model", "version"]
    good = CounterMetricFamily("model_infer_request_success", "Model infer request success count", labels=labels)
    bad = CounterMetricFamily("model_infer_request_failure", "Model infer request failure count", labels=labels)
    counts: dict[tuple[str, str, bool], float] = {}
    for sample, count in _samples(families, "appliance_requests_total"):
        key = (sample["model"], sample["version"], sample["status"] == "200")
        counts[key] = counts.get(key, 0.0) + count
    for (model, version, well), count in counts.items():
        if model:
            (good if well else bad).add_metric([model, version], count)
    took = SummaryMetricFamily("model_infer_request_duration", "Model infer request duration", labels=labels)
    sums = {(one["model"], one["version"]): s for one, s in _samples(families, f"{_DURATION}_sum")}
    for sample, count in _samples(families, f"{_DURATION}_count"):
        model, version = sample["model"], sample["version"]
        took.add_metric([model, version], count_value=count, sum_value=sums[model, version])  # type: ignore[arg-type]
    yield from (good, bad, took)


def _as_kserve(families: Iterable[Metric]) -> Iterator[Metric]:
    """KServe's histogram of a prediction's time, which has no versions: they are added up."""
    metric = Metric("request_predict_seconds", "predict request latency", "histogram")
    totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for suffix in ("_bucket", "_sum", "_count"):
        for sample, count in _samples(families, f"{_DURATION}{suffix}"):
            labels = {"model_name": sample["model"]} | ({"le": sample["le"]} if suffix == "_bucket" else {})
            key = (suffix, tuple(labels.items()))
            totals[key] = totals.get(key, 0.0) + count
    for (suffix, pairs), value in totals.items():
        metric.add_sample(f"request_predict_seconds{suffix}", dict(pairs), value)
    yield metric


def _samples(families: Iterable[Metric], name: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in families:
        for sample in family.samples:
            if sample.name == name:
                yield sample.labels, sample.value

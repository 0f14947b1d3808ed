"""Drift, quality and data quality of each model, as Prometheus sees them; a model that fails leaves no half behind."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from appliance.monitoring.data_quality_report import DataQualityReport
from appliance.monitoring.drift_report import DriftReport
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.quality_report import QualityReport
from appliance.monitoring.spans import State

_STATES = {State.OK: 0.0, State.WARN: 1.0, State.ALARM: 2.0, State.NOT_ENOUGH_DATA: -1.0}
_LABELS = ["model", "version"]


class ModelFigures:
    """The families of all models, filled a model at a time."""

    def __init__(self) -> None:
        self._psi = GaugeMetricFamily(
            "appliance_drift_psi", "Population stability index against the training.", labels=[*_LABELS, "column"]
        )
        self._states = GaugeMetricFamily(
            "appliance_state", "0 ok, 1 warn, 2 alarm, -1 not enough data.", labels=[*_LABELS, "subject"]
        )
        self._share = GaugeMetricFamily("appliance_drifted_columns_ratio", "Columns that moved.", labels=_LABELS)
        self._quality = GaugeMetricFamily(
            "appliance_quality", "A metric, measured on labels, estimated without, or of the holdout.",
            labels=[*_LABELS, "metric", "source"],
        )  # fmt: skip
        self._odd = GaugeMetricFamily(
            "appliance_data_quality_ratio", "Rows missing, unseen, outside or refused, and their share at training.",
            labels=[*_LABELS, "column", "kind", "source"],
        )  # fmt: skip
        self._repeated = GaugeMetricFamily(
            "appliance_duplicate_rows_ratio", "Rows that repeat another.", labels=_LABELS
        )  # fmt: skip
        self._unknown = GaugeMetricFamily(
            "appliance_unknown_columns", "Columns that were sent and ignored.", labels=_LABELS
        )
        self._coverage = GaugeMetricFamily(
            "appliance_label_coverage_ratio", "Predictions with a label.", labels=_LABELS
        )  # fmt: skip

    def add(self, monitoring: Monitoring, model: str) -> None:
        """Ask all of a model first, so that one that fails adds nothing.

        Raises:
            NotFound: No version of it can be read.
        """
        drift, quality, rows = monitoring.drift(model), monitoring.quality(model), monitoring.data_quality(model)
        key = [model, str(drift.version)]
        self._add_drift(key, drift)
        self._add_quality(key, quality)
        self._add_rows(key, rows)

    def families(self) -> Iterator[Metric]:
        """All of them, also those without a model."""
        yield from (
            self._psi, self._states, self._share, self._quality, self._coverage, self._odd, self._repeated,
            self._unknown,
        )  # fmt: skip

    def _add_drift(self, key: list[str], drift: DriftReport) -> None:
        for column in (*drift.columns, *drift.outputs):
            if column.psi is not None:
                self._psi.add_metric([*key, column.name], column.psi)
        self._share.add_metric(key, drift.dataset.drifted_share)
        self._states.add_metric([*key, "drift"], _STATES[drift.dataset.state])
        self._states.add_metric([*key, "prediction"], max(_STATES[output.state] for output in drift.outputs))

    def _add_quality(self, key: list[str], found: QualityReport) -> None:
        self._states.add_metric([*key, "quality"], _STATES[found.state])
        self._coverage.add_metric(key, found.coverage)
        estimate = found.estimate.metrics if found.estimate else {}
        for source, metrics in (("labels", found.metrics), ("estimate", estimate), ("holdout", found.reference)):
            for name, value in metrics.items():
                self._quality.add_metric([*key, name, source], value)

    def _add_rows(self, key: list[str], rows: DataQualityReport) -> None:
        self._states.add_metric([*key, "data_quality"], _STATES[rows.state])
        self._unknown.add_metric(key, len(rows.unknown))
        if rows.duplicate_share is not None:
            self._repeated.add_metric(key, rows.duplicate_share)
        for kept in rows.columns:
            for oddity, part in kept.shares.items():
                self._odd.add_metric([*key, kept.name, oddity.value, "training"], part.share.reference)
                self._odd.add_metric([*key, kept.name, oddity.value, "window"], part.share.current)

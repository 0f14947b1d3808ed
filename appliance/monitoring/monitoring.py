"""The facade: what the dashboard, the control API and the CLI ask about a model's traffic."""

from __future__ import annotations

from datetime import datetime

from appliance.monitoring.alerts import Alert
from appliance.monitoring.drift_report import DriftDetail, DriftReport
from appliance.monitoring.quality_report import QualityReport, QualitySeries
from appliance.monitoring.service_report import Lag, LatencyReport, TrafficSeries
from appliance.settings import Settings

DAY_S = 86_400


class Monitoring:
    """Answers from the counted windows; each call opens the state database for itself, so threads may share this.

    Every span ends at ``until``, by default the newest event time of the model (not the wall clock, so that replays
    and quiet models are judged on what there is). ``version=None`` is the deployed champion, or the version with the
    newest events when the champion has none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def drift(
        self, name: str, window_s: int = DAY_S, *, version: int | None = None, until: datetime | None = None
    ) -> DriftReport:
        """A window of event time against the version's training reference.

        Raises:
            NotFound: No such model, or no version of it is published.
        """
        raise NotImplementedError

    def drift_detail(
        self,
        name: str,
        column: str,
        window_s: int = DAY_S,
        *,
        version: int | None = None,
        until: datetime | None = None,
    ) -> DriftDetail:
        """One column's histograms; ``prediction`` and ``label`` are columns too.

        Raises:
            NotFound: No such model or column.
        """
        raise NotImplementedError

    def latency(self, name: str, window_s: int = DAY_S, *, until: datetime | None = None) -> LatencyReport:
        """Service figures of a span of arrival time, which ends at the newest arrival."""
        raise NotImplementedError

    def traffic(self, name: str, window_s: int = DAY_S, *, until: datetime | None = None) -> TrafficSeries:
        """Requests, errors and latency by minute of arrival, or by coarser buckets over long spans."""
        raise NotImplementedError

    def quality(
        self, name: str, window_s: int = 30 * DAY_S, *, version: int | None = None, until: datetime | None = None
    ) -> QualityReport:
        """Exact metrics of the labelled predictions of a window of event time.

        Raises:
            NotFound: No such model, or no version of it is published.
        """
        raise NotImplementedError

    def quality_series(
        self,
        name: str,
        window_s: int = 90 * DAY_S,
        *,
        bucket_s: int = DAY_S,
        version: int | None = None,
        until: datetime | None = None,
    ) -> QualitySeries:
        """Quality by bucket of event time; ``version=None`` takes every version as it served."""
        raise NotImplementedError

    def alerts(self, *, open_only: bool = False, limit: int = 100) -> list[Alert]:
        """The newest alerts of all models, open ones first."""
        raise NotImplementedError

    def acknowledge(self, alert_id: int, *, who: str) -> Alert:
        """Note who has seen an alert; it stays open while its state holds.

        Raises:
            NotFound: No such alert.
        """
        raise NotImplementedError

    def lag(self) -> Lag:
        """How far the watch loop is behind the event log."""
        raise NotImplementedError

"""The facade: what the dashboard, the control API and the CLI ask about a model's traffic."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from appliance.errors import NotFound
from appliance.monitoring import judged, service
from appliance.monitoring.activity import read_activity
from appliance.monitoring.against import TRAINING, DatasetVersion, find_held, parse_against
from appliance.monitoring.alert_story import AlertFacts, find_facts
from appliance.monitoring.alerts import Alert, alert_of
from appliance.monitoring.asked import find_span, of_all_versions, require_model
from appliance.monitoring.bins import Ints
from appliance.monitoring.data_quality_report import DataQualityReport
from appliance.monitoring.data_quality_verdict import judge_data_quality
from appliance.monitoring.drift import held_counts
from appliance.monitoring.drift_report import BinShare, DriftDetail, DriftReport
from appliance.monitoring.horizon import Horizon
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.label_history import read_label_history
from appliance.monitoring.quality_report import LabelHistory, QualityReport, QualitySeries, SegmentReport
from appliance.monitoring.quality_series import quality_points
from appliance.monitoring.reference import LABEL, ColumnReference
from appliance.monitoring.row_figures import read_figures
from appliance.monitoring.service_report import Activity, Lag, LatencyReport, TrafficPoint, TrafficSeries
from appliance.monitoring.spans import DAY_S, GLANCE_S, SERIES_S, Span, Window
from appliance.monitoring.study import Study, study_of
from appliance.monitoring.watch import HEARTBEAT, KINDS
from appliance.orders import JudgeDrift, Worker
from appliance.settings import Settings
from storage import alert_rows, model_rows, statedb, study_rows, window_rows
from storage.audit_rows import AuditEntry, append_audit
from storage.eventlog import list_segments
from storage.skew_rows import SkewRow, list_skews

HOUR_S = 3_600
BUCKETS_S = (60, 300, 900, HOUR_S, 6 * HOUR_S, DAY_S)
MOST_POINTS = 500
"""Points of a traffic series; longer spans get coarser buckets."""


class Monitoring:
    """Answers from the counted windows; each call opens the state database for itself, so threads may share this.

    Every span ends at ``until``, by default the newest event time of the model that does not lie ahead of the clock
    (``Horizon``; not the wall clock itself, so that replays and quiet models are judged on what there is).
    ``version=None`` is the deployed champion, or the version with the newest events when the champion has none.
    A ``worker`` reads whole datasets, this process where none is given.
    """

    def __init__(self, settings: Settings, worker: Worker | None = None) -> None:
        self._settings = settings
        self._worker = worker
        self._versions = KnownVersions(settings.layout)

    def drift(
        self,
        name: str,
        window_s: int | None = None,
        *,
        version: int | None = None,
        until: datetime | None = None,
        against: str = TRAINING,
    ) -> DriftReport:
        """A window of event time against the version's training reference, or one of choice (``parse_against``).

        ``window_s`` is by default what the model declares.

        Raises:
            NotFound: No such model, no version of it is published, or no such dataset version.
            BadInput: ``against`` is no reference.
        """
        wanted = parse_against(against)
        window_s = window_s or self._versions.window_s(name)
        if self._worker is not None and isinstance(wanted, DatasetVersion):
            order = JudgeDrift(model=name, window_s=window_s, version=version, until=until, against=against)
            return self._worker.do(order, DriftReport)
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            held = find_held(self._settings.layout, connection, known, span, wanted)
            return judged.judge_drift(connection, known, span, reference=held.reference, faults=held.faults)

    def data_quality(
        self, name: str, window_s: int | None = None, *, version: int | None = None, until: datetime | None = None
    ) -> DataQualityReport:
        """What was odd about the rows of a window of event time: missing, unseen, out of range, refused, unknown.

        ``window_s`` is by default what the model declares.

        Raises:
            NotFound: No such model, or no version of it is published.
        """
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            arrived = Horizon.now(connection).newest_minute(connection, name) if until is None else None
            ends = 0 if arrived is None else arrived // 60 + 1
            return judge_data_quality(connection, self._versions, known, span, refused_until=ends)

    def drift_detail(
        self,
        name: str,
        column: str,
        window_s: int | None = None,
        *,
        version: int | None = None,
        until: datetime | None = None,
    ) -> DriftDetail:
        """One column's histograms; ``prediction``, the other output and ``label`` are columns too.

        ``window_s`` is by default what the model declares.

        Raises:
            NotFound: No such model or column.
        """
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            reference, counts, total = _find_column(connection, known, span, column)
        before = held_counts(reference, counts)
        bins = zip(reference.bins.labels(), _shares(before), _shares(counts), strict=True)
        return DriftDetail(
            model=name,
            version=span.version,
            window=span.window,
            drift=judged.judge_column(known, reference, counts, total=total),
            bins=tuple(BinShare(label=label, reference=was, current=now) for label, was, now in bins),
        )

    def latency(self, name: str, window_s: int = DAY_S, *, until: datetime | None = None) -> LatencyReport:
        """Service figures of a span of arrival time, which ends at the newest arrival."""
        with self._database() as connection:
            first, last = self._minutes(connection, name, window_s, until)
            answered, shadows = (
                _add_by_version(
                    window_rows.scan_service_windows(
                        connection, name, first_minute=first, last_minute=last, shadow=shadow
                    )
                )
                for shadow in (False, True)
            )
        total = service.add_up(answered.values())
        return LatencyReport(
            model=name,
            window=_minute_window(first, last),
            total=service.latency_of(total),
            by_version={version: service.latency_of(counts) for version, counts in answered.items()},
            shadow_by_version={version: service.latency_of(counts) for version, counts in shadows.items()},
            errors_by_status=dict(sorted(total.errors.items())),
        )

    def traffic(self, name: str, window_s: int = DAY_S, *, until: datetime | None = None) -> TrafficSeries:
        """Requests, errors and latency by minute of arrival, or by coarser buckets over long spans."""
        bucket_s = next((size for size in BUCKETS_S if window_s <= size * MOST_POINTS), BUCKETS_S[-1])
        buckets: dict[int, list[service.ServiceCounts]] = defaultdict(list)
        with self._database() as connection:
            first, last = self._minutes(connection, name, window_s, until)
            stored = window_rows.scan_service_windows(connection, name, first_minute=first, last_minute=last)
            for key, content in stored:
                buckets[key.minute * 60 // bucket_s].append(service.parse_service(content))
        points = tuple(
            TrafficPoint(
                at=datetime.fromtimestamp(bucket * bucket_s, UTC), latency=service.latency_of(service.add_up(counts))
            )
            for bucket, counts in sorted(buckets.items())
        )
        return TrafficSeries(model=name, window=_minute_window(first, last), bucket_s=bucket_s, points=points)

    def activity(self, name: str) -> Activity:
        """The day of arrival time that ends at the newest arrival: its figures, and when its requests came."""
        with self._database() as connection:
            return read_activity(connection, self._versions, name)

    def quality(
        self, name: str, window_s: int = GLANCE_S, *, version: int | None = None, until: datetime | None = None
    ) -> QualityReport:
        """Exact metrics of the labelled predictions of a window of event time.

        Raises:
            NotFound: No such model, or no version of it is published.
        """
        with self._database() as connection:
            _, span = self._span(connection, name, version, window_s, until)
            answered = judged.quality_by_version(connection, self._versions, span)
            shadows = judged.quality_by_version(connection, self._versions, span, shadow=True)
            baseline = _baseline(connection, name, span.version)
            report = judged.judge_span_quality(connection, self._versions, span, baseline, estimated=True)
        return replace(
            report,
            by_version={version: found for version, (found, _) in answered.items()},
            shadow_by_version={version: found for version, (found, _) in shadows.items()},
        )

    def segments(
        self,
        name: str,
        column: str,
        window_s: int = GLANCE_S,
        *,
        version: int | None = None,
        until: datetime | None = None,
    ) -> SegmentReport:
        """Quality by the bins of an input or a protected column, and how far binary answers differ between them.

        Raises:
            NotFound: No such model, version or input.
        """
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            return judged.judge_by_columns(connection, known, span, (column,))[0]

    def fairness(
        self, name: str, window_s: int = GLANCE_S, *, version: int | None = None, until: datetime | None = None
    ) -> tuple[SegmentReport, ...]:
        """The same by every column that is declared protected, inputs or not; empty where none is.

        Raises:
            NotFound: No such model or version.
        """
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            there = {one.name for one in (*known.reference.columns, *known.reference.protected)}
            watched = [column for column in known.reference.watched if column in there]
            return judged.judge_by_columns(connection, known, span, watched)

    def quality_series(
        self,
        name: str,
        window_s: int = SERIES_S,
        *,
        bucket_s: int = DAY_S,
        version: int | None = None,
        until: datetime | None = None,
    ) -> QualitySeries:
        """Quality by bucket of event time; ``version=None`` takes every version as it served."""
        with self._database() as connection:
            known, span = self._span(connection, name, version, window_s, until)
            if version is None and until is None:
                span = of_all_versions(connection, span, window_s)
            points = quality_points(connection, self._versions, span, bucket_s=bucket_s, version=version)
            baseline = _baseline(connection, name, span.version)
        return QualitySeries(
            model=name, bucket_s=bucket_s, points=points, reference=known.reference.quality, baseline=baseline
        )

    def label_history(self, prediction_id: str) -> LabelHistory:
        """The label of a prediction, and what was said of it before it was corrected.

        Raises:
            NotFound: No label of it was counted.
        """
        with self._database() as connection:
            return read_label_history(connection, prediction_id)

    def studies(self, name: str) -> tuple[Study, ...]:
        """What the nightly studies of rows found last, by kind; empty before the first night with traffic."""
        with self._database() as connection:
            return tuple(study_of(row) for row in study_rows.newest_studies(connection, name))

    def skew(self, name: str) -> tuple[SkewRow, ...]:
        """How each deployment of a model was proved, the newest first."""
        with self._database() as connection:
            return tuple(list_skews(connection, name))

    def alerts(self, *, open_only: bool = False, limit: int = 100) -> list[Alert]:
        """The newest alerts of all models, open ones first."""
        with self._database() as connection:
            return [alert_of(row) for row in alert_rows.list_alerts(connection, open_only=open_only, limit=limit)]

    def alert(self, alert_id: int) -> AlertFacts:
        """One alert: the window that opened it, what its channels were told, what to do.

        Raises:
            NotFound: No such alert.
        """
        with self._database() as connection:
            return find_facts(connection, self._versions, alert_id)

    def acknowledge(self, alert_id: int, *, who: str) -> Alert:
        """Note who has seen an alert, first of all, and in the audit; it stays open while its state holds.

        Raises:
            NotFound: No such alert.
        """
        with self._database(read_only=False) as connection:
            first = alert_rows.acknowledge_alert(connection, alert_id, who)
            row = alert_rows.find_alert(connection, alert_id)
            if first and row is not None:
                append_audit(connection, AuditEntry(
                    at=datetime.now(UTC), who=who, action="alert.acknowledge", subject=str(alert_id), detail=row.message
                ))  # fmt: skip
        if row is None:
            raise NotFound(f"there is no alert {alert_id}; list them to see their numbers")
        return alert_of(row)

    def lag(self) -> Lag:
        """How far the watch loop is behind the event log."""
        behind = 0
        with self._database() as connection:
            heartbeat = window_rows.find_heartbeat(connection, HEARTBEAT)
            faults = window_rows.fault_totals(connection)
            for kind in KINDS:
                cursors = window_rows.read_cursors(connection, kind)
                for path in list_segments(self._settings.layout.events / kind):
                    with suppress(FileNotFoundError):  # it has become history
                        behind += max(0, path.stat().st_size - cursors.get(path.name, 0))
        return Lag(bytes_behind=behind, heartbeat_at=heartbeat.at if heartbeat else None, faults=faults)

    @contextmanager
    def _database(self, *, read_only: bool = True) -> Iterator[sqlite3.Connection]:
        """As it is at one moment where it is only read, so that all figures of an answer are of the same rows."""
        with closing(statedb.connect(self._settings.layout.database, read_only=read_only)) as connection:
            if read_only:
                with statedb.snapshot(connection):
                    yield connection
            else:
                yield connection

    def _span(
        self,
        connection: sqlite3.Connection,
        name: str,
        version: int | None,
        window_s: int | None,
        until: datetime | None,
    ) -> tuple[KnownVersion, Span]:
        window_s = window_s or self._versions.window_s(name)
        return find_span(connection, self._versions, name, window_s, version=version, until=until)

    def _minutes(
        self, connection: sqlite3.Connection, name: str, window_s: int, until: datetime | None
    ) -> tuple[int, int]:
        """First minute and the one after the last."""
        newest = Horizon.now(connection).newest_minute(connection, name)
        if newest is None:
            require_model(connection, name)
        if until is not None:
            last = -int(-until.timestamp() // 60)
        else:
            last = (newest if newest is not None else int(datetime.now(UTC).timestamp()) // 60) + 1
        return last - max(1, -(-window_s // 60)), last


def _find_column(
    connection: sqlite3.Connection, known: KnownVersion, span: Span, name: str
) -> tuple[ColumnReference, Ints, float]:
    """A column's reference, counts and sum in the span; an input named like the label comes first."""
    found = {
        reference.name: (reference, cells, total)
        for reference, cells, total in reversed(known.counter.split(judged.read_counts(connection, known, span)))
    }
    other = known.counter.split_other(judged.read_counts(connection, known, span))
    if other is not None:
        found.setdefault(other[0].name, other)
    if name in found:
        return found[name]
    if name != LABEL:
        raise NotFound(f"model {span.model!r} has no column {name!r}; its columns are {', '.join(found)} and {LABEL}")
    counts, total = read_figures(connection, known, span).truth
    return known.reference.label, np.array(counts, np.int64), total


def _baseline(connection: sqlite3.Connection, name: str, version: int) -> dict[str, float]:
    row = model_rows.find_version(connection, name, version)
    return {} if row is None else row.baseline


def _add_by_version(
    windows: Iterable[tuple[window_rows.ServiceKey, bytes]],
) -> dict[int, service.ServiceCounts]:
    by_version: dict[int, list[service.ServiceCounts]] = defaultdict(list)
    for key, content in windows:
        by_version[key.version].append(service.parse_service(content))
    return {version: service.add_up(by_version[version]) for version in sorted(by_version)}


def _shares(counts: Ints) -> list[float]:
    shares: list[float] = (counts / max(1, int(counts.sum()))).tolist()
    return shares


def _minute_window(first: int, last: int) -> Window:
    return Window(start=datetime.fromtimestamp(first * 60, UTC), end=datetime.fromtimestamp(last * 60, UTC))

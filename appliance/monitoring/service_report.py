"""What a question about the service answers: latency, traffic, and how far the watch loop is behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from appliance.monitoring.spans import Json, Window, utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long answers took, from log-spaced histograms: relative error at most 1 %, the maximum exact.

    Attributes:
        count: Requests answered.
        rows: Predictions in them.
        errors: Requests refused or failed.
        p50_us: Microseconds; None without requests, and so are the others.
    """

    count: int
    rows: int
    errors: int
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    max_us: float | None

    def to_json(self) -> Json:
        """The figures under the names of the fields."""
        return {
            "count": self.count,
            "rows": self.rows,
            "errors": self.errors,
            "p50_us": self.p50_us,
            "p95_us": self.p95_us,
            "p99_us": self.p99_us,
            "max_us": self.max_us,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A day of arrival time at a glance.

    Attributes:
        total: Of all that was answered.
        slots: Requests in each half hour that the day touches, oldest first; empty without any.
        newest_at: Begin of the newest minute with requests or errors; None without any.
    """

    total: Latency
    slots: tuple[int, ...]
    newest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """A model's service figures over a span of arrival time, in all and by version.

    Attributes:
        total: Of all that was answered, by the champion or a canary.
        by_version: The same by version.
        shadow_by_version: How long versions took to encode and score as shadows, which nobody waited for.
    """

    model: str
    window: Window
    total: Latency
    by_version: Mapping[int, Latency]
    shadow_by_version: Mapping[int, Latency]
    errors_by_status: Mapping[int, int]

    def to_json(self) -> Json:
        """What ``latency NAME --json`` prints."""
        return {
            "model": self.model,
            "window": self.window.to_json(),
            **self.total.to_json(),
            "errors_by_status": {str(status): count for status, count in self.errors_by_status.items()},
            "by_version": {str(version): one.to_json() for version, one in self.by_version.items()},
            "shadow_by_version": {str(version): one.to_json() for version, one in self.shadow_by_version.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPoint:
    """One bucket of arrival time, which begins ``at``."""

    at: datetime
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSeries:
    """Requests, errors and latency in time; buckets without traffic are left out.

    Attributes:
        bucket_s: 60 for short spans, coarser so that at most 500 points cover a long one.
    """

    model: str
    window: Window
    bucket_s: int
    points: tuple[TrafficPoint, ...]

    def to_json(self) -> Json:
        """One object a bucket."""
        return {
            "model": self.model,
            "window": self.window.to_json(),
            "bucket_s": self.bucket_s,
            "points": [{"at": utc_text(point.at), **point.latency.to_json()} for point in self.points],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the watch loop is behind the event log.

    Attributes:
        bytes_behind: Bytes of the log that are not counted yet.
        heartbeat_at: When the loop last finished a look; None when it never ran.
        faults: What could not be counted, by kind, since the beginning.
    """

    bytes_behind: int
    heartbeat_at: datetime | None
    faults: Mapping[str, int]

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "bytes_behind": self.bytes_behind,
            "heartbeat_at": utc_text(self.heartbeat_at) if self.heartbeat_at else None,
            "faults": dict(self.faults),
        }

"""Service windows: requests, errors and a log-spaced latency histogram of one minute of arrival; they add up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from appliance.monitoring.service_report import Latency

MINUTE_US = 60_000_000
SPACING = 1.02
"""A bucket's upper bound over its lower one; its middle is at most 1 % off any value in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCounts:
    """Counts of a span of arrival time; mutable inside, add with ``merge``.

    Attributes:
        buckets: Number of the latency bucket to requests.
        errors: HTTP status to requests refused or failed.
    """

    requests: int = 0
    rows: int = 0
    max_us: int = 0
    buckets: Counter[int] = field(default_factory=Counter)
    errors: Counter[int] = field(default_factory=Counter)

    def dump(self) -> bytes:
        """As the database keeps it."""
        return msgspec.json.encode(
            _Stored(self.requests, self.rows, self.max_us, dict(self.buckets), dict(self.errors))
        )

    def __add__(self, other: ServiceCounts) -> ServiceCounts:
        return ServiceCounts(
            requests=self.requests + other.requests,
            rows=self.rows + other.rows,
            max_us=max(self.max_us, other.max_us),
            buckets=self.buckets + other.buckets,
            errors=self.errors + other.errors,
        )


class _Stored(msgspec.Struct, frozen=True):
    requests: int
    rows: int
    max_us: int
    buckets: dict[int, int]
    errors: dict[int, int]


def parse_service(content: bytes) -> ServiceCounts:
    """What ``dump`` wrote."""
    stored = msgspec.json.decode(content, type=_Stored)
    return ServiceCounts(
        requests=stored.requests, rows=stored.rows, max_us=stored.max_us,
        buckets=_counter(stored.buckets), errors=_counter(stored.errors),
    )  # fmt: skip


def _counter(counts: dict[int, int]) -> Counter[int]:
    """Without the questions that a Counter asks about what it is made of: a day of minutes has thousands of them."""
    made: Counter[int] = Counter()
    dict.update(made, counts)
    return made


def one_request(duration_us: int, rows: int) -> ServiceCounts:
    """Counts of one answered request."""
    return ServiceCounts(requests=1, rows=rows, max_us=duration_us, buckets=Counter({bucket_of(duration_us): 1}))


def bucket_of(duration_us: int) -> int:
    """The bucket of a duration: bucket b holds ``SPACING ** (b - 1)`` < us <= ``SPACING ** b``; 0 up to 1 us."""
    return math.ceil(math.log(duration_us) / _LOG) if duration_us > 1 else 0


_LOG = math.log(SPACING)


def add_up(windows: Iterable[ServiceCounts]) -> ServiceCounts:
    """The sum of windows."""
    requests = rows = max_us = 0
    buckets: dict[int, int] = {}
    errors: dict[int, int] = {}
    for window in windows:
        requests += window.requests
        rows += window.rows
        max_us = max(max_us, window.max_us)
        for total, counts in ((buckets, window.buckets), (errors, window.errors)):
            for key, count in counts.items():
                total[key] = total.get(key, 0) + count
    return ServiceCounts(
        requests=requests, rows=rows, max_us=max_us, buckets=_counter(buckets), errors=_counter(errors)
    )


def latency_of(counts: ServiceCounts) -> Latency:
    """The figures of a span; a quantile is the value of rank ``ceil(q * requests)`` within 1 %."""
    found = quantiles(counts, (0.5, 0.95, 0.99))
    return Latency(
        count=counts.requests, rows=counts.rows, errors=sum(counts.errors.values()),
        p50_us=found[0], p95_us=found[1], p99_us=found[2], max_us=float(counts.max_us) if counts.requests else None,
    )  # fmt: skip


def quantiles(counts: ServiceCounts, shares: tuple[float, ...]) -> list[float | None]:
    """Durations in microseconds below which the shares of the requests lie, ascending shares; None without requests."""
    total = sum(counts.buckets.values())
    if total == 0:
        return [None] * len(shares)
    found: list[float | None] = []
    ordered = iter(sorted(counts.buckets.items()))
    bucket, seen = next(ordered)
    for share in shares:
        while seen < math.ceil(share * total):
            bucket, more = next(ordered)
            seen += more
        found.append(min(float(counts.max_us), SPACING ** (bucket - 0.5)) if bucket else 1.0)
    return found

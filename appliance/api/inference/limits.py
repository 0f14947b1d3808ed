"""What one serving process takes at a time, and from one key; each of several workers counts for itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.api.inference.errors import TooManyInFlight, TooManyRequests


class Limits:
    """The limits of one process; used from one thread.

    Attributes:
        max_in_flight: POST requests that may be read, scored or recorded at once.
        key_rate_per_s: Requests a second that one key may send, and as many in one burst, at least one; 0: no limit.
    """

    __slots__ = ("_buckets", "_burst", "_clock", "_in_flight", "_show", "key_rate_per_s", "max_in_flight")

    def __init__(
        self,
        *,
        max_in_flight: int,
        key_rate_per_s: float,
        clock: Callable[[], float] = time.monotonic,
        show: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.max_in_flight = max_in_flight
        self.key_rate_per_s = key_rate_per_s
        self._in_flight = 0
        self._show = show
        self._burst = max(1.0, key_rate_per_s)
        self._clock = clock
        self._buckets: dict[bytes, tuple[float, float]] = {}

    @property
    def in_flight(self) -> int:
        """POST requests that are being read, scored or recorded now."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, requests: int) -> None:
        self._in_flight = requests
        self._show(requests)

    def require_room(self) -> None:
        """Let a POST request in.

        Raises:
            TooManyInFlight: As many as may are being answered.
        """
        if self._in_flight >= self.max_in_flight:
            raise TooManyInFlight(
                f"{self._in_flight} requests are being answered, as many as may be at once (setting max_in_flight); "
                "send it again in a second"
            )

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a POST request as in flight while it is."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def take(self, key: bytes) -> None:
        """Take one request from a key's bucket, which fills by ``key_rate_per_s`` up to one second's worth.

        Args:
            key: Digest of a key that was checked, so that no stranger makes buckets.

        Raises:
            TooManyRequests: The bucket is empty; says when the next request may come.
        """
        now = self._clock()
        tokens, since = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self.key_rate_per_s)
        if tokens < 1.0:
            self._buckets[key] = tokens, now
            wait_s = (1.0 - tokens) / self.key_rate_per_s
            raise TooManyRequests(self.key_rate_per_s, retry_after_s=max(1, math.ceil(wait_s)))
        self._buckets[key] = tokens - 1.0, now

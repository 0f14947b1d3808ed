"""Keeps current, beside the counting, what pages ask first about labelled rows, so that a look only reads it.

A look that finds nothing kept works it out itself, to the same bits; this spares the first who comes the wait.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from appliance.errors import NotFound
from appliance.monitoring.activity import read_activity
from appliance.monitoring.asked import ending_at, find_span, of_all_versions
from appliance.monitoring.bucket_figures import read_buckets
from appliance.monitoring.day_counts import DAY_HOURS, read_days
from appliance.monitoring.judged import quality_by_version
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.row_figures import read_figures
from appliance.monitoring.spans import GLANCE_S, SERIES_S
from appliance.monitoring.windows import HOUR_US
from storage.window_rows import newest_hours, watched_models

RESTS = 20.0
"""After a look, it rests so many times as long as that took: a twentieth of a core at most."""
LOOK_S = 1.0
"""A look ends after the day of labels that takes it beyond this; the next one goes on."""


class Keeper:
    """What is current, between looks.

    Args:
        versions: Of the state.
        alive: Called after every model, so that a watchdog sees that it does not hang.
        clock: Seconds.
    """

    def __init__(
        self, versions: KnownVersions, *, alive: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._versions = versions
        self._alive = alive
        self._clock = clock
        self._rests_until = -RESTS
        self._waiting: list[str] | None = None

    def look(self, connection: sqlite3.Connection, *, changed: bool) -> bool:
        """Bring what is not current up to date, unless it rests; True once everything is.

        Args:
            connection: The state database.
            changed: Something was counted since the last look.
        """
        if changed or self._waiting is None:
            self._waiting = watched_models(connection)
        began = self._clock()
        if not self._waiting or began < self._rests_until:
            return not self._waiting
        while self._waiting and self._keep(connection, self._waiting[-1], began + LOOK_S):
            self._waiting.pop()
            self._alive()
        ended = self._clock()
        self._rests_until = ended + RESTS * (ended - began)
        return not self._waiting

    def _keep(self, connection: sqlite3.Connection, model: str, until: float) -> bool:
        """One model's; False when the time is over before."""
        window_s = self._versions.window_hours(model) * 3_600
        try:
            known, span = find_span(connection, self._versions, model, SERIES_S)
        except NotFound:
            return True  # its bundles cannot be read, which serving and an alert say
        series = of_all_versions(connection, span, SERIES_S)
        first_us, last_us = series.first_hour * HOUR_US, series.last_hour * HOUR_US
        for version in newest_hours(connection, model):
            one = self._versions.find(model, version)
            if one and not one.rows.pack(connection, first_us, last_us, over=lambda: self._clock() > until):
                return False
        for asked_s in (window_s, max(GLANCE_S, window_s), SERIES_S):
            part = ending_at(model, span.version, span.last_hour, asked_s)
            read_figures(connection, known, part)
            for shadow in (False, True):
                quality_by_version(connection, self._versions, part, shadow=shadow)
            read_buckets(connection, self._versions, part, hours=DAY_HOURS, version=span.version)
        read_days(connection, known, series)
        read_activity(connection, self._versions, model)
        read_buckets(connection, self._versions, series, hours=DAY_HOURS, version=None)
        return True

"""How late an event may be dated: what a clock that ran ahead wrote must not hide what happens now.

Callers may date events themselves, also a little ahead (a forecast for tomorrow). What lies further ahead counts as the
newest only where there is nothing else: rows that were replayed with such times, and nothing beside them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from appliance.clock import read_clock
from storage.data_quality_rows import newest_quality_hour
from storage.window_rows import LAST, newest_hours, newest_minute

MOST_AHEAD_H = 24
"""Event time, which callers may give."""

MOST_AHEAD_MIN = 60
"""Arrival time, which the API's own clock gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The last hour and the last minute since 1970 that are not ahead of the clock."""

    hour: int
    minute: int

    @staticmethod
    def now(connection: sqlite3.Connection) -> Horizon:
        """By the clock, or while that is not believed by the last day on which it was."""
        at = int(read_clock(connection).timestamp())
        return Horizon(hour=at // 3600 + MOST_AHEAD_H, minute=at // 60 + MOST_AHEAD_MIN)

    def newest_hours(self, connection: sqlite3.Connection, model: str) -> dict[int, int]:
        """Version to the newest event hour of its own traffic; versions without any are left out."""
        return newest_hours(connection, model) | newest_hours(connection, model, until=self.hour)

    def newest_of(self, hours: dict[int, int]) -> int | None:
        """The newest of some versions' newest hours, or None without any."""
        return max((hour for hour in hours.values() if hour <= self.hour), default=max(hours.values(), default=None))

    def newest_quality_hour(self, connection: sqlite3.Connection, model: str) -> int | None:
        """The newest hour in which rows were checked, or None."""
        found = newest_quality_hour(connection, model, until=self.hour)
        return newest_quality_hour(connection, model, until=LAST) if found is None else found

    def newest_minute(self, connection: sqlite3.Connection, model: str) -> int | None:
        """The newest minute of arrival, or None."""
        found = newest_minute(connection, model, until=self.minute)
        return newest_minute(connection, model) if found is None else found

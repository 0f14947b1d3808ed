"""Which days of a model had too few rows for a verdict on their data quality, so that no idle look asks for them.

Such a day moves no standing, or a lone refusal today would pass the days of a replay that comes tomorrow. So it stays
to be judged, for good where a model has little traffic, and is looked at again once a row of its window has come.
"""

from __future__ import annotations

BEFORE_ALL = -(10**6)
"""A day since 1970 that lies before every other."""
_DAY_HOURS = 24


class QuietDays:
    """The days of one model that were looked at and not judged; what another loop counts is not seen.

    Attributes:
        hours: How long the model's window is that ends with a day; at least 1.
        until: Of the days up to this one, since 1970, none is to be looked at.
        unread: Version whose bundle could not be read to the first of its days.
    """

    def __init__(self, hours: int) -> None:
        self.hours = hours
        self.until = BEFORE_ALL
        self.unread: dict[int, int] = {}
        self._few: set[int] = set()

    def __contains__(self, day: int) -> bool:
        """Whether the day had too few rows, and no row of its window has come since."""
        return day in self._few

    def add(self, day: int) -> None:
        """The day has too few rows."""
        self._few.add(day)

    def reopen(self, day: int) -> None:
        """Something of the day is new: look at each day again whose window has it."""
        self.until = min(self.until, day - 1)
        self._few.difference_update(range(day, day + -(-self.hours // _DAY_HOURS)))

    def forget(self, until: int) -> None:
        """The days up to that one were judged, or passed by one that was."""
        self.until = max(self.until, until)
        self._few = {day for day in self._few if day > until}
        self.unread = {version: day for version, day in self.unread.items() if day > until}

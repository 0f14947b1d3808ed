"""Spans of event time, the states of what is watched, and a figure on both sides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from appliance.errors import BadInput

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_S = 86_400
GLANCE_S = 30 * DAY_S
"""What quality at a glance is of, or the model's own window when that is longer."""
SERIES_S = 90 * DAY_S
"""What quality in time is of, unless somebody chooses."""

LONGEST_D = 99_999
"""Days of the longest span, as a model's declaration may have it; from 1970 on it reaches back to 1696."""

Json = dict[str, object]
"""A report's public JSON shape; times are ISO 8601 in UTC, shares lie in 0 … 1."""


class State(StrEnum):
    """What is known about a column, a dataset or a model's quality."""

    OK = "ok"
    WARN = "warn"
    ALARM = "alarm"
    NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of event time, ``start`` inclusive, ``end`` exclusive, both UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()

    def to_json(self) -> Json:
        """``{"from", "to"}``."""
        return {"from": utc_text(self.start), "to": utc_text(self.end)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole hours of event time since 1970, the last excluded, of one version."""

    model: str
    version: int
    first_hour: int
    last_hour: int

    @property
    def window(self) -> Window:
        """The span as times."""
        return Window(
            start=datetime.fromtimestamp(self.first_hour * 3600, UTC),
            end=datetime.fromtimestamp(self.last_hour * 3600, UTC),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same figure in the reference and now."""

    reference: float
    current: float

    def to_json(self) -> Json:
        """``{"reference", "current"}``."""
        return {"reference": self.reference, "current": self.current}


def parse_span(text: str) -> int:
    """Seconds of a span such as ``90m``, ``24h``, ``7d`` or ``30d``, up to ``LONGEST_D``.

    Raises:
        BadInput: Not a positive number followed by m, h or d, or longer.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text.strip())
    if found is None:
        raise BadInput(f"window {text!r}: accepted: a number with m, h or d, such as 24h, 7d or 30d, or FROM/TO")
    unit = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]
    seconds = int(found[1]) * int(unit.total_seconds())
    if seconds > LONGEST_D * DAY_S:
        raise BadInput(f"window {text!r}: at most {LONGEST_D}d, so that it begins within the calendar")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The span that a question is about.

    Attributes:
        seconds: Its length.
        until: Its end, exclusive; None: the newest event.
    """

    seconds: int
    until: datetime | None = None


def parse_window(text: str, until: str | None = None) -> Asked:
    """A span before the newest event or before ``until``, or ``FROM/TO``; widened to whole hours where it is asked of.

    Args:
        text: As ``parse_span`` reads it, or two times with a slash between them.
        until: A time; None: the newest event.

    Raises:
        BadInput: Neither of both, a time that is none, or an end before the beginning.
    """
    first, slash, last = text.partition("/")
    if not slash:
        return Asked(seconds=parse_span(text), until=None if until is None else parse_moment(until))
    if until is not None:
        raise BadInput(f"window {text!r} has its end already: leave out until, or give a length such as 7d")
    start, end = (parse_moment(one) for one in (first, last))
    if end <= start:
        raise BadInput(f"window {text!r} ends before it begins")
    whole = timedelta(hours=1)
    hours = -((start - EPOCH) // whole) - (EPOCH - end) // whole
    return Asked(seconds=hours * 3600, until=end)


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date or time, UTC where it names no zone.

    Raises:
        BadInput: It is none, or of no year from 1970 to 2200.
    """
    # In an address that was not encoded a plus is a space.
    zoned = re.sub(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})$", r"\1+\2", text.strip())
    try:
        moment = datetime.fromisoformat(zoned)
        if not 1970 <= moment.year <= 2200:
            raise ValueError
    except ValueError as exc:
        raise BadInput(
            f"time {text!r}: accepted: ISO 8601 such as 2026-01-31, 2026-01-31T18:00 (UTC) or 2026-01-31T18:00+01:00"
        ) from exc
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration_text(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h`` or ``2.1 d``; two or three digits are enough for people."""
    for size, unit in ((DAY_S, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            value = seconds / size
            return f"{value:.3g} {unit}" if abs(value) < 999.5 else f"{value:,.0f} {unit}"
    return f"{seconds:.3g} s"


def utc_text(moment: datetime) -> str:
    """ISO 8601 with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Cron expressions of five fields, in UTC: minute, hour, day of month, month, day of week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_LOOK_AHEAD_DAYS = 366 * 12
"""The 29th of February comes within eight years, a date on a given weekday within eleven or twelve."""


def require_cron(expression: str) -> None:
    """Check an expression.

    Raises:
        ValueError: It has not five fields, a field is out of range, or it names no day that exists.
    """
    next_after(expression, datetime(2000, 1, 1, tzinfo=UTC))


def next_after(expression: str, moment: datetime) -> datetime:
    """The first minute after ``moment`` that the expression names.

    As in cron, a day of month and a day of week that both have no ``*`` are alternatives, else both must hold; 0 and 7
    are Sunday.

    Raises:
        ValueError: As ``require_cron``.
    """
    texts = expression.split()
    if len(texts) != len(_RANGES):
        raise ValueError(f"{expression!r} has {len(texts)} fields, not five (minute hour day month weekday)")
    minutes, hours, days, months, weekdays = (
        _field(text, low, high) for text, (low, high) in zip(texts, _RANGES, strict=True)
    )
    either = "*" not in texts[2] and "*" not in texts[4]
    start = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    day = start.replace(hour=0, minute=0)
    for _ in range(_LOOK_AHEAD_DAYS):
        in_month, on_weekday = day.day in days, day.isoweekday() % 7 in {number % 7 for number in weekdays}
        if day.month in months and (in_month or on_weekday if either else in_month and on_weekday):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    found = day.replace(hour=hour, minute=minute)
                    if found >= start:
                        return found
        day += timedelta(days=1)
    raise ValueError(f"{expression!r} names no day that exists")


def _field(text: str, low: int, high: int) -> frozenset[int]:
    """The numbers of one field: ``*``, ``a``, ``a-b``, each with ``/step``, and lists of them."""
    numbers: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            begin = low if span == "*" else int(first)
            end = high if span == "*" or (slash and not dash) else int(last) if dash else begin
            every = int(step) if slash else 1
        except ValueError:
            raise ValueError(f"{text!r} is no cron field; use *, a number, a-b, */n or a list of them") from None
        if not (low <= begin <= end <= high and every >= 1):
            raise ValueError(f"{text!r} is out of range; this field takes {low} to {high}")
        numbers.update(range(begin, end + 1, every))
    return frozenset(numbers)

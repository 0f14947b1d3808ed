"""Cron expressions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.cron import next_after, require_cron

NOW = datetime(2026, 11, 21, 23, 0, 30, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", (2026, 11, 21, 23, 1)),
        ("0 * * * *", (2026, 11, 22, 0, 0)),
        ("*/15 * * * *", (2026, 11, 21, 23, 15)),
        ("5/20 * * * *", (2026, 11, 21, 23, 5)),
        ("0 3 * * 1", (2026, 11, 23, 3, 0)),
        ("0 3 * * 0", (2026, 11, 22, 3, 0)),
        ("0 3 * * 7", (2026, 11, 22, 3, 0)),
        ("30 2 1 * *", (2026, 12, 1, 2, 30)),
        ("0 0 1,15 * *", (2026, 12, 1, 0, 0)),
        ("0 9-17/4 * * 1-5", (2026, 11, 23, 9, 0)),
        ("0 0 30 * 1", (2026, 11, 23, 0, 0)),  # either of the two days
        ("0 0 */2 * 1", (2026, 11, 23, 0, 0)),  # a Monday on an odd day, since one of the two has a star
        ("0 0 1 * */3", (2027, 5, 1, 0, 0)),
        ("0 0 */31 2 1", (2027, 2, 1, 0, 0)),
        ("0 0 29 2 *", (2028, 2, 29, 0, 0)),
    ],
)
def test_the_next_minute(expression: str, expected: tuple[int, int, int, int, int]) -> None:
    assert next_after(expression, NOW) == datetime(*expected, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("daily", "1 fields"),
        ("60 * * * *", "0 to 59"),
        ("* * 0 * *", "1 to 31"),
        ("* * * * mon", "no cron field"),
        ("*/0 * * * *", "out of range"),
        ("9-3 * * * *", "out of range"),
        ("0 0 30 2 *", "no day that exists"),
    ],
)
def test_refusals(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_cron(expression)

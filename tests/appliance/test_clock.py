"""A clock that jumps ahead makes nothing look old; a host that was off for long, or whose time server says so, does."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.clock import EARLIEST, MOST_AWAY, believe
from appliance.monitoring.service import one_request
from appliance.processes.doctor_state import check_clock
from appliance.retention import Retention
from appliance.settings import Settings
from storage.statedb import connect, to_text, transaction
from storage.window_rows import Heartbeat, ServiceKey, put_heartbeat, put_service_window
from tests.training.state import new_appliance

NOW = datetime(2026, 5, 1, 3, tzinfo=UTC)
YEARS = timedelta(days=5000)
DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_appliance(tmp_path / "state", history_days=30).settings


def test_a_clock_that_runs_on_is_believed_and_so_is_one_that_is_set_back(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        for now in (NOW, NOW + DAY, NOW + 40 * DAY, NOW, NOW - 40 * DAY):
            assert believe(connection, now, kept_right=False) == now


def test_a_jump_ahead_is_believed_after_three_days_of_it(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        believe(connection, NOW, kept_right=False)
        jumped = NOW + YEARS
        for at in (jumped, jumped + DAY, jumped + 2 * DAY):
            assert believe(connection, at, kept_right=False) == NOW
        assert believe(connection, jumped + 3 * DAY, kept_right=False) == jumped + 3 * DAY
        assert believe(connection, jumped + 4 * DAY, kept_right=False) == jumped + 4 * DAY


def test_each_further_jump_begins_anew_and_a_clock_that_came_back_is_itself(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        believe(connection, NOW, kept_right=False)
        for at in (NOW + YEARS, NOW + 2 * YEARS, NOW + 3 * YEARS, NOW + YEARS):
            assert believe(connection, at, kept_right=False) == NOW
        assert believe(connection, NOW + DAY, kept_right=False) == NOW + DAY


@pytest.mark.parametrize("kept_right", [False, True])
def test_a_clock_from_before_the_release_was_made_is_never_believed(settings: Settings, *, kept_right: bool) -> None:
    """A box without a battery begins at 1970; the day that it is set right is no jump."""
    first_day = datetime(1970, 1, 1, tzinfo=UTC)
    with closing(connect(settings.layout.database)) as connection:
        assert believe(connection, first_day, kept_right=kept_right) == first_day, "there is no other yet"
        assert believe(connection, NOW, kept_right=False) == NOW
        assert believe(connection, first_day, kept_right=kept_right) == NOW
        assert believe(connection, NOW + DAY, kept_right=False) == NOW + DAY
        (check,) = check_clock(settings, connection, first_day)
    assert (check.state, f"made after {EARLIEST:%Y-%m-%d}" in check.message) == ("fail", True)
    assert "time server" in check.fix


def test_a_time_server_is_believed_at_once(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        believe(connection, NOW, kept_right=False)
        assert believe(connection, NOW + YEARS, kept_right=True) == NOW + YEARS


def test_what_the_jump_made_look_old_stays_and_doctor_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.clock.is_synchronised", lambda: False)  # the kernel's word, as on a box without NTP
    now = datetime.now(UTC)
    with closing(connect(settings.layout.database)) as connection:
        closed = to_text(now - 40 * DAY)
        with transaction(connection):
            connection.execute(
                "INSERT INTO alerts (model, subject, state, message, opened_at, closed_at, noted_at) "
                "VALUES ('m', 's', 'alarm', '', ?, ?, ?)",
                (closed, closed, closed),
            )
            minute = int((now - 40 * DAY).timestamp()) // 3_600 * 60 + 7
            key = ServiceKey(model="m", version=1, minute=minute, shadow=False)
            put_service_window(connection, key, one_request(500, 3).dump())
        # Seen from the state, now is a jump: the last day that was believed is far behind.
        put_heartbeat(connection, "clock", Heartbeat(at=now - MOST_AWAY - DAY, detail=""))
        (settings.layout.tmp / "made-before-the-jump").touch()
        before = (now - 2 * DAY).timestamp()
        os.utime(settings.layout.tmp / "made-before-the-jump", (before, before))
        assert list(Retention(settings).apply()) == []
        (check,) = check_clock(settings, connection, now)
        assert (check.state, "nothing is let go for its age" in check.fix) == ("warn", True)
        put_heartbeat(connection, "clock-ahead", Heartbeat(at=now - 3 * DAY, detail=""))
        assert [one.what for one in Retention(settings).apply()] == [
            "1 alerts", "1 minutes of m, added up to hours", "made-before-the-jump"
        ]  # fmt: skip
        (check,) = check_clock(settings, connection, now)
        assert check.state == "ok"

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from appliance.settings import Settings
from appliance.studies.nightly import HEARTBEAT
from flows.studying import Studying
from storage.statedb import connect
from storage.window_rows import find_heartbeat
from tests.flows.ticking import empty_state, tick_until


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    made = empty_state(tmp_path)
    monkeypatch.setenv("APPLIANCE_STATE", str(made.state))
    return made


def when_studied(settings: Settings) -> object:
    with closing(connect(settings.layout.database)) as connection:
        return find_heartbeat(connection, HEARTBEAT)


def test_a_day_is_studied_once(settings: Settings) -> None:
    studying = Studying(first_after_s=0)
    try:
        tick_until(studying, lambda: when_studied(settings) is not None)
        first = when_studied(settings)
        for _ in range(50):
            studying.tick()
            time.sleep(0.02)
    finally:
        studying.stop()
    assert when_studied(settings) == first


def test_a_runner_that_was_just_started_does_not_study(settings: Settings) -> None:
    studying = Studying(first_after_s=3600)
    for _ in range(50):
        studying.tick()
        time.sleep(0.02)
    studying.stop()
    assert when_studied(settings) is None


def test_studies_end_with_the_runner(settings: Settings) -> None:
    studying = Studying(first_after_s=0)
    studying.tick()
    studying.stop()
    studying.stop()
    studying.tick()
    assert when_studied(settings) is None, "they are done the next day, or by the next runner"

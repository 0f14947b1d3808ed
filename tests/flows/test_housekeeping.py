from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.history import find_predictions
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from flows.housekeeping import Housekeeping
from storage.eventlog import list_segments
from storage.window_rows import find_heartbeat
from tests.monitoring.traffic import START_US, Traffic, encoded_rows, make_settings


def test_closed_segments_become_history_by_a_nice_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path).model_copy(update={"compaction_interval_s": 0.001})
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    traffic = Traffic(settings)
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    traffic.close()
    watch = Watch(settings.layout)
    watch_once(watch)
    housekeeping = Housekeeping(settings)
    deadline = time.monotonic() + 60
    while find_heartbeat(watch.connection, "compaction") is None:
        housekeeping.tick()
        assert time.monotonic() < deadline, "no compaction came"
        time.sleep(0.02)
    housekeeping.stop()
    assert list_segments(settings.layout.events / "predictions") == []
    assert list(find_predictions(settings.layout, ["rent"], [token])) == [token]
    watch.close()


def list_own_children() -> set[str]:
    """Process ids; other tests' servers may be among them."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def test_it_is_ended_with_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state=tmp_path / "nothing here", compaction_interval_s=0.001)
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    housekeeping = Housekeeping(settings)
    time.sleep(0.01)
    before = list_own_children()
    housekeeping.tick()
    children = list_own_children() - before
    assert children
    housekeeping.stop()
    assert not any(Path(f"/proc/{child}").exists() for child in children)

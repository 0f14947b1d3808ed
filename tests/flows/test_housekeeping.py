from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from appliance.history import find_predictions
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from flows.housekeeping import Housekeeping, is_night_due, note_night
from storage.backups import list_backups
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
    deadline = time.monotonic() + 120
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


NIGHT = datetime(2030, 5, 2, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made_h_ago", "done_h_ago", "tried_h_ago", "due"),
    [
        (72, None, None, True),
        (72, 30, None, True),
        (72, 0.2, None, False),
        (72, 30, 0.2, False),
        (72, 30, 2, True),
        (0.1, None, None, False),
        (72, -48, None, True),
        (72, 30, -48, True),
    ],
    ids=[
        "never",
        "yesterday",
        "this night",
        "failed just now",
        "failed earlier",
        "a new appliance",
        "done while the clock ran ahead",
        "tried while the clock ran ahead",
    ],
)
def test_the_night_is_due_once(
    tmp_path: Path, made_h_ago: float, done_h_ago: float | None, tried_h_ago: float | None, due: bool
) -> None:
    settings = make_settings(tmp_path)
    now = NIGHT + timedelta(minutes=30)

    def put(path: Path, hours_ago: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        at = (now - timedelta(hours=hours_ago)).timestamp()
        os.utime(path, (at, at))

    put(settings.layout.secret, made_h_ago)
    put(settings.backups / "20300502T031800Z.backup", 0.2)  # an operator's own is not the night's
    if done_h_ago is not None:
        put(settings.layout.run / "night-done", done_h_ago)
    if tried_h_ago is not None:
        put(settings.layout.run / "night-tried", tried_h_ago)
    assert is_night_due(settings.layout, now) is due


def test_a_night_that_began_before_the_hour_is_not_the_one_after_it(tmp_path: Path) -> None:
    layout = make_settings(tmp_path).layout
    layout.secret.write_bytes(b"x" * 32)
    os.utime(layout.secret, (0, 0))
    assert is_night_due(layout, NIGHT - timedelta(minutes=5))
    began = (NIGHT - timedelta(minutes=5)).timestamp()
    os.utime(layout.run / "night-tried", (began, began))
    note_night(layout)
    assert not is_night_due(layout, NIGHT - timedelta(minutes=1))
    assert is_night_due(layout, NIGHT + timedelta(minutes=5))


@pytest.mark.parametrize("backup_nightly", [True, False])
def test_the_night_s_work_is_done_by_a_process_of_its_own_with_a_backup_where_one_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, backup_nightly: bool
) -> None:
    settings = make_settings(tmp_path).model_copy(update={"backup_nightly": backup_nightly})
    settings.layout.secret.write_bytes(b"x" * 32)
    scratch = settings.layout.tmp / "left"
    scratch.touch()
    for path in (settings.layout.secret, scratch):
        os.utime(path, (0, 0))
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    monkeypatch.setenv("APPLIANCE_BACKUP_NIGHTLY", str(backup_nightly).lower())
    monkeypatch.setattr("flows.housekeeping.NIGHT_LOOK_S", 0.0)
    housekeeping = Housekeeping(settings)
    deadline = time.monotonic() + 120
    while not (settings.layout.run / "night-done").exists():
        housekeeping.tick()
        assert time.monotonic() < deadline, "the night's work was not done"
        time.sleep(0.05)
    housekeeping.stop()
    assert not scratch.exists()
    assert [one.proved for one in list_backups(settings.backups)] == ([True] if backup_nightly else [])

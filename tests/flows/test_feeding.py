from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliance.datasets import Datasets
from appliance.feeds import Feeds
from appliance.intake import Intake
from appliance.settings import Settings
from flows.feeding import Feeding
from tests.flows.ticking import empty_state, tick_until


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    made = empty_state(tmp_path)
    monkeypatch.setenv("APPLIANCE_STATE", str(made.state))
    monkeypatch.setattr("flows.feeding.LOOK_S", 0.01)
    return made


def old_file(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    os.utime(folder / name, (1, 1))


def test_files_that_come_into_a_watched_folder_become_versions(settings: Settings, tmp_path: Path) -> None:
    datasets = Datasets(settings)
    old_file(tmp_path / "drop", "1.csv", "a\n1\n")
    Feeds(settings, datasets).watch("d", Intake(source=str(tmp_path / "drop")), who="ann")
    feeding = Feeding(settings)
    try:
        tick_until(feeding, lambda: len(datasets.list()) == 1)
        old_file(tmp_path / "drop", "2.csv", "a\n2\n")
        tick_until(feeding, lambda: datasets.show("d").version == 2)
    finally:
        feeding.stop()
    assert datasets.preview("d").rows() == [(1,), (2,)]


def test_without_feeds_no_process_is_started(settings: Settings) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text()
    feeding = Feeding(settings)
    for _ in range(3):
        feeding.tick()
        time.sleep(0.02)
    assert set(children.read_text().split()) <= set(before.split())
    feeding.stop()


def test_a_pass_that_fails_is_tried_again(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.feeding.RETRY_S", 0.01)
    datasets = Datasets(settings)
    old_file(tmp_path / "drop", "1.csv", "a\n1\n")
    Feeds(settings, datasets).watch("d", Intake(source=str(tmp_path / "drop")), who="ann")
    lock = settings.layout.run / "feeding.lock"
    lock.mkdir()  # no pass can take it
    feeding = Feeding(settings)
    try:
        for _ in range(60):
            feeding.tick()
            time.sleep(0.02)
        assert datasets.list() == ()
        lock.rmdir()
        tick_until(feeding, lambda: len(datasets.list()) == 1)
    finally:
        feeding.stop()

"""A watched folder's files are known by their names and by what they hold: each content is appended once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

import storage.source_files
from appliance.datasets import Datasets
from appliance.feeds import Feeds
from appliance.intake import Intake
from appliance.settings import Settings
from storage.feeds import Seen, find_seen, put_seen
from storage.source_files import SourceFile
from tests.appliance.test_feeds import NOW, drop, open_alerts, watch


def test_a_file_that_changes_after_it_was_read_is_a_trouble_until_it_is_as_it_was(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a\n1\n")
    feeds.run_due(NOW)
    drop(folder, "1.csv", "a\n1\n2\n")
    feeds.run_due(NOW)
    assert datasets.show("d").version == 1
    ((_, message),) = open_alerts(settings)
    assert "1.csv: it changed after its rows were appended, so none of it was read: give each delivery a na" in message
    assert f"'appliance data watch d {folder} --again'" in message
    drop(folder, "1.csv", "a\n1\n")
    feeds.run_due(NOW + timedelta(minutes=1))
    assert open_alerts(settings) == []
    assert datasets.show("d").version == 1


def test_a_file_that_changes_is_read_again_where_the_feed_says_so(
    feeds: Feeds, datasets: Datasets, folder: Path
) -> None:
    feeds.watch("d", Intake(source=str(folder)), again=True, who="ann")
    for day in (1, 2, 3):
        drop(folder, "export.csv", f"a\n{day}\n{day}\n")
        for _ in range(2):
            feeds.run_due(NOW)
        os.utime(folder / "export.csv", (day, day))  # touched, not changed
        feeds.run_due(NOW)
    assert datasets.preview("d")["a"].to_list() == [1, 1, 2, 2, 3, 3]
    drop(folder, "export.csv", "a\n1\n1\n")
    feeds.run_due(NOW)
    assert datasets.show("d").rows == 6, "what the first day brought is there already"


def test_a_file_that_is_renamed_or_copied_is_not_appended_again(feeds: Feeds, datasets: Datasets, folder: Path) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a\n1\n")
    drop(folder, "2.csv", "a\n1\n")
    feeds.run_due(NOW)
    assert datasets.show("d").rows == 1
    assert feeds.list()[0].status.message == (
        "1 new of 2 files were appended. Not appended a second time: 2.csv holds what 1.csv held."
    )
    (folder / "1.csv").rename(folder / "3.csv")
    feeds.run_due(NOW)
    assert datasets.show("d").rows == 1
    assert "3.csv holds what 1.csv held" in feeds.list()[0].status.message
    drop(folder, "3.csv", "a\n3\n")
    feeds.run_due(NOW)
    assert datasets.preview("d")["a"].to_list() == [1, 3]


def test_files_that_are_known_are_not_hashed_again(
    feeds: Feeds, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a\n1\n")
    feeds.run_due(NOW)
    hashed: list[str] = []
    real = storage.source_files.hash_files

    def hash_files(files: Sequence[SourceFile]) -> str:
        hashed.append(files[0].path.name)
        return real(files)

    monkeypatch.setattr("storage.source_files.hash_files", hash_files)
    feeds.run_due(NOW)
    assert hashed == []
    kept = settings.layout.datasets / "d" / "_feed_seen.json"
    put_seen(settings.layout, "d", Seen(version=9, files=find_seen(settings.layout, "d").files))
    feeds.run_due(NOW)
    assert hashed == ["1.csv"], "seen by a dataset with more versions than it has: a backup was restored"
    kept.write_text("{")
    feeds.run_due(NOW)
    assert hashed == ["1.csv"] * 2


def test_a_file_below_a_folder_that_names_a_value_is_known_as_well(
    feeds: Feeds, datasets: Datasets, folder: Path
) -> None:
    watch(feeds, folder)
    for year in (2025, 2026):
        drop(folder, f"year={year}/x.csv", "a\n1\n")
        feeds.run_due(NOW)
    assert datasets.preview("d").rows() == [(1, 2025), (1, 2026)]
    feeds.stop("d", who="ann")
    watch(feeds, folder)
    feeds.run_due(NOW)
    assert datasets.show("d").version == 2

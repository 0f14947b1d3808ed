"""A state with a database, and the datasets in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.datasets import Datasets
from appliance.feeds import Feeds
from appliance.settings import Settings
from storage.migrations import migrate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path / "state")
    made.layout.create()
    migrate(made.layout.database)
    return made


@pytest.fixture
def datasets(settings: Settings) -> Datasets:
    return Datasets(settings)


@pytest.fixture
def feeds(settings: Settings, datasets: Datasets) -> Feeds:
    return Feeds(settings, datasets)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made

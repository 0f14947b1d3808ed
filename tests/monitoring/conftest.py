from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.house import Appliance, open_appliance, prepare_state
from appliance.monitoring.delivery import Courier
from appliance.monitoring.watch import Watch
from appliance.settings import Settings
from tests.monitoring.traffic import Traffic, make_settings, publish, regression_schema, training_frame
from tests.storage.conftest import small_disk

__all__ = ["small_disk"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = make_settings(tmp_path)
    publish(made, regression_schema(), training_frame())
    return made


@pytest.fixture
def traffic(settings: Settings) -> Iterator[Traffic]:
    writing = Traffic(settings)
    yield writing
    writing.close()


@pytest.fixture
def watch(settings: Settings) -> Iterator[Watch]:
    opened = Watch(settings.layout)
    yield opened
    opened.close()


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    """An appliance whose state is prepared and empty."""
    prepared = Settings(state=tmp_path / "state")
    prepare_state(prepared)
    return open_appliance(prepared)


@pytest.fixture
def courier(house: Appliance) -> Iterator[Courier]:
    with closing(Courier(house.settings)) as opened:
        yield opened

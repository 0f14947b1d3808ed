"""One served API for the tests that change nothing about it, and a state of one's own for those that do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.schema import Task
from storage.layout import Layout
from tests.api.inference.listening import COLUMNS, Listening
from tests.model_bundles import (
    MIXED_COLUMNS,
    TrainedModel,
    deploy,
    numeric_columns,
    prepare_state,
    publish,
    train_model,
)
from tests.served_api import ServedApi, serve_api


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A served API and what LightGBM itself knows of its models."""

    api: ServedApi
    mixed: TrainedModel
    price: TrainedModel
    species: TrainedModel
    numbers: TrainedModel

    @property
    def layout(self) -> Layout:
        return self.api.layout


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    mixed = train_model("mixed", 1, task=Task.BINARY, columns=MIXED_COLUMNS)
    price = train_model("price", 3, task=Task.REGRESSION, columns=MIXED_COLUMNS)
    species = train_model("species", 2, task=Task.MULTICLASS, columns=numeric_columns(4))
    numbers = train_model("numbers", 1, task=Task.BINARY, columns=numeric_columns(28))
    models = (mixed, price, species, numbers)
    for model in models:
        publish(layout, model)
    deploy(layout, {model.schema.model: model.schema.version for model in models})
    with serve_api(layout, {"APPLIANCE_MAX_BODY_BYTES": "2000000"}) as api:
        yield Deployed(api=api, mixed=mixed, price=price, species=species, numbers=numbers)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS)


@pytest.fixture
def layout(tmp_path: Path, trained: TrainedModel) -> Layout:
    found = prepare_state(tmp_path / "state")
    publish(found, trained)
    deploy(found, {"m": 1})
    return found


@pytest.fixture
def listening(layout: Layout) -> Iterator[Listening]:
    found = Listening(layout)
    yield found
    found.close()

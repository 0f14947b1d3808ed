"""The two models of the benchmark: binary, 28 numeric features."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

from appliance.schema import Task
from storage.layout import Layout
from tests.model_bundles import Row, TrainedModel, numeric_columns, publish, sample_rows, train_model

COLUMNS = 28
ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a model is."""

    name: str
    trees: int
    leaves: int

    @property
    def shape(self) -> str:
        return f"{self.trees} x {self.leaves}"


SMALL = Size(name="small", trees=100, leaves=31)
LARGE = Size(name="large", trees=500, leaves=63)


def train_size(size: Size) -> TrainedModel:
    """Train one on random rows; the same every time."""
    return train_model(
        size.name, 1, task=Task.BINARY, columns=numeric_columns(COLUMNS), trees=size.trees, leaves=size.leaves,
        rows=ROWS,
    )  # fmt: skip


def publish_as(layout: Layout, model: TrainedModel, name: str) -> None:
    """Publish the model's bundle under a name."""
    schema = msgspec.structs.replace(model.schema, model=name)
    publish(layout, TrainedModel(booster=model.booster, schema=schema))


def text_mb(model: TrainedModel) -> float:
    """Size of the model's text, MB of 2**20 bytes."""
    return len(model.booster.model_to_string().encode()) / 2**20


def make_rows(count: int) -> list[Row]:
    """Raw rows for either model."""
    return sample_rows(numeric_columns(COLUMNS), count)


def one_row_body() -> bytes:
    """A request of one row."""
    return json.dumps({"rows": make_rows(1)}).encode()

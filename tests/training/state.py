"""A state with datasets and models, and a model's traffic written to the event log as the API writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from appliance.encoder import RowEncoder
from appliance.events import LabelEvent, PredictionEvent
from appliance.house import Appliance, open_appliance, prepare_state
from appliance.model_card import TrainingReport
from appliance.model_spec import ModelSpec
from appliance.schema import FeatureSchema
from appliance.settings import Settings
from appliance.training.job import TrainingOrder, run_training
from storage.bundles import read_bundle
from storage.datasets import IngestInfo
from storage.eventlog import EventWriter
from storage.ingest import ingest
from tests.training.rows import Remembered

START = datetime(2030, 1, 1, tzinfo=UTC)


def new_appliance(state: Path, **settings: object) -> Appliance:
    made = Settings(state=state, **settings)  # type: ignore[arg-type]
    prepare_state(made)
    return open_appliance(made)


def add(house: Appliance, name: str, frame: pl.DataFrame) -> None:
    ingest(house.settings.layout, name, frame, append=False, info=IngestInfo(who="test", source="test"))


def train_now(house: Appliance, spec: ModelSpec) -> TrainingReport:
    """Declare and train in this process, as a flow does in its own."""
    house.models.apply(spec, who="test")
    return run_training(house.settings, TrainingOrder(model=spec.name, who="test"), Remembered())


class Traffic:
    """Requests of one row each, one a minute from 2030 on, and their labels."""

    def __init__(self, house: Appliance, model: str, version: int = 1) -> None:
        self._model, self._version = model, version
        layout = house.settings.layout
        _, files = read_bundle(layout, model, version)
        self.schema = msgspec.json.decode(files["schema.json"], type=FeatureSchema)
        self._predictions = EventWriter(layout.events / "predictions")
        self._labels = EventWriter(layout.events / "labels")
        self._serial = 0
        self._arrived = 0

    def predict(self, rows: Sequence[dict[str, object]]) -> list[str]:
        """Log the rows as answered; returns the prediction ids."""
        return [self._log(row) for row in rows]

    def label(self, prediction_id: str, label: float | str) -> None:
        self._arrived += 1
        event = LabelEvent(id=prediction_id, m=self._model, l=label, t=0, at=self._arrived)
        self._labels.append(msgspec.json.encode(event))

    def close(self) -> None:
        self._predictions.close()
        self._labels.close()

    def _log(self, row: dict[str, object]) -> str:
        encoded = RowEncoder(self.schema).encode([row])
        self._serial += 1
        at = int((START + timedelta(minutes=self._serial)).timestamp() * 1e6)
        token = f"{self._model}{self._serial:032x}"
        event = PredictionEvent(
            id=token, t=at, at=at, m=self._model, v=self._version, n=1, us=100, y=[0.5],
            x=[None if value != value else value for value in encoded.matrix[0].tolist()],  # noqa: PLR0124  (NaN)
            u=list(encoded.unseen),
        )  # fmt: skip
        self._predictions.append(msgspec.json.encode(event))
        return f"{token}.0"

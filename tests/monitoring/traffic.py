"""A state directory with a published version, and writers of the events that its serving would write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from appliance.events import LabelEvent, PredictionEvent, StatsEvent
from appliance.monitoring.reference import dump_reference, fit_reference
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage.bundles import Manifest, publish_bundle
from storage.eventlog import EventWriter
from storage.migrations import migrate

START = datetime(2026, 3, 2, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def make_settings(tmp_path: Path) -> Settings:
    settings = Settings(state=tmp_path / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    return settings


def regression_schema(version: int = 1) -> FeatureSchema:
    return FeatureSchema(
        model="rent",
        version=version,
        task=Task.REGRESSION,
        target="count",
        columns=(
            Column(name="temp", kind=Kind.NUMBER),
            Column(name="season", kind=Kind.CATEGORY, levels=("fall", "spring", "summer", "winter")),
            Column(name="holiday", kind=Kind.BOOLEAN, had_nulls=True),
        ),
    )


def training_frame(rows: int = 2000, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "temp": rng.normal(20.0, 5.0, rows),
            "season": rng.choice(["fall", "spring", "summer", "winter"], rows),
            "holiday": rng.random(rows) < 0.1,
        }
    )


def publish(settings: Settings, schema: FeatureSchema, frame: pl.DataFrame, *, seed: int = 2) -> None:
    """Publish a version whose prediction is twice the temperature, with an error of 1 on the holdout."""
    rng = np.random.default_rng(seed)
    outputs = frame["temp"].to_numpy() * 2
    reference = fit_reference(
        frame,
        schema,
        outputs=outputs,
        labels=pl.Series("count", outputs + rng.normal(0, 1, len(outputs))),
        quality={"rmse": 1.0, "mae": 0.8, "r2": 0.99},
        importance={"temp": 0.9, "season": 0.1},
    )
    manifest = Manifest(
        model=schema.model, version=schema.version, task=schema.task, created_at="2026-03-01T00:00:00Z", run_id="r",
        dataset="d", dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)


def token_at(at_us: int, serial: int) -> str:
    """As ``appliance.prediction_ids`` issues them: a UUIDv7 in hex, then more."""
    return f"{at_us // 1000:012x}7{serial:019x}-1-tag"


@dataclass(slots=True)
class Traffic:
    """Writes events of one model; each call is one request."""

    settings: Settings
    model: str = "rent"
    version: int = 1
    serial: int = 0
    writers: dict[str, EventWriter] = field(default_factory=dict)

    def write(self, kind: str, record: bytes) -> None:
        if kind not in self.writers:
            self.writers[kind] = EventWriter(self.settings.layout.events / kind)
        self.writers[kind].append(record)

    def predict(
        self,
        rows: npt.NDArray[np.float64],
        *,
        event_us: int,
        arrival_us: int | None = None,
        us: int = 500,
        outputs: list[float] | None = None,
        variant: str = "champion",
    ) -> str:
        """Append one prediction event and give its token."""
        self.serial += 1
        at = event_us if arrival_us is None else arrival_us
        event = PredictionEvent(
            id=token_at(at, self.serial), t=event_us, at=at, m=self.model, v=self.version, r=variant, n=len(rows),
            x=[None if np.isnan(value) else float(value) for value in rows.ravel()],
            y=outputs if outputs is not None else (rows[:, 0] * 2).tolist(), us=us,
        )  # fmt: skip
        self.write("predictions", msgspec.json.encode(event))
        return event.id

    def label(self, prediction_id: str, label: float | str, *, label_us: int = 0, at_us: int = 0) -> None:
        event = LabelEvent(id=prediction_id, m=self.model, l=label, t=label_us, at=at_us)
        self.write("labels", msgspec.json.encode(event))

    def refuse(self, *, at_us: int, status: int, count: int) -> None:
        self.serial += 1
        event = StatsEvent(id=f"w-{self.serial}", at=at_us, errors=[(self.model, self.version, status, count)])
        self.write("stats", msgspec.json.encode(event))

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()


def encoded_rows(rng: np.random.Generator, rows: int, *, shift: float = 0.0) -> npt.NDArray[np.float64]:
    """Rows as the serving process encodes them, from the training distribution, ``temp`` shifted."""
    return np.column_stack(
        [
            rng.normal(20.0 + shift, 5.0, rows),
            rng.integers(0, 4, rows).astype(np.float64),
            (rng.random(rows) < 0.1).astype(np.float64),
        ]
    )

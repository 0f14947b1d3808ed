"""Bundles for tests: small LightGBM models trained here and published as training publishes its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.encoder import RowEncoder
from appliance.schema import Column, FeatureSchema, Kind, Task
from storage.bundles import Manifest, publish_bundle, replace_durably
from storage.key_rows import KeyRow, put_key
from storage.layout import Layout
from storage.migrations import migrate
from storage.statedb import connect

MIXED_COLUMNS = (
    Column(name="Air temperature [K]", kind=Kind.NUMBER),
    Column(name='quote " and \\ back', kind=Kind.NUMBER, had_nulls=True),
    Column(name="machine", kind=Kind.CATEGORY, levels=("L", "M", "H", "ünï")),
    Column(name="zone", kind=Kind.CATEGORY, levels=("1", "2", "10"), integer=True, had_nulls=True),
    Column(name="running", kind=Kind.BOOLEAN),
    Column(name="built_at", kind=Kind.DATETIME, had_nulls=True),
)
"""One column of every kind, with names that LightGBM itself refuses."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model as LightGBM itself knows it, beside its schema."""

    booster: lightgbm.Booster
    schema: FeatureSchema

    def expect(self, rows: Sequence[Mapping[str, object]]) -> list[list[float]]:
        """What LightGBM's own ``Booster.predict`` says of raw rows."""
        return self.expect_matrix(RowEncoder(self.schema).encode(rows).matrix)

    def expect_matrix(self, matrix: NDArray[np.float64]) -> list[list[float]]:
        """The same of an encoded matrix."""
        found = np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)
        return found.reshape(len(matrix), -1).tolist()

    def raw(self, rows: Sequence[Mapping[str, object]]) -> list[float]:
        """The raw scores of raw rows, flat."""
        matrix = RowEncoder(self.schema).encode(rows).matrix
        found = np.asarray(self.booster.predict(matrix, num_threads=1, raw_score=True), dtype=np.float64)
        return found.ravel().tolist()


def numeric_columns(count: int) -> tuple[Column, ...]:
    """Columns ``c00`` and so on, all numbers."""
    return tuple(Column(name=f"c{position:02d}", kind=Kind.NUMBER) for position in range(count))


def train_model(
    name: str,
    version: int,
    *,
    task: Task,
    columns: tuple[Column, ...],
    trees: int = 20,
    leaves: int = 31,
    rows: int = 400,
) -> TrainedModel:
    """Train on random rows of those columns; each version on rows of its own."""
    schema = FeatureSchema(
        model=name, version=version, task=task, target="y", columns=columns,
        classes={Task.REGRESSION: (), Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c")}[task],
    )  # fmt: skip
    random = np.random.default_rng(version)
    matrix = np.column_stack([_draw(column, random, rows) for column in columns])
    filled = np.nan_to_num(matrix, nan=0.0)
    score = (filled - filled.mean(0)) @ (1 / (filled.std(0) + 1e-9)) + random.normal(size=len(matrix))
    label = {Task.REGRESSION: score, Task.BINARY: score > 0, Task.MULTICLASS: np.digitize(score, [-1, 1])}[task]
    booster = lightgbm.train(
        {
            "objective": task.value, "num_leaves": leaves, "verbose": -1, "num_threads": 1, "seed": version,
            "min_data_in_leaf": 5,
            **({"num_class": 3} if task is Task.MULTICLASS else {}),
        },
        lightgbm.Dataset(
            matrix, np.asarray(label, dtype=np.float64), feature_name=[f"f{at}" for at in range(len(columns))],
            categorical_feature=[at for at, column in enumerate(columns) if column.kind is Kind.CATEGORY],
        ),
        trees,
    )  # fmt: skip
    return TrainedModel(booster=booster, schema=schema)


def sample_rows(columns: Sequence[Column], count: int, *, seed: int = 0) -> list[Row]:
    """Raw rows as a caller sends them; every column of kind number, category and so on gets a value of its kind."""
    random = np.random.default_rng(seed)
    return [{column.name: _raw(column, random) for column in columns} for _ in range(count)]


def bundle_files(model: TrainedModel) -> dict[str, bytes]:
    """The files of the model's bundle, with golden rows: some ordinary, one all null, one with unseen categories."""
    columns = model.schema.columns
    rows = sample_rows(columns, 4, seed=7)
    rows.append({column.name: None for column in columns})
    rows.append({**rows[0], **{column.name: "never" for column in columns if column.kind is Kind.CATEGORY}})
    return {
        "model.txt": model.booster.model_to_string().encode(),
        "schema.json": msgspec.json.encode(model.schema),
        "reference.json": b"{}",
        "golden.json": msgspec.json.encode({"rows": rows, "outputs": model.expect(rows)}),
        "card.json": b"{}",
    }


def publish(layout: Layout, model: TrainedModel, files: Mapping[str, bytes] | None = None) -> Path:
    """Publish the model's bundle."""
    manifest = Manifest(
        model=model.schema.model, version=model.schema.version, task=model.schema.task.value,
        created_at=datetime.now(UTC).isoformat(), run_id="run", dataset="d", dataset_version=1, code_version="test",
        files={},
    )  # fmt: skip
    return publish_bundle(layout, manifest, files or bundle_files(model))


def deploy(layout: Layout, versions: Mapping[str, int], *, revision: int = 1) -> None:
    """Make those versions the champions."""
    content = {"revision": revision, "models": {name: {"champion": version} for name, version in versions.items()}}
    replace_durably(layout.deployments, msgspec.json.encode(content))


def prepare_state(root: Path) -> Layout:
    """An empty, current state."""
    layout = Layout(root=root)
    layout.create()
    migrate(layout.database)
    layout.secret.write_bytes(secrets.token_bytes(32))
    return layout


def add_key(layout: Layout, name: str, scope: str) -> str:
    """A new API key; its text."""
    key = f"apk_{secrets.token_urlsafe(32)}"
    row = KeyRow(name=name, scope=scope, hint=key[:8], created_at=datetime.now(UTC), created_by="test")
    connection = connect(layout.database)
    try:
        put_key(connection, row, key_hash=sha256(key.encode()).digest())
    finally:
        connection.close()
    return key


def _draw(column: Column, random: np.random.Generator, rows: int) -> NDArray[np.float64]:
    if column.kind is Kind.NUMBER:
        values = random.normal(size=rows)
    elif column.kind is Kind.DATETIME:
        values = random.integers(1_500_000_000, 1_700_000_000, rows).astype(np.float64)
    else:
        values = random.integers(0, len(column.levels) or 2, rows).astype(np.float64)
    if column.had_nulls:
        values[random.random(rows) < 0.1] = np.nan
    return values


def _raw(column: Column, random: np.random.Generator) -> object:
    if column.kind is Kind.NUMBER:
        return float(random.normal())
    if column.kind is Kind.BOOLEAN:
        return bool(random.random() < 0.5)
    if column.kind is Kind.DATETIME:
        return datetime.fromtimestamp(int(random.integers(1_500_000_000, 1_700_000_000)), UTC).isoformat()
    level = column.levels[int(random.integers(0, len(column.levels)))]
    return int(level) if column.integer else level

"""A watched model of two versions with four days of answers, and everything that is said of its labels."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from appliance.monitoring.keeping import Keeper
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import dump_reference, fit_reference
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage import statedb
from storage.bundles import Manifest, publish_bundle
from tests.monitoring.traffic import HOUR_US, START_US, Traffic, make_settings

MODEL = "rent"
DAYS = 4
DAY_S = 86_400
ROWS_A_REQUEST = 3


def make_watched(folder: Path, task: Task) -> tuple[Settings, list[str]]:
    """The state, and the ids of its predictions: one request every two hours, each third by version 2; no labels yet.

    The last request is of 23 o'clock, so that spans of whole days begin and end with a day, and others do not.
    """
    settings = make_settings(folder)
    rng = np.random.default_rng(5)
    for version in (1, 2):
        _publish(settings, task, version)
    traffic, ids = Traffic(settings, model=MODEL), []
    for hour in range(1, DAYS * 24, 2):
        traffic.version = 2 if hour % 3 == 0 else 1
        rows = np.column_stack([rng.normal(20.0, 5.0, ROWS_A_REQUEST), rng.integers(0, 2, ROWS_A_REQUEST)])
        outputs = rng.random(ROWS_A_REQUEST) if task is Task.BINARY else rows[:, 0] * 2
        token = traffic.predict(rows, event_us=START_US + hour * HOUR_US, outputs=outputs.round(2).tolist())
        ids += [f"{token}.{row}" for row in range(ROWS_A_REQUEST)]
    traffic.close()
    count(settings)
    return settings, ids


def _publish(settings: Settings, task: Task, version: int) -> None:
    classes = ("no", "yes") if task is Task.BINARY else ()
    schema = FeatureSchema(
        model=MODEL, version=version, task=task, target="label", classes=classes,
        columns=(Column(name="temp", kind=Kind.NUMBER), Column(name="kind", kind=Kind.CATEGORY, levels=("a", "b"))),
    )  # fmt: skip
    rng = np.random.default_rng(version)
    frame = pl.DataFrame({"temp": rng.normal(20.0, 5.0, 2000), "kind": rng.choice(["a", "b"], 2000)})
    if task is Task.BINARY:
        outputs, labels = rng.random(2000), pl.Series("label", rng.choice(["no", "yes"], 2000))
        quality = {"auc": 0.5, "log_loss": 0.7}
    else:
        outputs = frame["temp"].to_numpy() * 2
        labels, quality = pl.Series("label", outputs + rng.normal(0, 1, 2000)), {"rmse": 1.0}
    reference = fit_reference(frame, schema, outputs=outputs, labels=labels, quality=quality)
    manifest = Manifest(
        model=MODEL, version=version, task=task, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)


def count(settings: Settings) -> None:
    """Count what was logged."""
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)


def tell(settings: Settings, labels: dict[str, float | str], *, at_us: int) -> None:
    """Send labels, and count them."""
    traffic = Traffic(settings, model=MODEL)
    for id_, label in labels.items():
        traffic.label(id_, label, label_us=at_us, at_us=at_us)
    traffic.close()
    count(settings)


def keep_current(settings: Settings) -> None:
    """What the watch loop does beside the counting, until all is current."""
    keeper = Keeper(KnownVersions(settings.layout), clock=lambda: 0.0)
    with closing(statedb.connect(settings.layout.database)) as connection:
        assert keeper.look(connection, changed=False)


def say_all(settings: Settings) -> str:
    """Everything that is said of the labels, as text that shows every bit of every figure."""
    monitoring = Monitoring(settings)
    said = [
        *(monitoring.quality(MODEL, window_s).to_json() for window_s in (30 * DAY_S, DAYS * DAY_S, 37 * 3600)),
        monitoring.quality(MODEL, 30 * DAY_S, version=2).to_json(),
        *(monitoring.quality_series(MODEL, bucket_s=size).to_json() for size in (3600, 7 * 3600, DAY_S, 7 * DAY_S)),
        monitoring.quality_series(MODEL, 40 * 3600, version=2).to_json(),
        monitoring.segments(MODEL, "kind").to_json(),
        monitoring.segments(MODEL, "temp", 50 * 3600, version=2).to_json(),
        monitoring.drift(MODEL, 3 * DAY_S).to_json(),
    ]
    return json.dumps(said, sort_keys=True)


def say_all_anew(settings: Settings) -> str:
    """The same with nothing kept; what was kept is put back."""
    figures, aside = settings.layout.figures, settings.layout.root / "figures-aside"
    there = figures.exists()
    if there:
        figures.rename(aside)
    try:
        return say_all(settings)
    finally:
        if there:
            shutil.rmtree(figures)
            aside.rename(figures)


def kept_files(settings: Settings) -> list[Path]:
    """What is kept, sorted."""
    return sorted(path for path in settings.layout.figures.rglob("*") if path.is_file())

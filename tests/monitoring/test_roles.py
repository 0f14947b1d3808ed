"""Champion, canary and shadow are told apart: each version by its own answers, times, classes and labels."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.compaction import compact
from appliance.events import SHADOW_SUFFIX, PredictionEvent
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.outcomes import label_text
from appliance.monitoring.reference import dump_reference, fit_reference
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage.bundles import Manifest, publish_bundle
from storage.outcome_rows import scan_outcomes
from storage.window_rows import fault_totals, newest_hours, newest_minute
from tests.monitoring.traffic import (
    HOUR_US,
    START_US,
    Traffic,
    encoded_rows,
    publish,
    regression_schema,
    training_frame,
)

MINUTE_US = 60_000_000
CHAMPION, CANARY, SHADOW = 1, 2, 3


@pytest.fixture
def three(settings: Settings, traffic: Traffic) -> Traffic:
    """Versions 2 and 3 beside the first."""
    for version in (CANARY, SHADOW):
        publish(settings, regression_schema(version=version), training_frame(seed=version))
    return traffic


def write_shadow(
    traffic: Traffic, token: str, outputs: list[float], *, columns: int = 3, at_us: int = START_US
) -> None:
    """What the shadow writes for an answer that has left; it took 90 ms."""
    rows: list[float | None] = [1.0 for _ in range(len(outputs) * columns)]
    event = PredictionEvent(
        id=token + SHADOW_SUFFIX, t=START_US, at=at_us, m=traffic.model, v=SHADOW, r="shadow", n=len(outputs),
        x=rows, y=outputs, us=90_000,
    )  # fmt: skip
    traffic.write("predictions", msgspec.json.encode(event))


def answer(traffic: Traffic, version: int, outputs: list[float], *, us: int = 500) -> str:
    traffic.version = version
    rows = encoded_rows(np.random.default_rng(version), len(outputs))
    variant = {CHAMPION: "champion", CANARY: "canary"}[version]
    return traffic.predict(rows, event_us=START_US, us=us, outputs=outputs, variant=variant)


def test_times_are_told_apart_by_version_and_a_shadows_are_in_no_total(
    watch: Watch, three: Traffic, settings: Settings
) -> None:
    for _ in range(5):
        write_shadow(three, answer(three, CHAMPION, [1.0], us=500), [2.0])
    write_shadow(three, answer(three, CANARY, [1.0, 2.0], us=2_000), [2.0, 3.0])
    watch_once(watch)
    monitoring = Monitoring(settings)
    report = msgspec.json.decode(json.dumps(monitoring.latency("rent").to_json()))
    assert (report["count"], report["max_us"]) == (6, 2000.0)
    assert {version: one["count"] for version, one in report["by_version"].items()} == {"1": 5, "2": 1}
    assert report["by_version"]["2"]["rows"] == 2
    assert {version: one["count"] for version, one in report["shadow_by_version"].items()} == {"3": 6}
    assert report["shadow_by_version"]["3"]["max_us"] == 90_000.0
    (point,) = monitoring.traffic("rent").points
    assert (point.latency.count, point.latency.max_us) == (6, 2000.0)


def test_a_shadow_alone_makes_no_traffic(watch: Watch, three: Traffic, settings: Settings) -> None:
    answer(three, CHAMPION, [1.0])
    write_shadow(three, "f" * 32, [1.0], at_us=START_US + 60 * MINUTE_US)
    watch_once(watch)
    assert newest_minute(watch.connection, "rent") == START_US // MINUTE_US
    assert newest_hours(watch.connection, "rent") == {CHAMPION: START_US // HOUR_US}
    assert Monitoring(settings).drift("rent").version == CHAMPION


@pytest.mark.parametrize("compacted", [False, True])
def test_labels_are_held_against_what_each_version_said_itself(
    watch: Watch, three: Traffic, settings: Settings, *, compacted: bool
) -> None:
    """The truth is 10; the champion misses by 2, the canary by 3, the shadow by 1 on what the champion answered."""
    tokens = [answer(three, CHAMPION, [12.0, 12.0]) for _ in range(30)]
    for token in tokens[:25]:
        write_shadow(three, token, [11.0, 11.0])  # five were dropped under load
    canaries = [answer(three, CANARY, [13.0]) for _ in range(10)]
    three.close()
    watch_once(watch)
    if compacted:
        assert compact(settings).segments == 1
    for token in tokens:
        for row in (0, 1):
            three.label(f"{token}.{row}", 10.0, label_us=START_US + HOUR_US)
    for token in canaries:
        three.label(f"{token}.0", 10.0, label_us=START_US + HOUR_US)
    assert watch_once(watch).labels == 70
    report = Monitoring(settings).quality("rent", version=CHAMPION)
    assert (report.labelled, report.predicted, report.metrics["mae"]) == (60, 60, 2.0)
    shown = msgspec.json.decode(json.dumps(report.to_json()))
    assert {version: one["metrics"]["mae"] for version, one in shown["by_version"].items()} == {"1": 2.0, "2": 3.0}
    assert (shown["by_version"]["2"]["labelled"], shown["by_version"]["2"]["predicted"]) == (10, 10)
    shadow = shown["shadow_by_version"]["3"]
    assert (shadow["metrics"]["mae"], shadow["labelled"], shadow["predicted"], shadow["mature"]) == (1.0, 50, 50, True)
    drift = Monitoring(settings).drift("rent", version=CHAMPION)
    assert (drift.rows.current, drift.prediction.rows.current) == (60, 60)


def test_a_label_that_came_before_the_shadow_had_scored_is_joined_all_the_same(
    watch: Watch, three: Traffic, settings: Settings
) -> None:
    token, other = answer(three, CHAMPION, [12.0, 13.0, 14.0]), answer(three, CHAMPION, [1.0])
    for row in (0, 2):
        three.label(f"{token}.{row}", 10.0, label_us=START_US)
    watch_once(watch)
    write_shadow(three, token, [11.0, 0.0, 11.0])
    write_shadow(three, other, [2.0])
    watch_once(watch)
    report = Monitoring(settings).quality("rent", version=CHAMPION)
    assert report.by_version[CHAMPION].metrics["mae"] == (2.0 + 4.0) / 2
    shadow = report.shadow_by_version[SHADOW]
    assert (shadow.metrics["mae"], shadow.labelled, shadow.predicted) == (1.0, 2, 4)


def test_a_corrected_label_corrects_the_shadows_too(watch: Watch, three: Traffic, settings: Settings) -> None:
    token = answer(three, CHAMPION, [12.0])
    write_shadow(three, token, [11.0])
    for at, label in ((1, 10.0), (2, 20.0)):
        three.label(f"{token}.0", label, label_us=START_US, at_us=at)
        watch_once(watch)
    report = Monitoring(settings).quality("rent", version=CHAMPION)
    assert report.by_version[CHAMPION].metrics["mae"] == 20.0 - 12.0
    assert report.shadow_by_version[SHADOW].metrics["mae"] == 20.0 - 11.0


def publish_classes(settings: Settings, version: int, classes: tuple[str, ...]) -> None:
    task = Task.MULTICLASS if len(classes) > 2 else Task.BINARY
    schema = FeatureSchema(
        model="kind", version=version, task=task, target="t", columns=(Column(name="temp", kind=Kind.NUMBER),),
        classes=classes, threshold=0.5,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet(np.ones(len(classes)), 300) if schema.outputs > 1 else rng.random(300)
    labels = pl.Series("t", [classes[code] for code in rng.integers(0, len(classes), 300)])
    frame = pl.DataFrame({"temp": rng.normal(size=300)})
    reference = fit_reference(frame, schema, outputs=outputs, labels=labels, quality={}, importance={})
    manifest = Manifest(
        model="kind", version=version, task=task, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)


def test_a_label_is_judged_by_the_classes_of_the_version_that_predicted(
    watch: Watch, settings: Settings, traffic: Traffic
) -> None:
    """The canary knows a class that the champion does not, and the shadow writes true as 1."""
    publish_classes(settings, CHAMPION, ("false", "true"))
    publish_classes(settings, CANARY, ("false", "true", "maybe"))
    publish_classes(settings, SHADOW, ("0", "1"))
    traffic.model = "kind"
    champion = traffic.predict(np.ones((1, 1)), event_us=START_US, outputs=[0.9])
    write_shadow(traffic, champion, [0.8], columns=1)
    traffic.version = CANARY
    canary = traffic.predict(np.ones((1, 1)), event_us=START_US, outputs=[0.1, 0.1, 0.8], variant="canary")
    traffic.label(f"{canary}.0", "maybe")
    traffic.label(f"{champion}.0", "true")
    assert watch_once(watch).labels == 2
    found = {one.version: one.label for one in scan_outcomes(watch.connection, "kind", first_us=0, last_us=2**60)}
    assert found == {CHAMPION: "true", CANARY: "maybe"}
    (shadow,) = scan_outcomes(watch.connection, "kind", first_us=0, last_us=2**60, shadow=True)
    assert (shadow.id, shadow.label) == (f"{champion}{SHADOW_SUFFIX}.0", "1")
    traffic.label(f"{champion}.0", "maybe")  # a class that the version which answered never had
    assert watch_once(watch).labels == 0
    assert fault_totals(watch.connection) == {"label_invalid": 1}


@pytest.mark.parametrize(
    ("label", "classes", "kept"),
    [
        ("true", ("False", "True"), "True"), ("1", ("false", "true"), "true"), (1.0, ("0", "1"), "1"),
        ("1", ("true", "1"), "1"), ("2", ("false", "true"), None), ("yes", ("no", "yes"), "yes"),
    ],
)  # fmt: skip
def test_a_class_is_found_as_the_version_writes_it(
    label: float | str, classes: tuple[str, str], kept: str | None
) -> None:
    schema = FeatureSchema(model="m", version=1, task=Task.BINARY, target="t", columns=(), classes=classes)
    assert label_text(label, schema) == kept

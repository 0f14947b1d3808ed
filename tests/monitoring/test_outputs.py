"""Both halves of an answer are watched: the score and the class it leads to, the class and how sure the model is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.errors import NotFound
from appliance.monitoring.alert_story import tell_alert
from appliance.monitoring.bins import Floats
from appliance.monitoring.drift import column_drift
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import Reference, dump_reference, fit_reference, watched_outputs
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage.bundles import Manifest, publish_bundle
from tests.monitoring.traffic import DAY_US, START_US, Traffic, make_settings

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}


def schema_of(task: Task, threshold: float = 0.5) -> FeatureSchema:
    return FeatureSchema(
        model="m", version=1, task=task, target="y", classes=CLASSES[task], threshold=threshold,
        columns=(Column(name="x", kind=Kind.NUMBER),),
    )  # fmt: skip


def reference_of(schema: FeatureSchema, outputs: Floats) -> Reference:
    rng = np.random.default_rng(0)
    rows = len(outputs)
    labels = pl.Series(rng.choice(schema.classes, rows) if schema.classes else rng.normal(size=rows))
    frame = pl.DataFrame({"x": rng.normal(size=rows)})
    return fit_reference(frame, schema, outputs=outputs, labels=labels, quality={})


def judged(reference: Reference, schema: FeatureSchema, outputs: Floats) -> list[ColumnDrift]:
    columns = [one for one in (reference.prediction, reference.other_output) if one is not None]
    return [
        column_drift(column, np.bincount(column.bins.index(values), minlength=column.bins.size))
        for column, values in zip(columns, watched_outputs(outputs, schema), strict=True)
    ]


def sure(rng: np.random.Generator, rows: int, share: float) -> Floats:
    """The likeliest of three classes, drawn alike, near this share."""
    outputs = np.full((rows, 3), (1 - share) / 2)
    outputs[np.arange(rows), rng.integers(0, 3, rows)] = share
    drawn: Floats = outputs + rng.normal(0, 0.001, (rows, 3))
    return drawn


def test_a_model_that_is_no_longer_sure_has_drifted() -> None:
    rng = np.random.default_rng(1)
    schema = schema_of(Task.MULTICLASS)
    reference = reference_of(schema, sure(rng, 5_000, 0.98))
    given, confidence = judged(reference, schema, sure(rng, 5_000, 0.34))
    assert (given.state, confidence.name, confidence.state) == (State.OK, "confidence", State.ALARM)
    assert [one.state for one in judged(reference, schema, sure(rng, 5_000, 0.98))] == [State.OK, State.OK]


def test_more_positive_answers_are_drift_where_the_scores_hardly_moved() -> None:
    rng = np.random.default_rng(2)
    schema = schema_of(Task.BINARY, threshold=0.995)
    reference = reference_of(schema, rng.random(4_000) * 0.99)
    scores = rng.random(2_000) * 0.99
    score, given = judged(reference, schema, np.where(scores > 0.9, 0.995, scores))
    assert (score.state, given.name, given.state) == (State.OK, "predicted_class", State.ALARM)
    assert given.rows.current == 2_000


def test_numbers_have_one_output() -> None:
    rng = np.random.default_rng(3)
    schema = schema_of(Task.REGRESSION)
    reference = reference_of(schema, rng.normal(size=500))
    assert reference.other_output is None
    assert [one.name for one in judged(reference, schema, rng.normal(size=500))] == ["prediction"]


def test_outputs_that_did_not_move_raise_no_alarm() -> None:
    rng = np.random.default_rng(14)
    many = schema_of(Task.MULTICLASS), rng.dirichlet((4, 2, 1), 20_000)
    two = schema_of(Task.BINARY, threshold=0.3), rng.beta(1, 4, (20_000, 1))
    done = alarms = 0
    for schema, outputs in (many, two):
        reference = reference_of(schema, outputs[:10_000])
        for _ in range(750):
            for found in judged(reference, schema, outputs[10_000:][rng.integers(0, 10_000, 100)]):
                done, alarms = done + 1, alarms + (found.state is not State.OK)
    assert done == 3_000
    assert alarms <= 6, "a thousandth by chance, with room for the luck of so many draws"


def publish(settings: Settings, schema: FeatureSchema, reference: bytes) -> None:
    manifest = Manifest(
        model="m", version=1, task=schema.task, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    publish_bundle(settings.layout, manifest, {"schema.json": msgspec.json.encode(schema), "reference.json": reference})


def replay(settings: Settings, shares: list[float]) -> None:
    """A day of 200 rows for each share."""
    rng = np.random.default_rng(5)
    with closing(Traffic(settings, model="m")) as traffic:
        for day, share in enumerate(shares):
            outputs = sure(rng, 200, share).ravel().tolist()
            traffic.predict(rng.normal(size=(200, 1)), event_us=START_US + day * DAY_US, outputs=outputs)
    with closing(Watch(settings.layout)) as watch:
        assert watch_once(watch).faults == 0


def test_it_opens_the_alert_of_the_predictions_and_is_in_every_answer(tmp_path: Path) -> None:
    settings, schema = make_settings(tmp_path), schema_of(Task.MULTICLASS)
    reference = reference_of(schema, sure(np.random.default_rng(6), 5_000, 0.98))
    publish(settings, schema, dump_reference(reference))
    replay(settings, [0.98, 0.98, 0.5, 0.5, 0.5])
    monitoring = Monitoring(settings)
    (alert,) = monitoring.alerts()
    assert (alert.subject, alert.state) == ("prediction", State.ALARM)
    assert alert.message.startswith("`confidence` moved")
    assert [picture.drift.name for picture in tell_alert(monitoring, alert.id).pictures] == ["confidence"]
    report = monitoring.drift("m")
    assert [column.name for column in report.everything] == ["x", "prediction", "confidence"]
    assert report.other_output is not None
    assert report.to_json()["other_output"] == report.other_output.to_json()
    assert monitoring.drift_detail("m", "confidence").drift == report.other_output
    calm = monitoring.drift("m", against="previous").other_output
    assert calm is not None
    assert (calm.state, calm.rows.reference) == (State.OK, 200)


def test_a_version_from_before_is_read_and_says_what_it_lacks(tmp_path: Path) -> None:
    settings, schema = make_settings(tmp_path), schema_of(Task.MULTICLASS)
    reference = reference_of(schema, sure(np.random.default_rng(6), 5_000, 0.98))
    older = msgspec.json.decode(dump_reference(reference))
    del older["other_output"]
    publish(settings, schema, msgspec.json.encode(older))
    replay(settings, [0.98, 0.5, 0.5, 0.5])
    monitoring = Monitoring(settings)
    report = monitoring.drift("m")
    assert (report.prediction.state, report.prediction.rows.current) == (State.OK, 200)
    assert report.other_output is not None
    assert report.other_output.state is State.NOT_ENOUGH_DATA
    assert "`confidence` is not in this version's reference" in report.other_output.sentence
    assert monitoring.alerts() == []
    with pytest.raises(NotFound, match="its columns are"):
        monitoring.drift_detail("m", "confidence")

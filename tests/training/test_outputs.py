"""Calibration, thresholds, weights and constraints: what a model answers, and that serving answers the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable, BundleRefused
from appliance.features import calibrate, calibrate_classes
from appliance.model_spec import Threshold
from appliance.schema import Kind, Task
from appliance.serving.loaded_model import LoadedModel, load_model
from appliance.training.calibration import choose_threshold, find_calibration, find_class_calibrations, isotonic
from appliance.training.evaluate import calibration_error, evaluate
from appliance.training.fit import Scorer
from appliance.training.train import TrainedModel
from storage.bundles import Manifest, publish_bundle
from storage.layout import Layout
from tests.training.rows import adults, fit, made_up, spec
from tests.training.test_features import hourly, many_shops


def serve(model: TrainedModel, state: Path, **changes: object) -> LoadedModel:
    """The version as the serving process loads it."""
    layout = Layout(root=state)
    layout.create()
    schema = msgspec.structs.replace(model.schema, version=1, **changes)
    files = {
        "model.txt": model.fitted.text.encode(), "schema.json": msgspec.json.encode(schema),
        "golden.json": msgspec.json.encode(model.golden), "reference.json": b"{}", "card.json": b"{}",
    }  # fmt: skip
    manifest = Manifest(
        model="model", version=1, task=schema.task.value, created_at="2030-01-01T00:00:00Z", run_id="run",
        dataset="data", dataset_version=1, code_version="test", files={},
    )  # fmt: skip
    publish_bundle(layout, manifest, files)
    return load_model(layout, "model", 1)


def overconfident(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that say far too much: the truth is a fair coin pulled a little to their side."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.3, 0.7, rows)
    truth = (rng.random(rows) < share).astype(np.float64)
    return 1.0 / (1.0 + np.exp(-(share - 0.5) * 40)), truth


def test_scores_that_say_too_much_are_calibrated_and_new_rows_are_told_the_truth() -> None:
    found, sentence = find_calibration(*overconfident(4000, 1), in_time=False)
    assert found is not None
    assert "it lowers the log loss on 2000 further rows" in sentence
    scores, truth = overconfident(4000, 2)
    answers = np.array(calibrate(scores.tolist(), found))
    assert calibration_error(truth, answers) < 0.05
    assert calibration_error(truth, scores) > 0.15


def test_scores_that_are_right_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    share = rng.random(600)
    found, sentence = find_calibration(share, (rng.random(600) < share).astype(np.float64), in_time=True)
    assert found is None
    assert "no gain" in sentence


@pytest.mark.parametrize("rows", [0, 30])
def test_too_few_rows_are_not_calibrated(rows: int) -> None:
    found, sentence = find_calibration(*overconfident(rows, 1), in_time=False)
    assert found is None
    assert "too few" in sentence


def test_a_calibration_never_falls_and_never_is_quite_sure() -> None:
    found = isotonic(*overconfident(500, 4))
    answers = calibrate(np.linspace(-0.1, 1.1, 400).tolist(), found)
    assert all(later >= earlier for earlier, later in pairwise(answers))
    assert min(answers) > 0.0
    assert max(answers) < 1.0


SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
TRUTH = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("wanted", "threshold", "words"),
    [
        (Threshold(goal="f1"), 0.4, "precision 0.750 and recall 1.000"),  # four given, three of them right
        (Threshold(goal="recall", precision=1.0), 0.85, "the most recall at precision 1: precision 1.000"),
        (Threshold(goal="cost", false_positive=5, false_negative=1), 0.85, "the least cost"),  # 0 + 2 misses
        (Threshold(goal="cost", false_positive=1, false_negative=5), 0.4, "the least cost"),  # 1 alarm + 0
        (Threshold(goal="fixed", at=0.3), 0.3, "as declared"),
    ],
)
def test_a_threshold_serves_its_goal(wanted: Threshold, threshold: float, words: str) -> None:
    found, sentence = choose_threshold(SCORES, TRUTH, wanted)
    assert found == pytest.approx(threshold)
    assert words in sentence


def test_a_precision_that_is_nowhere_reached_says_so() -> None:
    _, sentence = choose_threshold(SCORES, 1.0 - TRUTH, Threshold(goal="recall", precision=0.9))
    assert "0.9 is nowhere reached" in sentence


@pytest.mark.parametrize(("highest", "threshold"), [(0.99, 1.0), (1.0, np.nextafter(1.0, 2.0))])
def test_where_no_alarm_is_worth_its_cost_none_is_given(highest: float, threshold: float) -> None:
    rng = np.random.default_rng(1)
    scores = np.append(rng.random(499) * 0.98, highest)
    truth = np.append((rng.random(499) < 0.2).astype(np.float64), 0.0)
    wanted = Threshold(goal="cost", false_positive=50, false_negative=1)
    found, sentence = choose_threshold(scores, truth, wanted)
    assert found == threshold
    assert not (scores >= found).any()
    assert "no alarm is worth its cost (50 a false alarm, 1 a miss) on 500 rows" in sentence
    dear = Threshold(goal="cost", false_positive=1, false_negative=5)
    assert choose_threshold(scores, truth, dear)[0] < 0.5


def test_a_model_that_gives_no_alarm_trains_is_judged_and_serves(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    noise = pl.DataFrame({"x": rng.normal(size=800), "y": (rng.random(800) < 0.3).astype(np.int64)})
    model = fit(spec("y", threshold=Threshold(goal="cost", false_positive=99, false_negative=1), rounds=20), noise)
    assert model.schema.threshold == 1.0
    assert model.evaluation is not None
    assert sum(row[1] for row in model.evaluation.confusion) == 0
    assert (model.judgement.metrics["recall"], model.judgement.metrics["f1"]) == (0.0, 0.0)
    assert serve(model, tmp_path).schema.threshold == 1.0


def test_without_rows_the_threshold_stays() -> None:
    assert choose_threshold(np.empty(0), np.empty(0), Threshold(goal="f1"))[0] == 0.5


def test_a_threshold_of_a_regression_is_refused() -> None:
    with pytest.raises(BadTable, match="a threshold is for two classes"):
        fit(spec("y", threshold=Threshold(goal="f1")), made_up())


def test_unbalanced_adults_are_calibrated_and_served_with_their_threshold(tmp_path: Path) -> None:
    frame = adults()
    model = fit(spec("income", split="split", is_unbalance=True, threshold=Threshold(goal="f1")), frame)
    schema, held = model.schema, frame[model.split.holdout].head(300)
    assert schema.calibration is not None
    assert schema.threshold != 0.5
    raw = fit(spec("income", split="split", is_unbalance=True, calibrate=False), frame)
    assert raw.judgement.metrics["log_loss"] > 1.1 * model.judgement.metrics["log_loss"]
    assert raw.judgement.metrics["f1"] < model.judgement.metrics["f1"]
    loaded = serve(model, tmp_path)
    names = [column.name for column in schema.columns]
    matrix = loaded.encoder.encode(held.select(names).to_dicts()).matrix
    answers, sums = loaded.score(matrix)
    assert answers == model.outputs[:300, 0].tolist()
    assert [loaded.score_one(row.tolist()) for row in matrix] == [
        ([answer], [total]) for answer, total in zip(answers, sums, strict=True)
    ]
    assert np.allclose(calibrate((1 / (1 + np.exp(-np.array(sums)))).tolist(), schema.calibration), answers)


@pytest.mark.parametrize("case", ["calendar", "target"])
def test_features_are_served_bit_for_bit_and_explained_by_their_column(tmp_path: Path, case: str) -> None:
    frame = hourly() if case == "calendar" else many_shops()
    wanted = spec("sold", time="at", columns={"at": Kind.DATETIME}) if case == "calendar" else spec("y")
    model = fit(wanted, frame)
    loaded = serve(model, tmp_path)
    held = frame[model.split.holdout].head(200)
    rows = held.with_columns(pl.col(pl.Datetime).dt.to_string("iso")).to_dicts()
    names = [column.name for column in model.schema.columns]
    matrix = loaded.encoder.encode([{name: row[name] for name in names} for row in rows]).matrix
    assert matrix.shape == (200, len(names))
    answers, sums = loaded.score(matrix)
    assert answers == model.outputs[:200, 0].tolist()
    assert [loaded.score_one(row.tolist())[0][0] for row in matrix] == answers
    shares = loaded.contributions(matrix)
    assert shares.shape == (200, 1, len(names) + 1)
    np.testing.assert_allclose(shares.sum(axis=2)[:, 0], sums, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"format": 4}, "reads up to 3; upgrade"), ({"features": ()}, "columns")],
)
def test_a_schema_that_this_release_cannot_serve_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    model = fit(spec("sold", time="at", columns={"at": Kind.DATETIME}), hourly())
    with pytest.raises(BundleRefused, match=message):
        serve(model, tmp_path, **changes)


def test_a_calibration_that_was_changed_is_refused_by_the_golden_rows(tmp_path: Path) -> None:
    model = fit(spec("income", split="split", is_unbalance=True), adults().gather_every(3))
    found = model.schema.calibration
    assert found is not None
    bent = msgspec.structs.replace(found, y=tuple(value * 0.99 for value in found.y))
    with pytest.raises(BundleRefused, match="golden row"):
        serve(model, tmp_path, calibration=bent)


def overconfident_classes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes; the scores say far more than the truth holds."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([2.0, 2.0, 2.0], rows)
    truth = (rng.random(rows)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1).astype(np.float64)
    sharp = shares**6
    return sharp / sharp.sum(axis=1, keepdims=True), truth


def test_each_class_is_calibrated_where_that_lowers_the_log_loss() -> None:
    scores, truth = overconfident_classes(3000, 1)
    found, sentence = find_class_calibrations(scores, truth, in_time=False)
    assert len(found) == 3
    assert "each class is calibrated" in sentence
    new, labels = overconfident_classes(3000, 2)
    answers = np.array(calibrate_classes(new.ravel().tolist(), found)).reshape(new.shape)
    assert np.allclose(answers.sum(axis=1), 1.0, atol=1e-12)
    assert answers.min() > 0.0
    after, before = (evaluate(Task.MULTICLASS, labels, one)["log_loss"] for one in (answers, new))
    assert after < before - 0.1
    honest = np.random.default_rng(3).dirichlet([2.0, 2.0, 2.0], 900)
    drawn = (np.random.default_rng(4).random(900)[:, None] > np.cumsum(honest, axis=1)).sum(axis=1).astype(np.float64)
    assert find_class_calibrations(honest, drawn, in_time=True)[0] == ()
    few, why = find_class_calibrations(scores[:100], truth[:100], in_time=False)
    assert (few, "too few" in why) == ((), True)


def test_calibrated_classes_are_served_with_the_same_bits(tmp_path: Path) -> None:
    frame = adults().gather_every(2).filter(pl.col("education").is_in(["HS-grad", "Some-college", "Bachelors"]))
    weights = {"Bachelors": 8.0, "HS-grad": 1.0, "Some-college": 1.0}
    weighted = spec("education", exclude=("split", "education_num"), class_weights=weights)
    model = fit(weighted, frame)
    assert len(model.schema.class_calibrations) == 3, model.decisions
    assert model.schema.format == 3
    assert any("each class is calibrated" in sentence for sentence in model.decisions)
    raw = fit(msgspec.structs.replace(weighted, calibrate=False), frame)
    assert raw.schema.class_calibrations == ()
    assert model.judgement.metrics["log_loss"] < raw.judgement.metrics["log_loss"]
    served = serve(model, tmp_path / "served")
    many, _ = served.score(served.encoder.encode(model.golden.rows).matrix)
    assert many == [value for row in model.golden.outputs for value in row]
    one, _ = served.score_one(served.encoder.encode(model.golden.rows[:1]).matrix[0].tolist())
    assert one == model.golden.outputs[0]
    with pytest.raises(BundleRefused, match="1 calibrations for 3 classes"):
        serve(model, tmp_path / "short", class_calibrations=model.schema.class_calibrations[:1])
    first, *others = model.schema.class_calibrations
    bent = msgspec.structs.replace(first, y=tuple(value * 0.9 for value in first.y))
    with pytest.raises(BundleRefused, match="golden row"):
        serve(model, tmp_path / "bent", class_calibrations=(bent, *others))


def test_a_monotone_output_never_falls_when_its_column_rises() -> None:
    frame = made_up(800).with_columns((pl.col("y") + 3 * pl.col("noise").sin()).alias("y"))
    model = fit(spec("y", monotone={"noise": 1}), frame)
    grid = pl.DataFrame({"f0": [0.0] * 50, "f1": np.linspace(-3, 3, 50), "f2": [0.0] * 50, "f3": [1.0] * 50})
    answers = Scorer(model.fitted.text, model.schema, threads=1).predict(grid)[:, 0]
    assert (np.diff(answers) >= 0).all()
    assert model.params["monotone_constraints"] == "0,1,0,0"
    free = fit(spec("y"), frame)
    assert (np.diff(Scorer(free.fitted.text, free.schema, threads=1).predict(grid)[:, 0]) < 0).any()


def test_rows_of_weight_zero_teach_nothing_and_the_weight_is_no_input() -> None:
    frame = made_up(800).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(0.0).otherwise(1.0).alias("trust"),
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(100.0).otherwise("y").alias("y"),
    )
    model = fit(spec("y", weight="trust"), frame)
    assert "trust" not in {column.name for column in model.schema.columns}
    assert model.outputs.max() < 20.0


def test_class_weights_move_the_answers_to_their_class() -> None:
    plain = fit(spec("on", calibrate=False), made_up(800))
    heavy = fit(spec("on", calibrate=False, class_weights={"false": 1.0, "true": 5.0}), made_up(800))
    assert heavy.outputs.mean() > plain.outputs.mean() + 0.2
    short = fit(spec("on", calibrate=False, class_weights={"true": 5.0}), made_up(800))
    assert short.fitted.text == heavy.fitted.text, "a class that is not named weighs 1"
    assert "rows weigh by their class, as declared; those of false weigh 1" in short.decisions

"""Estimates before labels: equal to NannyML's, near the truth while only the inputs change, added up like counts."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.isotonic import IsotonicRegression

from appliance.events import PredictionEvent
from appliance.monitoring.bins import Floats
from appliance.monitoring.estimates import (
    Estimation,
    Estimator,
    expected_calibration_error,
    fit_estimation,
    fit_isotonic,
)
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import Reference, dump_reference, fit_reference, parse_reference
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from appliance.training.evaluate import evaluate
from storage.bundles import Manifest, publish_bundle
from tests.monitoring.traffic import DAY_US, HOUR_US, START_US, Traffic, make_settings, token_at

DATA = Path(__file__).parents[1] / "data"
CARDS = ("prepaid_card", "highstreet_card", "upmarket_card")

# NannyML 0.13.1, CBPE with its defaults on the rows of tests/data, chunks of 5,000 and 6,000 rows; y_pred = p >= 0.5.
LOAN_AUC = (
    0.97074363630015, 0.9710106327368981, 0.9714067155511361, 0.9710913930740382, 0.971123121124055,
    0.9610902734539033, 0.9618247016040209, 0.9610734463362078, 0.9625334611153133, 0.9613161529631752,
)  # fmt: skip
LOAN_F1 = (
    0.9483678242223172, 0.9463746179898221, 0.9486915278724923, 0.9474877797768825, 0.9486729335764756,
    0.9228665636732802, 0.9230254541582522, 0.9224292492677032, 0.9236984646711653, 0.9244054966831855,
)  # fmt: skip
LOAN_ACCURACY = (
    0.9462126559931192, 0.9472342220392398, 0.9495011715484943, 0.948220842694376, 0.9482469656589454,
    0.9190425164213452, 0.9196244448624437, 0.9192256670583488, 0.9216434328288997, 0.9190061702213523,
)  # fmt: skip
CARD_F1 = (
    0.7540929187455285, 0.7573075500574529, 0.7589631840246499, 0.7574197057871533, 0.7544046118524138,
    0.6322063600572084, 0.6328520683785782, 0.631925485622885, 0.6330050530656887, 0.6347823596356726,
)  # fmt: skip
CARD_ACCURACY = (
    0.7541915192778033, 0.7573011808349359, 0.759007764307316, 0.7575554750420673, 0.7544108278779601,
    0.6368982134411763, 0.6378191303338311, 0.6379372566668213, 0.637648999860641, 0.6405102642966877,
)  # fmt: skip


def schema_of(task: Task, classes: tuple[str, ...], *, version: int = 1) -> FeatureSchema:
    columns = (Column(name="x", kind=Kind.NUMBER),)
    return FeatureSchema(model="m", version=version, task=task, target="y", columns=columns, classes=classes)


BINARY = schema_of(Task.BINARY, ("0", "1"))
CARD = schema_of(Task.MULTICLASS, CARDS)


def loans(*, reference: bool) -> tuple[Floats, Floats]:
    rows = pl.read_parquet(DATA / "car_loan_scores.parquet").filter(pl.col("reference") == reference)
    return rows["percent"].to_numpy()[:, None] / 100, rows["repaid"].to_numpy().astype(np.float64)


def cards(*, reference: bool) -> tuple[Floats, Floats]:
    rows = pl.read_parquet(DATA / "card_type_scores.parquet").filter(pl.col("reference") == reference)
    truth = rows["y_true"].replace_strict({name: float(i) for i, name in enumerate(CARDS)}).to_numpy()
    return rows.select(CARDS).to_numpy() / 100, truth


def test_the_calibrator_is_scikit_learns() -> None:
    score, truth = loans(reference=True)
    ours = fit_isotonic(score[:, 0], truth)
    theirs = IsotonicRegression(out_of_bounds="clip", increasing=True).fit(score[:, 0], truth)
    points = np.linspace(-0.5, 1.5, 997)
    np.testing.assert_allclose(ours.apply(points), theirs.predict(points), atol=1e-12)
    rng = np.random.default_rng(4)
    noisy = rng.normal(size=3000)
    positive = (rng.random(3000) < 1 / (1 + np.exp(-noisy))).astype(np.float64)
    theirs.fit(noisy, positive)
    np.testing.assert_allclose(fit_isotonic(noisy, positive).apply(points), theirs.predict(points), atol=1e-12)


def test_binary_estimates_are_nannymls() -> None:
    estimation = fit_estimation(BINARY, *loans(reference=True))
    assert estimation is not None
    assert estimation.calibration[0] is not None
    estimator = Estimator(BINARY, estimation)
    scores, _ = loans(reference=False)
    sums = estimator.count(scores, np.arange(50_000) // 5_000, 10)
    found = [estimator.estimate(chunk) for chunk in sums]
    np.testing.assert_allclose([one["auc"] for one in found], LOAN_AUC, atol=1e-8)
    np.testing.assert_allclose([one["f1"] for one in found], LOAN_F1, atol=1e-12)
    np.testing.assert_allclose([one["accuracy"] for one in found], LOAN_ACCURACY, atol=1e-12)


def test_multiclass_estimates_are_nannymls_with_its_choice_of_calibrators() -> None:
    ours = fit_estimation(CARD, *cards(reference=True))
    assert ours is not None
    # Its own folds find that the first class is calibrated well enough; ours that it gains by 0.0001.
    theirs = msgspec.structs.replace(ours, calibration=(None, *ours.calibration[1:]))
    scores, truth = cards(reference=False)
    group = np.arange(60_000) // 6_000
    found = [Estimator(CARD, theirs).estimate(chunk) for chunk in Estimator(CARD, theirs).count(scores, group, 10)]
    np.testing.assert_allclose([one["macro_f1"] for one in found], CARD_F1, atol=1e-12)
    np.testing.assert_allclose([one["accuracy"] for one in found], CARD_ACCURACY, atol=1e-12)
    mine = [Estimator(CARD, ours).estimate(chunk) for chunk in Estimator(CARD, ours).count(scores, group, 10)]
    np.testing.assert_allclose([one["accuracy"] for one in mine], CARD_ACCURACY, atol=0.002)
    measured = evaluate(Task.MULTICLASS, truth[:6_000], scores[:6_000])
    for name, value in mine[0].items():
        assert value == pytest.approx(measured[name], abs=0.01), name


def test_estimates_follow_the_truth_when_the_inputs_drift() -> None:
    estimation = fit_estimation(BINARY, *loans(reference=True))
    assert estimation is not None
    estimator = Estimator(BINARY, estimation)
    scores, truth = loans(reference=False)
    for half in (slice(0, 25_000), slice(25_000, 50_000)):
        sums = estimator.count(scores[half], np.zeros(25_000, np.int64), 1)[0]
        measured = evaluate(Task.BINARY, truth[half], scores[half])
        estimated = estimator.estimate(sums)
        assert set(estimated) == set(measured) - {"ece"}
        for name in ("auc", "accuracy", "f1", "average_precision", "brier"):
            assert estimated[name] == pytest.approx(measured[name], abs=0.01), name
        for name in ("precision", "recall"):  # errors of one kind make up for the other's in the metrics above
            assert estimated[name] == pytest.approx(measured[name], abs=0.03), name


def test_sums_add_up_and_a_fine_score_loses_little() -> None:
    rng = np.random.default_rng(2)
    score = rng.beta(1.2, 2.0, 20_000)
    truth = (rng.random(20_000) < score).astype(np.float64)
    estimation = fit_estimation(BINARY, score[:10_000, None], truth[:10_000])
    assert estimation is not None
    estimator = Estimator(BINARY, estimation)
    parts = estimator.count(score[10_000:, None], np.arange(10_000) % 7, 7)
    whole = estimator.count(score[10_000:, None], np.zeros(10_000, np.int64), 1)[0]
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=1e-12)
    assert estimator.rows(whole) == 10_000
    (calibrator,) = estimation.calibration
    share = score[10_000:] if calibrator is None else calibrator.apply(score[10_000:])
    order = np.argsort(score[10_000:], kind="stable")
    p = share[order]
    below = np.cumsum(1 - p) - (1 - p) / 2
    exact = (p * below).sum() / (p.sum() * (1 - p).sum())
    assert estimator.estimate(whole)["auc"] == pytest.approx(exact, abs=0.001)


def test_a_threshold_decides_as_serving_does() -> None:
    schema = msgspec.structs.replace(BINARY, threshold=0.3)
    scores, truth = loans(reference=True)
    estimation = fit_estimation(schema, scores, truth)
    assert estimation is not None
    estimator = Estimator(schema, estimation)
    at = np.array([[0.3]])
    below = np.array([[np.nextafter(0.3, 0)]])
    for rows, f1 in ((at, 1), (below, 0)):
        sums = estimator.count(rows, np.zeros(1, np.int64), 1)[0]
        assert (estimator.estimate(sums)["f1"] > 0) is bool(f1)


@pytest.mark.parametrize(
    ("outputs", "truth"),
    [
        (np.full((99, 1), 0.5), np.arange(99) % 2.0),
        (np.full((500, 1), 0.5), np.ones(500)),
        (np.full((500, 1), 0.5), np.full(500, np.nan)),
        (np.full((500, 1), 0.5), np.arange(400) % 2.0),
    ],
    ids=["few rows", "one class", "no labels", "other rows"],
)
def test_what_cannot_be_calibrated_has_no_estimate(outputs: Floats, truth: Floats) -> None:
    assert fit_estimation(BINARY, outputs, truth) is None


def test_odd_scores_do_not_break_an_estimate() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.5).astype(np.float64)
    constant = fit_estimation(BINARY, np.full((400, 1), 0.5), truth)
    assert constant is not None
    estimator = Estimator(BINARY, constant)
    found = estimator.estimate(estimator.count(np.array([[0.0], [0.5], [1.0]]), np.zeros(3, np.int64), 1)[0])
    assert all(np.isfinite(value) for value in found.values())
    assert estimator.estimate(np.zeros(estimator.width)) == {}
    assert estimator.estimate(np.zeros(3)) == {}
    sure = Estimator(CARD, Estimation(calibration=(None, None, None)))
    sums = sure.count(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), np.zeros(2, np.int64), 1)[0]
    assert sure.estimate(sums)["accuracy"] == pytest.approx((1 / 3 + 1) / 2)


def test_calibration_error_of_known_bins() -> None:
    probability = np.repeat([0.1, 0.9], 50)
    positive = np.concatenate([np.zeros(50), np.ones(50)])
    assert expected_calibration_error(probability, positive) == pytest.approx(0.1)
    assert expected_calibration_error(positive, positive) == 0.0


def publish_loans(settings: Settings, *, estimation: bool = True) -> Reference:
    scores, truth = loans(reference=True)
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=2_000)})
    reference = fit_reference(
        frame, BINARY, outputs=scores, labels=pl.Series("y", truth.astype(int).astype(str)), quality={"auc": 0.97}
    )
    if not estimation:
        reference = msgspec.structs.replace(reference, estimation=None)
    manifest = Manifest(
        model="m", version=1, task=Task.BINARY, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(BINARY), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)
    return reference


def replay_loans(
    settings: Settings, *, days: int, labelled: int, rows: int = 1_000, unlabelled: Collection[int] = ()
) -> None:  # fmt: skip
    """One request a day; the first ``labelled`` days get their labels, but for some."""
    scores, truth = loans(reference=False)
    traffic = Traffic(settings, model="m")
    for day in range(days):
        part = slice(day * rows, day * rows + rows)
        at = START_US + day * DAY_US + HOUR_US
        event = PredictionEvent(
            id=token_at(at, day), t=at, at=at, m="m", v=1, n=rows, x=[0.0] * rows, y=scores[part, 0].tolist(), us=9
        )
        traffic.write("predictions", msgspec.json.encode(event))
        if day < labelled and day not in unlabelled:
            for i, label in enumerate(truth[part].astype(int).tolist()):
                traffic.label(f"{event.id}.{i}", str(label), label_us=at, at_us=at)
    traffic.close()


def test_quality_shows_the_estimate_and_its_past_error(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    reference = publish_loans(settings)
    assert parse_reference(dump_reference(reference)) == reference
    replay_loans(settings, days=6, labelled=4)
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()
    report = Monitoring(settings).quality("m")
    assert report.labelled == 4_000
    estimate = report.estimate
    assert estimate is not None
    assert (estimate.rows, estimate.days) == (6_000, 4)
    assert estimate.metrics["auc"] == pytest.approx(report.metrics["auc"], abs=0.01)
    assert 0 < estimate.past_error["auc"] < 0.01
    assert report.to_json()["estimate"] == estimate.to_json()
    series = Monitoring(settings).quality_series("m")
    assert [point.labelled for point in series.points] == [1_000] * 4 + [0] * 2
    assert [point.predicted for point in series.points] == [1_000] * 6
    for point in series.points:
        assert point.estimate["auc"] == pytest.approx(0.97, abs=0.01)
    assert series.points[-1].at == datetime.fromtimestamp(START_US / 1e6 + 5 * 86_400, UTC)
    assert series.points[-1].metrics == {}


@pytest.mark.parametrize(
    ("unlabelled", "together"),
    [((), [(0, 3), (3, 6)]), ((1,), [(2, 5), (5, 8)]), ((2, 5), []), ((4,), [(0, 3), (5, 8)])],
)
def test_days_of_few_labels_are_judged_together(
    tmp_path: Path, unlabelled: tuple[int, ...], together: list[tuple[int, int]]
) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings)
    replay_loans(settings, days=10, labelled=8, rows=24, unlabelled=unlabelled)
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)
    monitoring, off = Monitoring(settings), []
    for first, last in together:
        until = datetime.fromtimestamp(START_US / 1e6 + last * 86_400, UTC)
        part = monitoring.quality("m", (last - first) * 86_400, until=until)
        assert part.labelled == (last - first) * 24
        assert part.estimate is not None
        off.append(abs(part.estimate.metrics["brier"] - part.metrics["brier"]))
    estimate = monitoring.quality("m").estimate
    assert estimate is not None
    assert estimate.days == sum(last - first for first, last in together)
    assert estimate.past_error.get("brier") == (pytest.approx(np.mean(off)) if off else None)


def test_labels_later_than_the_window_tell_the_past_error_all_the_same(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings)
    replay_loans(settings, days=90, labelled=40, rows=100)
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)
    monitoring, day = Monitoring(settings), 86_400
    recent, whole = (monitoring.quality("m", days * day).estimate for days in (10, 90))
    assert recent is not None and whole is not None
    assert (recent.rows, recent.days, whole.days) == (1_000, 31, 31), "the newest 31 of 40"
    assert recent.past_error == whole.past_error != {}
    until = datetime.fromtimestamp(START_US / 1e6 + 5 * day, UTC)
    early = monitoring.quality("m", day, until=until).estimate
    assert early is not None
    assert early.days == 5, "of no later day than the window's"


def test_an_older_version_has_no_estimate_and_its_hours_stay(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings, estimation=False)
    replay_loans(settings, days=1, labelled=0)
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()
    assert Monitoring(settings).quality("m").estimate is None
    assert Monitoring(settings).quality_series("m").points == ()
    assert Monitoring(settings).drift("m").rows.current == 1_000


def test_hours_from_before_there_were_estimates_are_left_out(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings)
    replay_loans(settings, days=2, labelled=0)
    watch = Watch(settings.layout)
    watch_once(watch)
    known = KnownVersions(settings.layout).find("m", 1)
    assert known is not None
    hour = START_US // HOUR_US + 1
    none = known.counter.empty()
    old = msgspec.json.encode({"rows": 7, "cells": [0] * none.cells.size, "sums": [0.0] * none.sums.size})
    watch.connection.execute("UPDATE feature_windows SET counts = ? WHERE hour = ?", (old, hour))
    watch.close()
    estimate = Monitoring(settings).quality("m").estimate
    assert estimate is not None
    assert estimate.rows == 1_000
    replay_loans(settings, days=1, labelled=0)  # more of that hour: the sum is of the rows that have one
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()
    again = Monitoring(settings).quality("m").estimate
    assert again is not None
    assert again.rows == 2_000


REGRESSION = schema_of(Task.REGRESSION, ())


def fanned(rng: np.random.Generator, rows: int, *, low: float, high: float) -> tuple[Floats, Floats]:
    """Predictions between two values, and truths whose error grows with them, as counts' do."""
    value = rng.uniform(low, high, rows)
    return value[:, None], value + rng.normal(0, 1, rows) * value / 10


def test_a_regressions_error_is_estimated_from_where_its_predictions_lie() -> None:
    rng = np.random.default_rng(6)
    estimation = fit_estimation(REGRESSION, *fanned(rng, 4_000, low=0, high=100))
    assert estimation is not None
    estimator = Estimator(REGRESSION, estimation)
    for low, high in ((0, 100), (0, 20), (70, 100)):
        outputs, truth = fanned(rng, 20_000, low=low, high=high)
        sums = estimator.count(outputs, np.zeros(20_000, np.int64), 1)[0]
        measured = evaluate(Task.REGRESSION, truth, outputs)
        estimated = estimator.estimate(sums)
        assert estimator.rows(sums) == 20_000
        assert estimated["mae"] == pytest.approx(measured["mae"], rel=0.06)
        assert estimated["rmse"] == pytest.approx(measured["rmse"], rel=0.06)


def test_a_small_or_odd_holdout_of_a_regression() -> None:
    assert fit_estimation(REGRESSION, np.ones((99, 1)), np.ones(99)) is None
    assert fit_estimation(REGRESSION, np.ones((200, 1)), np.full(200, np.nan)) is None
    constant = fit_estimation(REGRESSION, np.ones((200, 1)), np.full(200, 3.0))
    assert constant is not None
    estimator = Estimator(REGRESSION, constant)
    sums = estimator.count(np.array([[-5.0], [1.0], [9.0]]), np.zeros(3, np.int64), 1)[0]
    assert estimator.estimate(sums) == {"rmse": 2.0, "mae": 2.0}
    assert estimator.estimate(np.zeros(estimator.width)) == {}

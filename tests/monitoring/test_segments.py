"""Intervals hold what they promise, groups are told apart as by fairlearn, small groups are judged by nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from appliance.errors import NotFound
from appliance.events import PredictionEvent
from appliance.monitoring.bins import Floats
from appliance.monitoring.intervals import delong_error, find_intervals, wilson
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.quality import Labelled
from appliance.monitoring.reference import dump_reference, fit_reference
from appliance.monitoring.segments import judge_fairness, judge_segments
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from appliance.training.evaluate import evaluate
from storage import statedb
from storage.bundles import Manifest, publish_bundle
from tests.monitoring.test_estimates import BINARY, CARD, cards, loans
from tests.monitoring.traffic import START_US, Traffic, make_settings, token_at

ADULT = Path(__file__).parents[1] / "data" / "adult.parquet"


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (40, 1000), (999, 1000)])
def test_wilson_is_scipys(hits: int, rows: int) -> None:
    theirs = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    assert wilson(hits, rows) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_no_rows_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert find_intervals(Task.BINARY, np.zeros(9), np.zeros((9, 1))) == {}
    assert delong_error(np.array([1.0, 0.0, 0.0]), np.array([0.1, 0.2, 0.3])) is None


def bootstrap(task: Task, truth: Floats, outputs: Floats) -> dict[str, tuple[float, float]]:
    """The plain way: resample the rows."""
    rng = np.random.default_rng(5)
    found = [evaluate(task, truth[i], outputs[i]) for i in rng.integers(0, len(truth), (300, len(truth)))]
    return {
        name: tuple(np.quantile([one[name] for one in found], (0.025, 0.975)).tolist()) for name in found[0]
    }  # fmt: skip


def regression_rows() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    value = rng.gamma(2, 10, 1_500)
    truth: Floats = value + rng.standard_t(6, 1_500) * 4
    return truth, value[:, None]


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_intervals_are_as_wide_as_resampled_rows_make_them(task: Task) -> None:
    if task is Task.REGRESSION:
        truth, outputs = regression_rows()
    else:
        outputs, truth = (loans if task is Task.BINARY else cards)(reference=False)
    truth, outputs = truth[:1_500], outputs[:1_500]
    ours, plain, measured = find_intervals(task, truth, outputs), bootstrap(task, truth, outputs), evaluate(
        task, truth, outputs
    )  # fmt: skip
    assert set(plain) - {"ece"} <= set(ours)
    for name, (low, high) in plain.items():
        if name == "ece":
            continue
        width = high - low
        assert ours[name][0] <= measured[name] <= ours[name][1], name
        assert ours[name] == pytest.approx((low, high), abs=0.25 * width), name


def test_intervals_cover_the_truth_about_19_times_in_20() -> None:
    scores, truth = loans(reference=False)
    # Scores of exactly 0 and 1 that are wrong cost 34.5 nats each: no interval of a log loss foresees the rare one.
    scores = np.clip(scores, 0.01, 0.99)
    whole = evaluate(Task.BINARY, truth, scores)
    rng = np.random.default_rng(9)
    hits = dict.fromkeys(set(whole) - {"ece"}, 0)
    for _ in range(200):
        rows = rng.integers(0, len(truth), 400)
        for name, (low, high) in find_intervals(Task.BINARY, truth[rows], scores[rows]).items():
            hits[name] += low <= whole[name] <= high
    least = dict.fromkeys(hits, 178) | {"average_precision": 168}  # resampling a skewed metric of few rows loses a bit
    assert {name: count for name, count in hits.items() if not least[name] <= count <= 199} == {}, hits


def test_odd_rows_have_finite_intervals() -> None:
    alternating = np.tile([0.0, 1.0], 25)
    one_class = find_intervals(Task.BINARY, np.ones(50), np.full((50, 1), 0.7))
    assert "auc" not in one_class
    constant = find_intervals(Task.REGRESSION, np.ones(50), np.ones((50, 1)))
    assert "r2" not in constant
    perfect = find_intervals(Task.BINARY, alternating, alternating[:, None])
    many = find_intervals(Task.MULTICLASS, np.arange(60.0), np.eye(60))
    assert "macro_f1" not in many
    for found in (one_class, constant, perfect, many):
        assert np.isfinite(list(found.values())).all()


def labelled(truth: Floats, outputs: Floats) -> Labelled:
    return Labelled(
        truth=truth, outputs=outputs, delay_s=np.zeros(len(truth)), event_us=np.zeros(len(truth), np.int64)
    )  # fmt: skip


def adult_groups(column: str) -> list[tuple[str, Labelled]]:
    rows = pl.read_parquet(ADULT).head(5_000)
    found = []
    for name in rows[column].unique().sort().to_list():
        part = rows.filter(pl.col(column) == name)
        truth = (part["income"] == ">50K").cast(pl.Float64).to_numpy()
        found.append((name, labelled(truth, (part["hours_per_week"] >= 45).cast(pl.Float64).to_numpy()[:, None])))
    return found


# fairlearn 0.15.0: demographic_parity_difference, demographic_parity_ratio, equalized_odds_difference, on the first
# 5,000 rows of tests/data/adult.parquet, answer hours_per_week >= 45, groups of at least 100 rows.
@pytest.mark.parametrize(
    ("column", "difference", "ratio", "odds"),
    [
        ("sex", 0.20529380796265553, 0.40749535390230157, 0.23278247884519665),
        ("race", 0.19926900959402027, 0.34521497002026713, 0.2338269573563691),
    ],
)
def test_fairness_is_fairlearns(column: str, difference: float, ratio: float, odds: float) -> None:
    segments = judge_segments(BINARY, adult_groups(column))
    fairness = judge_fairness(column, segments)
    assert fairness is not None
    assert fairness.selection_difference == pytest.approx(difference, abs=1e-15)
    assert fairness.selection_ratio == pytest.approx(ratio, abs=1e-15)
    assert fairness.equalised_odds == pytest.approx(odds, abs=1e-15)
    assert fairness.flagged
    assert "less than four fifths" in fairness.sentence
    assert fairness.groups == sum(segment.enough for segment in segments)
    assert all(segment.enough == (segment.rows >= 100) for segment in segments)
    assert [segment.rows for segment in segments] == sorted((segment.rows for segment in segments), reverse=True)


def test_chance_is_no_unfairness() -> None:
    rng = np.random.default_rng(3)
    groups = [(name, labelled(rng.integers(0, 2, 120).astype(float), (rng.random((120, 1)) < 0.06).astype(float)))
              for name in "abcdefgh"]  # fmt: skip
    fairness = judge_fairness("group", judge_segments(BINARY, groups))
    assert fairness is not None
    assert fairness.selection_ratio is not None
    assert fairness.selection_ratio < 0.8
    assert not fairness.flagged, "the intervals of the two groups overlap"


def test_what_cannot_be_compared_is_not() -> None:
    alone = judge_segments(BINARY, [("a", labelled(np.ones(200), np.ones((200, 1)))), ("b", labelled(
        np.ones(99), np.zeros((99, 1))))])  # fmt: skip
    assert judge_fairness("group", alone) is None
    none = [(name, labelled(np.zeros(200), np.zeros((200, 1)))) for name in "ab"]
    fairness = judge_fairness("group", judge_segments(BINARY, none))
    assert fairness is not None
    assert (fairness.selection_ratio, fairness.equalised_odds, fairness.flagged) == (None, None, False)
    assert judge_fairness("group", judge_segments(CARD, [("a", labelled(np.zeros(200), np.eye(3)[[0] * 200]))])) is None


def watched(settings: Settings) -> None:
    """5,000 answers about adults, by sex and hours, with the labels of all of them."""
    rows = pl.read_parquet(ADULT).head(5_000)
    schema = FeatureSchema(
        model="m", version=1, task=Task.BINARY, target="income", classes=("<=50K", ">50K"),
        columns=(Column(name="sex", kind=Kind.CATEGORY, levels=("Female", "Male")),
                 Column(name="hours_per_week", kind=Kind.NUMBER)),
    )  # fmt: skip
    score = np.clip(rows["hours_per_week"].to_numpy() / 90, 0, 1)
    reference = fit_reference(rows, schema, outputs=score, labels=rows["income"], quality={"auc": 0.7})
    manifest = Manifest(
        model="m", version=1, task=Task.BINARY, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    publish_bundle(
        settings.layout, manifest,
        {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)},
    )  # fmt: skip
    traffic = Traffic(settings, model="m")
    x = np.column_stack([(rows["sex"] == "Male").cast(pl.Float64).to_numpy(), rows["hours_per_week"].to_numpy()])
    event = PredictionEvent(
        id=token_at(START_US, 1), t=START_US, at=START_US, m="m", v=1, n=5_000, x=x.ravel().tolist(), y=score.tolist(),
        us=9,
    )  # fmt: skip
    traffic.write("predictions", msgspec.json.encode(event))
    for i, label in enumerate(rows["income"].to_list()):
        traffic.label(f"{event.id}.{i}", label, label_us=START_US, at_us=START_US)
    traffic.close()
    watch = Watch(settings.layout)
    assert watch_once(watch).labels == 5_000
    watch.close()


def test_quality_by_column_from_the_log(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    watched(settings)
    rows = pl.read_parquet(ADULT).head(5_000)
    report = Monitoring(settings).segments("m", "sex")
    assert [(one.name, one.rows) for one in report.segments] == [
        (name, rows.filter(pl.col("sex") == name).height) for name in ("Male", "Female")
    ]
    for segment in report.segments:
        part = rows.filter(pl.col("sex") == segment.name)
        chosen = part["hours_per_week"] / 90 >= 0.5
        assert segment.selection is not None
        assert segment.selection.value == chosen.mean()
    assert report.fairness is not None
    assert report.unknown == 0
    assert report.to_json()["column"] == "sex"
    hours = Monitoring(settings).segments("m", "hours_per_week")
    assert sum(one.rows for one in hours.segments) == 5_000
    with pytest.raises(NotFound, match="its inputs are sex, hours_per_week"):
        Monitoring(settings).segments("m", "age")
    quality = Monitoring(settings).quality("m")
    assert quality.selection is None
    assert set(quality.intervals) == set(quality.metrics) - {"ece"}
    with statedb.connect(settings.layout.database) as db:
        db.execute("UPDATE outcomes SET cells = x'' WHERE label = '>50K'")
    db.close()
    older = Monitoring(settings).segments("m", "sex")
    assert older.unknown == rows.filter(pl.col("income") == ">50K").height


def test_labels_of_some_kinds_of_rows_alone_are_said(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    watched(settings)
    with statedb.connect(settings.layout.database) as db:
        db.execute("DELETE FROM outcomes WHERE CAST(json_extract(output, '$[0]') AS REAL) > 0.42")
    db.close()
    quality = Monitoring(settings).quality("m")
    assert quality.selection is not None
    assert "`prediction` moved" in quality.selection

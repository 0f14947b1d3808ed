"""Several classes: each against the others on live labels, beside the holdout, as scikit-learn counts them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from appliance.events import PredictionEvent
from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.monitoring.intervals import wilson
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.report import make_report
from appliance.monitoring.watch import Watch, watch_once
from appliance.training.bundle import read_card
from tests.cli.shell import Shell
from tests.monitoring.traffic import START_US, Traffic, token_at
from tests.training.rows import penguins
from tests.training.state import add, new_appliance, train_now

CLASSES = ("Adelie", "Chinstrap", "Gentoo")
DAY_S = 86_400


@pytest.fixture(scope="module")
def truth() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(0).choice(3, 200, p=(0.6, 0.399, 0.001))


@pytest.fixture(scope="module")
def outputs(truth: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Right in eight of ten; never of the last class."""
    rng = np.random.default_rng(1)
    given = np.where(rng.random(200) < 0.8, truth % 2, 1 - truth % 2)
    found: np.ndarray[tuple[int, int], np.dtype[np.float64]] = 0.1 + 0.7 * np.eye(3)[given]
    return found


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    truth: np.ndarray[tuple[int], np.dtype[np.int64]],
    outputs: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> Appliance:
    made = new_appliance(tmp_path_factory.mktemp("classes") / "state")
    add(made, "penguins", penguins())
    train_now(made, ModelSpec(name="birds", dataset="penguins", target="species", rounds=20))
    traffic = Traffic(made.settings, model="birds")
    columns = len(read_card(made.settings.layout, "birds", 1)[0].columns)
    event = PredictionEvent(
        id=token_at(START_US, 1), t=START_US, at=START_US, m="birds", v=1, n=200, us=9, x=[0.0] * (columns * 200),
        y=outputs.ravel().tolist(),
    )  # fmt: skip
    traffic.write("predictions", msgspec.json.encode(event))
    for at, label in enumerate(truth.tolist()):
        traffic.label(f"{event.id}.{at}", CLASSES[label], label_us=START_US + 3_600_000_000, at_us=START_US)
    traffic.close()
    with closing(Watch(made.settings.layout)) as watch:
        assert watch_once(watch).labels == 200
    return made


def test_each_class_is_counted_as_scikit_learn_does(
    house: Appliance,
    truth: np.ndarray[tuple[int], np.dtype[np.int64]],
    outputs: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    given = outputs.argmax(axis=1)
    precision, recall, f1, rows = precision_recall_fscore_support(truth, given, labels=[0, 1, 2], zero_division=0)
    found = house.monitoring.quality("birds").classes
    assert [one.now.name for one in found] == list(CLASSES)
    assert [one.now.rows for one in found] == rows.tolist()
    assert [one.now.precision or 0.0 for one in found] == pytest.approx(precision.tolist())
    assert [one.now.recall or 0.0 for one in found] == pytest.approx(recall.tolist())
    assert [one.now.f1 for one in found] == pytest.approx(f1.tolist())
    assert found[2].now.precision is None, "nothing was answered so"
    hits = int(((truth == 0) & (given == 0)).sum())
    assert found[0].intervals["precision"] == pytest.approx(wilson(hits, int((given == 0).sum())))
    assert found[0].intervals["recall"] == pytest.approx(wilson(hits, int((truth == 0).sum())))
    assert "precision" not in found[2].intervals


def test_beside_each_stands_the_holdouts(house: Appliance) -> None:
    card, _ = read_card(house.settings.layout, "birds", 1)
    assert card.evaluation is not None
    assert [one.holdout for one in house.monitoring.quality("birds").classes] == list(card.evaluation.classes)
    (house.settings.layout.models / "birds" / "1" / "card.json").rename(house.settings.state / "card")
    try:
        assert {one.holdout for one in Monitoring(house.settings).quality("birds").classes} == {None}
    finally:
        (house.settings.state / "card").rename(house.settings.layout.models / "birds" / "1" / "card.json")


def test_the_verb_and_the_report_tell_them(house: Appliance, tmp_path: Path) -> None:
    shell = Shell(state=house.settings.state)
    told = shell.ok("quality", "birds", "--json").json()["classes"]
    assert [one["name"] for one in told] == list(CLASSES)
    assert {*told[0]} == {"name", "rows", "precision", "recall", "f1", "intervals", "holdout"}
    assert told[0]["holdout"]["rows"] > 0
    text = shell.ok("quality", "birds").out
    assert "Chinstrap" in text
    assert "; holdout " in text
    report = make_report(house.monitoring, "birds", DAY_S)
    assert "<h3>By class</h3>" in report.to_html()
    assert json.loads(json.dumps(report.to_json()))["quality"]["classes"] == told

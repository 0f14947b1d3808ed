"""LightGBM parameters of a declaration: those that stand for a key are refused, linear trees are told of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import BadInput, BadModelSpec
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.spans import State
from appliance.studies.nightly import study
from appliance.studies.rows import Samples
from appliance.training.job import TrainingOrder, run_training
from appliance.training.train import LINEAR
from appliance.trial import REASONS
from storage.bundles import read_bundle
from tests.training.rows import Remembered, fit, made_up, spec
from tests.training.state import add, new_appliance, train_now
from tests.training.test_outputs import serve


def test_a_declaration_that_an_earlier_release_took_is_listed_and_trains_no_more(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    train_now(house, spec("y", rounds=5))
    with pytest.raises(BadModelSpec, match="n_estimators"):
        house.models.apply(spec("y", params={"n_estimators": 400}), who="test")
    with (house.settings.layout.specs / "model.toml").open("a") as declared:
        declared.write("\n[params]\nn_estimators = 400\n")
    (found,) = house.models.list()
    assert found.spec.params == {"n_estimators": 400}
    with pytest.raises(BadModelSpec, match=r"n_estimators \(say it with 'rounds'\)"):
        run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())


def test_linear_trees_train_and_serve_without_contributions(tmp_path: Path) -> None:
    model = fit(spec("y", params={"linear_tree": True}, rounds=20), made_up())
    assert model.evaluation is not None
    assert model.evaluation.contributions == ()
    assert LINEAR in model.decisions
    assert LINEAR not in fit(spec("y", rounds=20), made_up()).decisions
    served = serve(model, tmp_path / "state")
    matrix = served.encoder.encode([{"x": 1.0, "noise": 0.0, "color": "red", "on": True}]).matrix
    assert served.score(matrix)[0] == served.score_one(matrix[0].tolist())[0]
    with pytest.raises(BadInput, match="its trees are linear"):
        served.contributions(matrix)


def test_nobody_asks_for_reasons_of_linear_trees(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    train_now(house, spec("y", rounds=5))
    train_now(house, spec("y", rounds=5, params={"linear_tree": True}))
    assert [house.trial.example("model", version).reasons for version in (1, 2)] == [REASONS, 0]
    layout = house.settings.layout
    known = KnownVersions(layout).find("model", 2)
    assert known is not None
    rows = np.random.default_rng(1).normal(size=(400, len(known.schema.columns)))
    _, files = read_bundle(layout, "model", 2)
    *_, last = study(known, Samples(reference=rows[:200], current=rows[200:]), files["model.txt"].decode())
    assert (last.kind, last.verdict.state) == ("attribution", State.NOT_ENOUGH_DATA)
    assert "linear trees" in last.verdict.sentence

"""The search over parameters and cross-validation: seeded, bounded, and never with the holdout."""

from __future__ import annotations

from itertools import count

import msgspec
import numpy as np
import pytest

from appliance.model_card import Trial
from appliance.schema import Task
from appliance.training.fit import Param
from appliance.training.prepare import prepare
from appliance.training.tune import choose_trial, is_real_gain, search
from tests.training.rows import BIKE, Remembered, adults, bikes, fit, made_up, penguins, spec


def test_the_same_seed_and_trials_find_the_same_model_on_any_number_of_threads() -> None:
    wanted = spec("species", budget="better", trials=7, rounds=60)
    one, two = fit(wanted, penguins()), fit(wanted, penguins(), threads=lambda: 2)
    assert one.fitted.text == two.fitted.text
    assert [(trial.params, trial.value) for trial in one.trials] == [(t.params, t.value) for t in two.trials]
    assert len(one.trials) == 7


def test_the_defaults_are_tried_first_and_the_best_trial_is_taken() -> None:
    progress = Remembered()
    model = fit(spec("income", split="split", budget="better", trials=8), adults().gather_every(8), progress=progress)
    values = [trial.value for trial in model.trials if trial.value is not None]
    best = min(model.trials, key=lambda trial: np.inf if trial.value is None else trial.value)
    assert model.trials[0].params == {}
    assert min(values) <= values[0]
    assert {name: model.params[name] for name in best.params} == best.params
    assert [name for name, _ in progress.steps] == ["check", *["search"] * 8, "fit", "refit", "evaluate"]
    assert any("8 of 8 trials on 4 folds of the training rows" in sentence for sentence in model.decisions)


def test_hopeless_trials_are_pruned_between_rounds_when_there_are_many_rows() -> None:
    model = fit(spec("income", budget="better", trials=12, rounds=200, exclude=("split",)), adults())
    pruned = [trial for trial in model.trials if trial.value is None]
    assert pruned
    assert any("early-stopping rows" in sentence for sentence in model.decisions)


@pytest.mark.parametrize(
    ("found", "in_time", "kept"),
    [
        ([9.0, 18.0, 27.0, 36.0], True, True),  # gains 1, 2, 3, 4: mean 2.5, error 0.65
        ([9.9, 21.0, 29.0, 40.0], False, False),  # gains 0.1, -1, 1, 0: mean 0.025
        ([5.0, 15.0, 25.0, 41.0], False, True),  # gains 5, 5, 5, -1: mean 3.5, error 1.5
        ([5.0, 15.0, 25.0, 41.0], True, False),  # the newest fold tells what comes next
        ([4.0, 19.0, 29.0, 39.5], False, True),  # gains 6, 1, 1, 0.5: mean 2.1, error 1.3
        ([4.0, 19.0, 29.0, 39.5], True, False),  # most of it on the oldest fold, and on the newest less than the error
        ([10.0, 20.0, 30.0, 40.0], True, False),
    ],
)
def test_parameters_replace_the_defaults_by_more_than_the_folds_differ(
    found: list[float], in_time: bool, kept: bool
) -> None:
    assert is_real_gain([10.0, 20.0, 30.0, 40.0], found, in_time=in_time) is kept


def test_a_trial_whose_luck_does_not_come_again_is_not_taken() -> None:
    """Its figures were far better than the defaults' once; measured with another seed they are worse."""
    prepared = prepare(spec("y", budget="better"), made_up())
    lucky: dict[str, Param] = {"num_leaves": 2, "learning_rate": 0.001, "feature_fraction": 0.4}
    trials = [
        Trial(number=0, params={}, value=1.0, rounds=50, seconds=1.0),
        Trial(number=1, params=lucky, value=0.1, rounds=50, seconds=1.0),
    ]
    taken, why = choose_trial(prepared, trials, {0: [1.0] * 4, 1: [0.1] * 4}, lambda: 1)
    assert taken is trials[0]
    assert why == "the defaults stay (1): trial 1, 0.1, is not better by more than 4 folds and another seed differ"
    good = [5.0, 5.1, 5.2, 5.3]  # of the defaults: the same trial beats these with any seed
    assert choose_trial(prepared, trials, {0: good, 1: [0.1] * 4}, lambda: 1)[0] is trials[1]


def test_declared_parameters_are_not_searched_over() -> None:
    model = fit(spec("y", budget="better", trials=4, params={"num_leaves": 7}), made_up())
    assert model.params["num_leaves"] == 7


def test_a_search_that_the_clock_ended_says_so() -> None:
    prepared = prepare(spec("y", budget="best", time_limit="1m", trials=10_000), made_up())
    ticks = count(step=20.0)
    found = search(prepared, lambda: 1, lambda _trial, _most: None, clock=lambda: next(ticks))
    assert "ended by the time limit of 1m" in found.sentence


def test_cross_validation_measures_each_fold_and_their_spread() -> None:
    model = fit(spec("species", cv=5), penguins())
    folds = model.cross_validation
    assert folds is not None
    assert len(folds.folds) == 5
    assert sum(fold.rows_test for fold in folds.folds) == len(model.split.trained_on)
    accuracies = [fold.metrics["accuracy"] for fold in folds.folds]
    assert folds.mean["accuracy"] == pytest.approx(np.mean(accuracies))
    assert folds.spread["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))


def test_folds_of_rows_with_a_time_run_forward() -> None:
    model = fit(msgspec.structs.replace(BIKE, cv=3), bikes())
    folds = model.cross_validation
    assert folds is not None
    assert [fold.rows_fit for fold in folds.folds] == sorted(fold.rows_fit for fold in folds.folds)
    assert model.schema.task is Task.REGRESSION
    assert folds.mean["rmse"] > 0

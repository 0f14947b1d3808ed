"""Metrics, against figures worked out by hand and by scikit-learn 1.7's definitions."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.schema import Task
from appliance.training.evaluate import area_under_roc, average_precision, evaluate, evaluate_dummy, is_better

TRUTH = np.array([0.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("score", "area"),
    [
        ([0.1, 0.4, 0.35, 0.8], 0.75),  # 3 of 4 pairs in order
        ([0.5, 0.5, 0.5, 0.5], 0.5),  # all tied
        ([0.1, 0.5, 0.5, 0.8], 0.875),  # 3 in order, 1 tied
        ([0.9, 0.8, 0.2, 0.1], 0.0),
    ],
)
def test_area_under_roc(score: list[float], area: float) -> None:
    assert area_under_roc(TRUTH, np.array(score)) == area


def test_average_precision() -> None:
    # by score: 1 (recall 1/2, precision 1), 0, 1 (recall 1, precision 2/3), 0
    assert average_precision(TRUTH, np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(TRUTH, np.full(4, 0.5)) == 0.5


def test_regression() -> None:
    metrics = evaluate(Task.REGRESSION, np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [5.0]]))
    assert metrics == pytest.approx({"rmse": np.sqrt(4 / 3), "mae": 2 / 3, "bias": 2 / 3, "r2": 1 - 4 / 2})


def test_binary() -> None:
    metrics = evaluate(Task.BINARY, TRUTH, np.array([[0.1], [0.6], [0.4], [0.8]]))
    loss = -(np.log(0.9) + np.log(0.4) + np.log(0.4) + np.log(0.8)) / 4
    assert metrics["log_loss"] == pytest.approx(loss)
    assert metrics["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    assert (metrics["accuracy"], metrics["f1"]) == (0.5, 0.5)


def test_one_class_on_the_holdout_has_no_area() -> None:
    assert "auc" not in evaluate(Task.BINARY, np.zeros(3), np.full((3, 1), 0.2))


def test_multiclass() -> None:
    outputs = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    metrics = evaluate(Task.MULTICLASS, np.array([0.0, 1.0, 2.0]), outputs)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics["log_loss"] == pytest.approx(-(np.log(0.7) + np.log(0.8) + np.log(0.1)) / 3)


def test_the_dummy_knows_the_training_labels_only() -> None:
    train = np.array([0.0, 0.0, 0.0, 1.0])
    dummy = evaluate_dummy(Task.BINARY, TRUTH, train, classes=2)
    assert (dummy["auc"], dummy["accuracy"]) == (0.5, 0.5)
    assert dummy["log_loss"] == pytest.approx(-(2 * np.log(0.75) + 2 * np.log(0.25)) / 4)
    assert evaluate_dummy(Task.REGRESSION, np.array([1.0, 3.0]), np.array([2.0, 4.0]), classes=0)["mae"] == 1.0 * 1.0


def test_a_tie_is_not_better() -> None:
    assert is_better("auc", 0.9, 0.8)
    assert is_better("rmse", 1.0, 2.0)
    assert not is_better("auc", 0.9, 0.9)
    assert not is_better("log_loss", 0.9, 0.9)

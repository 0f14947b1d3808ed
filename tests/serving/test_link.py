from __future__ import annotations

import math
from typing import Any

import lightgbm
import numpy as np
import pytest

from appliance.serving.link import find_link, sigmoid, softmax


@pytest.mark.parametrize(
    ("objective", "extra"),
    [("binary", {}), ("binary", {"sigmoid": 0.3}), ("multiclass", {"num_class": 3}),
     ("multiclassova", {"num_class": 3, "sigmoid": 2.0})],
)  # fmt: skip
def test_a_link_gives_the_bits_of_lightgbm(objective: str, extra: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(3000, 4))
    labels = np.digitize(rows.sum(1), [-1, 1]) if "num_class" in extra else rows.sum(1) > 0
    booster = lightgbm.train(
        {"objective": objective, "verbose": -1, "num_threads": 1, "learning_rate": 0.7, **extra},
        lightgbm.Dataset(rows, np.asarray(labels, dtype=np.float64)), 60,
    )  # fmt: skip
    link = find_link(booster.model_to_string().encode())
    assert link is not None
    raw = np.asarray(booster.predict(rows, raw_score=True)).ravel().tolist()
    assert link(raw) == np.asarray(booster.predict(rows)).ravel().tolist()


@pytest.mark.parametrize(
    "text",
    [b"tree\nobjective=regression\n", b"tree\nobjective=poisson\n", b"tree\n", b"", b"objective=binary\n",
     b"objective=binary sigmoid:x\n", b"objective=multiclass num_class:\n"],
)  # fmt: skip
def test_an_objective_without_a_known_link_is_left_to_lightgbm(text: bytes) -> None:
    assert find_link(text) is None


def test_scores_beyond_what_exp_takes_are_certain() -> None:
    assert sigmoid([-1e6, 1e6, 0.0], steepness=1.0) == [0.0, 1.0, 0.5]
    assert softmax([-1e6, 1e6, 0.0], classes=3) == [0.0, 1.0, 0.0]


def test_probabilities_of_classes_add_up() -> None:
    assert math.fsum(softmax([0.1, 0.7, -3.0], classes=3)) == pytest.approx(1.0, abs=1e-15)

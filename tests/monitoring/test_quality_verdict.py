"""Whether quality fell: by a ratio and beyond chance, also of a holdout that had no loss."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from appliance.monitoring.quality import Labelled, Loss, find_loss, judge_quality
from appliance.monitoring.spans import State
from appliance.schema import Task
from tests.monitoring.traffic import regression_schema

REGRESSION = regression_schema()
BINARY = msgspec.structs.replace(REGRESSION, task=Task.BINARY, classes=("no", "yes"))
ROWS = 5000


@pytest.mark.parametrize(
    ("expected", "value", "error", "state"),
    [
        (10.0, 10.9, 0.01, State.OK),
        (10.0, 11.1, 0.01, State.WARN),
        (10.0, 12.6, 0.01, State.ALARM),
        (10.0, 12.6, 1.0, State.OK),  # 3.09 * 1 * sqrt(1 + 5000 / 1000) = 7.6
        (0.0, 0.0, 0.0, State.OK),
        (0.0, 50.0, 1.0, State.ALARM),
        (0.0, 7.0, 1.0, State.OK),
        (0.0, 8.0, 1.0, State.ALARM),
    ],
)
def test_a_loss_is_held_against_the_holdouts(expected: float, value: float, error: float, state: State) -> None:
    found = Loss(rows=ROWS, value=value, error=error)
    verdict = judge_quality(REGRESSION, found, {"rmse": expected}, holdout_rows=1000, mature=True)
    assert verdict.state is state


@pytest.mark.parametrize(("wrong", "state"), [(0.0, State.OK), (0.5, State.ALARM)])
def test_a_model_that_told_all_of_its_holdout_apart_may_become_worse(wrong: float, state: State) -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(ROWS) < 0.3).astype(np.float64)
    score = np.where(rng.random(ROWS) < wrong, rng.random(ROWS), 0.2 + 0.6 * truth)[:, None]
    labelled = Labelled(truth=truth, outputs=score, delay_s=np.zeros(ROWS), event_us=np.zeros(ROWS, np.int64))
    found = find_loss(Task.BINARY, labelled)
    verdict = judge_quality(BINARY, found, {"auc": 1.0}, holdout_rows=1000, mature=True)
    assert verdict.state is state
    assert "it was 1 on the holdout" in verdict.sentence

"""Many rows are written by a template; byte for byte what an object a row would give."""

from __future__ import annotations

import json
import math
from itertools import chain

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.inference.predictions import describe_predictions, write_predictions
from appliance.schema import FeatureSchema, Task
from appliance.serving.scoring import Scored

CLASSES = {
    Task.REGRESSION: (),
    Task.BINARY: ("0 %", 'a "quoted" %b ä'),
    Task.MULTICLASS: ("x", "%d", "\\", "{}"),
}


class Model:
    """As much of a loaded model as an answer's text looks at."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema


def scored_of(task: Task, outputs: list[list[float]], flags: dict[int, list[str]]) -> Scored:
    schema = FeatureSchema(model="m", version=1, task=task, target="y", columns=(), classes=CLASSES[task])
    values = list(chain.from_iterable(outputs))
    return Scored(
        model=Model(schema),  # type: ignore[arg-type]
        token="01a2-3-abc", rows=len(outputs), values=values, raw=[3 * value - 1 for value in values], x=[],
        unseen=[], flags=flags, reasons=[],
    )  # fmt: skip


@pytest.mark.parametrize("task", list(Task))
@given(data=st.data())
def test_the_template_gives_the_same_bytes(task: Task, data: st.DataObject) -> None:
    width = len(CLASSES[task]) if task is Task.MULTICLASS else 1
    number = st.floats(0, 1) if task is not Task.REGRESSION else st.floats(allow_nan=True, allow_infinity=True)
    outputs = data.draw(st.lists(st.lists(number, min_size=width, max_size=width), min_size=1, max_size=20))
    flags = data.draw(st.dictionaries(st.integers(0, len(outputs) - 1), st.just(["unseen_category: %b"])))
    scored = scored_of(task, outputs, flags)
    assert write_predictions(scored) == msgspec.json.encode(describe_predictions(scored))


def test_a_thousand_rows_can_be_read_back() -> None:
    outputs = np.random.default_rng(0).random((1000, 1)).tolist()
    found = json.loads(write_predictions(scored_of(Task.BINARY, outputs, {7: ["odd"]})))
    assert [one["id"] for one in found] == [f"01a2-3-abc.{index}" for index in range(1000)]
    assert found[7]["flags"] == ["odd"]
    shares = [list(one["probabilities"].values()) for one in found]
    assert all(math.fsum(pair) == 1.0 and pair[1] == output[0] for pair, output in zip(shares, outputs, strict=True))

"""Whatever rows are sent over HTTP, the answer is LightGBM's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.schema import Column, Kind, Task
from tests.model_bundles import MIXED_COLUMNS, Row, TrainedModel, deploy, prepare_state, publish, train_model
from tests.served_api import ServedApi, serve_api


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    api: ServedApi
    models: dict[Task, TrainedModel]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    models = {task: train_model(task.value, 1, task=task, columns=MIXED_COLUMNS) for task in Task}
    for model in models.values():
        publish(layout, model)
    deploy(layout, {task.value: 1 for task in Task})
    with serve_api(layout) as api:
        yield Served(api=api, models=models)


def values(column: Column) -> st.SearchStrategy[object]:
    """What a caller may send for a column."""
    level = st.sampled_from(column.levels) if column.levels else st.nothing()
    kinds: dict[Kind, st.SearchStrategy[object]] = {
        Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
        Kind.BOOLEAN: st.booleans(),
        Kind.CATEGORY: level | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        Kind.DATETIME: st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(datetime.isoformat)  # noqa: DTZ001
        | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat),  # noqa: DTZ001
    }
    found = kinds[column.kind]
    if column.integer:
        found = found | level.map(int) | st.integers(-1000, 1000)
    return st.none() | found


ROW: st.SearchStrategy[Row] = st.fixed_dictionaries({column.name: values(column) for column in MIXED_COLUMNS})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=6), task=st.sampled_from(list(Task)), escaped=st.booleans())
def test_the_answer_is_lightgbms_own(served: Served, rows: list[Row], task: Task, escaped: bool) -> None:
    content = json.dumps({"rows": rows}, ensure_ascii=escaped).encode()
    answer = served.api.client.post(f"/models/{task.value}/predict", content=content)
    assert answer.status_code == 200, answer.text
    expected = served.models[task].expect(rows)
    for row, prediction, outputs in zip(rows, answer.json()["predictions"], expected, strict=True):
        if task is Task.REGRESSION:
            assert [prediction["value"]] == pytest.approx(outputs, rel=1e-12)
        elif task is Task.BINARY:
            assert [prediction["probabilities"]["yes"]] == pytest.approx(outputs, rel=1e-12)
        else:
            assert list(prediction["probabilities"].values()) == pytest.approx(outputs, rel=1e-12)
        unseen = [
            column.name
            for column in MIXED_COLUMNS
            if column.kind is Kind.CATEGORY
            and row[column.name] is not None
            and str(row[column.name]) not in column.levels
        ]
        assert [flag for flag in prediction["flags"] if flag.startswith("unseen:")] == [
            f"unseen:{name}" for name in unseen
        ]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rows", "explain", "machine"]), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_body_brings_the_service_to_an_internal_error(served: Served, content: bytes) -> None:
    for path in ("/models/binary/predict", "/models/binary/labels", "/v2/models/binary/infer"):
        answer = served.api.client.post(path, content=content)
        assert answer.status_code in {202, 400, 422}, answer.text

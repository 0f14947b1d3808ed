"""The same rows give the same bits in every dialect and form: decoded doubles are compared exactly."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from appliance.schema import Column, Kind, Task
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, TrainedModel, numeric_columns, sample_rows

Rows = Sequence[Mapping[str, Any]]
Values = list[list[float]]
"""One list a row: the value, or a probability a class."""

DATATYPES = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL", Kind.CATEGORY: "BYTES", Kind.DATETIME: "BYTES"}


def post(deployed: Deployed, path: str, **request: Any) -> Any:
    answer = deployed.api.client.post(path, **request)
    assert answer.status_code == 200, (path, answer.text)
    return answer


def native(deployed: Deployed, model: str, rows: Rows) -> Values:
    found = post(deployed, f"/models/{model}/predict", json={"rows": rows}).json()["predictions"]
    return [list(row["probabilities"].values()) if "probabilities" in row else [row["value"]] for row in found]


def _tensors(columns: Sequence[Column], rows: Rows, *, width: int) -> list[dict[str, Any]]:
    return [
        {
            "name": column.name, "shape": [len(rows), 1][:width],
            "datatype": "INT64" if column.integer else DATATYPES[column.kind],
            "data": [row[column.name] if width == 1 else [row[column.name]] for row in rows],
        }
        for column in columns
    ]  # fmt: skip


def _values_of(body: dict[str, Any]) -> Values:
    outputs = {output["name"]: output for output in body["outputs"]}
    output = outputs.get("probabilities") or outputs["prediction"]
    values = np.reshape(output["data"], (output["shape"][0], -1))
    assert values.dtype == np.float64
    found: Values = values.tolist()
    return found


def v2_columns(deployed: Deployed, model: str, rows: Rows) -> Values:
    tensors = _tensors(columns_of(deployed, model), rows, width=1)
    return _values_of(post(deployed, f"/v2/models/{model}/infer", json={"inputs": tensors}).json())


def v2_nested_columns(deployed: Deployed, model: str, rows: Rows) -> Values:
    tensors = _tensors(columns_of(deployed, model), rows, width=2)
    return _values_of(post(deployed, f"/v2/models/{model}/infer", json={"inputs": tensors}).json())


def v2_tensor(deployed: Deployed, model: str, rows: Rows) -> Values:
    data = [list(row.values()) for row in rows]
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}
    return _values_of(post(deployed, f"/v2/models/{model}/infer", json={"inputs": [tensor]}).json())


def v2_binary(deployed: Deployed, model: str, rows: Rows) -> Values:
    matrix = np.array([list(row.values()) for row in rows], dtype="<f8")
    tensor = {
        "name": "x", "shape": list(matrix.shape), "datatype": "FP64",
        "parameters": {"binary_data_size": matrix.nbytes},
    }  # fmt: skip
    output = "prediction" if deployed_model(deployed, model).schema.task is Task.REGRESSION else "probabilities"
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": output, "parameters": {"binary_data": True}}]}).encode()
    answer = post(
        deployed, f"/v2/models/{model}/infer", content=head + matrix.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )  # fmt: skip
    length = int(answer.headers["inference-header-content-length"])
    return np.frombuffer(answer.content[length:], dtype="<f8").reshape(len(rows), -1).tolist()


def _instances(predictions: list[Any]) -> Values:
    return [found["probabilities"] if isinstance(found, dict) else [found] for found in predictions]


def v1_objects(deployed: Deployed, model: str, rows: Rows) -> Values:
    return _instances(post(deployed, f"/v1/models/{model}:predict", json={"instances": rows}).json()["predictions"])


def v1_lists(deployed: Deployed, model: str, rows: Rows) -> Values:
    instances = [list(row.values()) for row in rows]
    return _instances(
        post(deployed, f"/v1/models/{model}:predict", json={"instances": instances}).json()["predictions"]
    )


def v1_columns(deployed: Deployed, model: str, rows: Rows) -> Values:
    inputs = {name: [row[name] for row in rows] for name in rows[0]}
    found = post(deployed, f"/v1/models/{model}:predict", json={"inputs": inputs}).json()["outputs"]
    return found["probabilities"] if isinstance(found, dict) else [[value] for value in found]


def _invoke(deployed: Deployed, model: str, **request: Any) -> Values:
    headers = {"X-Amzn-SageMaker-Target-Model": model, **request.pop("headers", {})}
    found = post(deployed, "/invocations", headers=headers, **request).json()["predictions"]
    return [list(row.values())[1:] if isinstance(row, dict) else [row] for row in found]


def mlflow_split(deployed: Deployed, model: str, rows: Rows) -> Values:
    frame = {"columns": list(rows[0])[::-1], "data": [list(row.values())[::-1] for row in rows]}
    return _invoke(deployed, model, json={"dataframe_split": frame})


def mlflow_records(deployed: Deployed, model: str, rows: Rows) -> Values:
    return _invoke(deployed, model, json={"dataframe_records": rows})


def mlflow_instances(deployed: Deployed, model: str, rows: Rows) -> Values:
    return _invoke(deployed, model, json={"instances": [list(row.values()) for row in rows]})


def mlflow_inputs(deployed: Deployed, model: str, rows: Rows) -> Values:
    return _invoke(deployed, model, json={"inputs": {name: [row[name] for row in rows] for name in rows[0]}})


def mlflow_csv(deployed: Deployed, model: str, rows: Rows) -> Values:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(rows[0])
    writer.writerows([["" if cell is None else cell for cell in row.values()] for row in rows])
    return _invoke(deployed, model, content=table.getvalue().encode(), headers={"content-type": "text/csv"})


def deployed_model(deployed: Deployed, name: str) -> TrainedModel:
    found: TrainedModel = getattr(deployed, name)
    return found


def columns_of(deployed: Deployed, model: str) -> Sequence[Column]:
    return deployed_model(deployed, model).schema.columns


Ask = Callable[[Deployed, str, Rows], Values]
ANY: tuple[Ask, ...] = (
    native, v2_columns, v2_nested_columns, v1_objects, v1_lists, v1_columns, mlflow_split, mlflow_records,
    mlflow_instances, mlflow_inputs, mlflow_csv,
)  # fmt: skip
NUMBERS_ALONE: tuple[Ask, ...] = (v2_tensor, v2_binary)
MODELS = {
    "mixed": MIXED_COLUMNS, "price": MIXED_COLUMNS, "species": numeric_columns(4), "numbers": numeric_columns(28),
}  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 700])
@pytest.mark.parametrize("model", list(MODELS))
def test_every_dialect_and_form_gives_the_bits_of_lightgbm(deployed: Deployed, model: str, rows: int) -> None:
    sample = sample_rows(MODELS[model], rows, seed=rows)
    trained = deployed_model(deployed, model)
    outputs = trained.expect(sample)
    expected = [[1 - value, value] for (value,) in outputs] if trained.schema.task is Task.BINARY else outputs
    for ask in ANY if MODELS[model] is MIXED_COLUMNS else ANY + NUMBERS_ALONE:
        assert ask(deployed, model, sample) == expected, ask.__name__


@pytest.mark.parametrize("ask", ANY, ids=lambda ask: ask.__name__)
def test_each_row_alone_gives_the_bits_it_has_among_many(deployed: Deployed, ask: Ask) -> None:
    sample: list[dict[str, Any]] = sample_rows(MIXED_COLUMNS, 12, seed=5)
    for at, column in enumerate(MIXED_COLUMNS):
        if column.had_nulls:
            sample[at][column.name] = None
        if column.kind is Kind.CATEGORY and not column.integer:
            sample[at][column.name] = "never seen"
    together = ask(deployed, "price", sample)
    assert [ask(deployed, "price", [row])[0] for row in sample] == together == deployed.price.expect(sample)


def test_every_dialect_says_in_the_event_log_who_asked(deployed: Deployed) -> None:
    import msgspec

    from appliance.events import PredictionEvent
    from storage.eventlog import list_segments

    sample = sample_rows(MIXED_COLUMNS, 2, seed=99)
    for ask in (native, v2_columns, v1_objects, mlflow_records):
        ask(deployed, "price", sample)
    lines = [
        line
        for path in list_segments(deployed.layout.events / "predictions")
        for line in path.read_bytes().splitlines()
    ]
    events = [msgspec.json.decode(line, type=PredictionEvent) for line in lines[-4:]]
    assert [event.d for event in events] == ["native", "v2", "v1", "mlflow"]
    assert len({(tuple(event.x), tuple(event.y), event.m, event.v, event.r) for event in events}) == 1

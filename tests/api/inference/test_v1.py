"""V1 as TensorFlow Serving's and KServe's callers speak it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, numeric_columns, sample_rows

MIXED = sample_rows(MIXED_COLUMNS, 3)
NUMBERS = sample_rows(numeric_columns(4), 3)


def test_objects_and_lists_in_model_order_are_answered_row_by_row(deployed: Deployed) -> None:
    expected = [value for (value,) in deployed.mixed.expect(MIXED)]
    for instances in (MIXED, [list(row.values()) for row in MIXED]):
        answer = deployed.api.client.post("/v1/models/mixed:predict", json={"instances": instances})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "predictions": [
                {"prediction": "yes" if value >= 0.5 else "no", "probabilities": [1 - value, value]}
                for value in expected
            ]
        }
        assert answer.headers["x-model-version"] == "1"


def test_a_regression_gives_bare_numbers_in_both_forms(deployed: Deployed) -> None:
    expected = [value for (value,) in deployed.price.expect(MIXED)]
    columns = {name: [row[name] for row in MIXED] for name in MIXED[0]}
    rows = deployed.api.client.post("/v1/models/price:predict", json={"instances": MIXED, "parameters": {}})
    assert rows.json() == {"predictions": expected}
    columnar = deployed.api.client.post("/v1/models/price/versions/3:predict", json={"inputs": columns})
    assert columnar.json() == {"outputs": expected}


def test_columns_are_answered_by_columns(deployed: Deployed) -> None:
    expected = deployed.species.expect(NUMBERS)
    labels = ["abc"[row.index(max(row))] for row in expected]
    columns = {name: [row[name] for row in NUMBERS] for name in NUMBERS[0]}
    nested = {name: [[cell] for cell in cells] for name, cells in columns.items()}
    tensor = [list(row.values()) for row in NUMBERS]
    for inputs in (columns, nested, tensor):
        answer = deployed.api.client.post("/v1/models/species:predict", json={"inputs": inputs})
        assert answer.json() == {"outputs": {"prediction": labels, "probabilities": expected}}


def test_odd_rows_are_flagged(deployed: Deployed) -> None:
    rows = [MIXED[0], {**MIXED[1], "machine": "unknown", "more": 1}]
    body = deployed.api.client.post("/v1/models/mixed:predict", json={"instances": rows}).json()
    assert body["flags"] == {"1": ["unseen:machine", "ignored:more"]}


def test_its_predictions_take_labels_by_the_token_in_the_header(deployed: Deployed) -> None:
    token = deployed.api.client.post("/v1/models/price:predict", json={"instances": MIXED}).headers[
        "x-prediction-token"
    ]
    answer = deployed.api.client.post("/models/price/labels", json={"labels": [{"id": f"{token}.2", "label": 1.5}]})
    assert answer.json() == {"accepted": 1, "unknown": []}


@pytest.mark.parametrize(("parameters", "count"), [(None, len(MIXED_COLUMNS)), ({"explain": 2}, 2), ({}, 6)])
def test_an_explanation_is_that_of_the_native_dialect(
    deployed: Deployed, parameters: dict[str, int] | None, count: int
) -> None:
    body = {"instances": MIXED, "parameters": parameters}
    found = deployed.api.client.post("/v1/models/mixed:explain", json=body).json()
    native = deployed.api.client.post("/models/mixed/predict", json={"rows": MIXED, "explain": count}).json()
    assert found["explanations"] == [prediction["reasons"] for prediction in native["predictions"]]
    assert [prediction["prediction"] for prediction in found["predictions"]] == [
        prediction["label"] for prediction in native["predictions"]
    ]


def test_models_and_their_versions_are_listed_with_their_state(deployed: Deployed) -> None:
    client = deployed.api.client
    assert client.get("/v1/models").json() == {"models": ["mixed", "numbers", "price", "species"]}
    for path in ("/v1/models/price", "/v1/models/price/versions/3"):
        assert client.get(path).json() == {
            "name": "price",
            "ready": True,
            "model_version_status": [
                {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ],
        }


def cell(**cells: Any) -> dict[str, Any]:
    return {"instances": [{**MIXED[0], **cells}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "accepted: an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"instances":[[NaN,1,"L","1",true,null]]}', "Air temperature [K]"),
        (b'{"instances":[{"a":1}],"parameters":NaN}', "parameters"),
        ({}, "neither member"),
        ({"instances": MIXED, "inputs": {}}, "both members"),
        ({"instances": []}, "an empty list"),
        ({"instances": {}}, "an object"),
        ({"instances": [1]}, "instances[0]"),
        ({"instances": [MIXED[0], list(MIXED[1].values())]}, "instances[1]"),
        ({"instances": [[1, 2]]}, "6 values in model order"),
        ({"instances": [{}]}, "Air temperature [K]"),
        ({"inputs": {}}, "without a column"),
        ({"inputs": 5}, "the number 5"),
        ({"inputs": {"machine": []}}, "at least one value"),
        ({"inputs": {"machine": "L"}}, "inputs.machine"),
        ({"inputs": {"machine": ["L"], "zone": ["1", "2"]}}, "inputs.zone"),
        ({"inputs": {"machine": ["L"]}}, "Air temperature [K]"),
        ({"instances": MIXED, "signature_name": "other"}, "signature_name"),
        ({"instances": MIXED, "parameters": 5}, "parameters"),
        (cell(machine=7), "machine"),
        (cell(running="yes"), "running"),
        (cell(**{"Air temperature [K]": True}), "Air temperature [K]"),
        (cell(**{"Air temperature [K]": "300"}), "Air temperature [K]"),
        (cell(**{"Air temperature [K]": 10**400}), "Air temperature [K]"),
    ],
)
def test_what_cannot_be_used_is_a_400_that_says_why(deployed: Deployed, body: object, said: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = deployed.api.client.post("/v1/models/mixed:predict", content=content)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


@pytest.mark.parametrize("value", [0, -1, True, "3", 1.5])
def test_a_number_of_reasons_that_is_none_is_refused(deployed: Deployed, value: object) -> None:
    body = {"instances": MIXED, "parameters": {"explain": value}}
    answer = deployed.api.client.post("/v1/models/mixed:explain", json=body)
    assert answer.status_code == 400
    assert "parameters.explain" in answer.json()["error"]


@pytest.mark.parametrize("instances", [[[1, 2, 3, True]], [[1, 2, 3, "4"]], [[1, 2, 3, 10**400]], [[1, 2, 3, []]]])
def test_a_list_of_numbers_takes_numbers_alone(deployed: Deployed, instances: list[list[object]]) -> None:
    answer = deployed.api.client.post("/v1/models/species:predict", json={"instances": instances})
    assert answer.status_code == 400
    assert "c03" in answer.json()["error"]


def test_null_is_missing_in_a_list(deployed: Deployed) -> None:
    body = deployed.api.client.post("/v1/models/species:predict", json={"instances": [[None, 1, 2.5, None]]}).json()
    by_name = [{"c00": None, "c01": 1, "c02": 2.5, "c03": None}]
    assert [found["probabilities"] for found in body["predictions"]] == deployed.species.expect(by_name)
    assert body["flags"] == {"0": ["null:c00", "null:c03"]}

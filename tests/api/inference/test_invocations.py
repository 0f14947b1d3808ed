"""MLflow's scoring server and SageMaker's container, as their callers speak to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance import __version__
from appliance.schema import Task
from storage.layout import Layout
from tests.api.inference.conftest import Deployed
from tests.model_bundles import (
    MIXED_COLUMNS,
    deploy,
    numeric_columns,
    prepare_state,
    publish,
    sample_rows,
    train_model,
)
from tests.served_api import ServedApi, serve_api

MIXED = sample_rows(MIXED_COLUMNS, 3)
TO_PRICE = {"X-Amzn-SageMaker-Target-Model": "price"}
TO_MIXED = {"X-Amzn-SageMaker-Target-Model": "mixed"}
CSV = {"content-type": "text/csv"}


def test_health_is_a_bare_line_and_the_version_bare_text(deployed: Deployed) -> None:
    client = deployed.api.client
    for path in ("/ping", "/health"):
        answer = client.get(path, headers={"x-api-key": ""})
        assert (answer.status_code, answer.content) == (200, b"\n")
    assert client.get("/version").text == __version__


def frames(rows: list[dict[str, object]]) -> dict[str, object]:
    """The forms of one frame."""
    return {
        "dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows], "index": [5, 6, 7]},
        "dataframe_records": rows,
        "instances": [list(row.values()) for row in rows],
        "inputs": {name: [row[name] for row in rows] for name in rows[0]},
    }


@pytest.mark.parametrize("form", list(frames(MIXED)))
def test_each_form_of_a_frame_is_answered(deployed: Deployed, form: str) -> None:
    body = {form: frames(MIXED)[form], "params": {"anything": 1}}
    answer = deployed.api.client.post("/invocations", json=body, headers=TO_PRICE)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": [value for (value,) in deployed.price.expect(MIXED)]}
    assert answer.headers["x-model-version"] == "3"


def test_a_prediction_of_classes_is_a_record_as_a_batch_writes_it(deployed: Deployed) -> None:
    answer = deployed.api.client.post("/invocations", json={"dataframe_records": MIXED}, headers=TO_MIXED)
    assert answer.json()["predictions"] == [
        {"prediction": "yes" if value >= 0.5 else "no", "probability_no": 1 - value, "probability_yes": value}
        for (value,) in deployed.mixed.expect(MIXED)
    ]


def test_a_csv_table_is_read_by_each_columns_kind(deployed: Deployed) -> None:
    table = (
        '\ufeffzone,"Air temperature [K]","quote "" and \\ back",machine,running,built_at,more\r\n'
        "10.0,300.25,,ünï,True,2020-01-02T03:04:05Z,x\r\n"
        "\r\n"
        '1,-1e3, 7,"never, seen",0,2020-01-02,\r\n'
    )
    expected = deployed.price.expect(
        [
            {"zone": "10", "Air temperature [K]": 300.25, MIXED_COLUMNS[1].name: None, "machine": "ünï",
             "running": True, "built_at": "2020-01-02T03:04:05Z"},
            {"zone": 1, "Air temperature [K]": -1000, MIXED_COLUMNS[1].name: 7, "machine": "never, seen",
             "running": False, "built_at": "2020-01-02"},
        ]
    )  # fmt: skip
    answer = deployed.api.client.post(
        "/invocations", content=table.encode(), headers={**TO_PRICE, "content-type": "text/csv; charset=utf-8"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [value for (value,) in expected]
    assert answer.json()["flags"] == {"0": ["ignored:more"], "1": ["unseen:machine", "ignored:more"]}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"", "no line;"),
        (b"a,b\n", "one line;"),
        (b"a,a\n1,2\n", "the same name"),
        (b"a,b\n1\n", "row 0 has 1 cells"),
        (b'a,b\n"1,2\n', "not CSV"),
        (b"\xff\n1\n", "not CSV"),
        (b"a\n" + b"x" * 200_000, "not CSV"),
        (b"c00,c01,c02\n1,2,3\n", "c03"),
        (b"c00,c01,c02,c03\n1,2,3,1_000\n", "c03"),
        (b"c00,c01,c02,c03\n1,2,3,NaN\n", "c03"),
        (b"c00,c01,c02,c03\n1,2,3,inf\n", "c03"),
        (b"c00,c01,c02,c03\n1,2,3,four\n", "c03"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_400_that_says_why(deployed: Deployed, table: bytes, said: str) -> None:
    headers = {**CSV, "X-Amzn-SageMaker-Target-Model": "species"}
    answer = deployed.api.client.post("/invocations", content=table, headers=headers)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "BAD_REQUEST", "not JSON"),
        (b"{", "BAD_REQUEST", "not JSON"),
        (json.dumps(MIXED).encode(), "BAD_REQUEST", "the body is a list"),
        (b'{"instances":[[Infinity,1,"L","1",true,null]]}', "INVALID_PARAMETER_VALUE", "Air temperature [K]"),
        (b'{"instances":[[1e999,1,"L","1",true,null]]}', "INVALID_PARAMETER_VALUE", "Air temperature [K]"),
        (b"[" * 100_000, "BAD_REQUEST", "not JSON"),
        ({}, "INVALID_PARAMETER_VALUE", "exactly one of"),
        ({"instances": [], "inputs": {}}, "INVALID_PARAMETER_VALUE", "instances, inputs"),
        ({"dataframe_records": [[1]]}, "INVALID_PARAMETER_VALUE", "dataframe_records"),
        ({"dataframe_records": "x"}, "INVALID_PARAMETER_VALUE", "dataframe_records"),
        ({"dataframe_split": []}, "INVALID_PARAMETER_VALUE", "dataframe_split"),
        ({"dataframe_split": {"columns": ["a"]}}, "INVALID_PARAMETER_VALUE", "dataframe_split.data"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "INVALID_PARAMETER_VALUE", "dataframe_split.data"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "INVALID_PARAMETER_VALUE", "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "INVALID_PARAMETER_VALUE", "same name"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "INVALID_PARAMETER_VALUE", "data[1]"),
        ({"dataframe_records": MIXED, "params": 5}, "INVALID_PARAMETER_VALUE", "params"),
        ({"dataframe_records": [{**MIXED[0], "zone": 1.5}]}, "INVALID_PARAMETER_VALUE", "zone"),
    ],
)
def test_what_cannot_be_used_is_a_400_with_mlflows_code(deployed: Deployed, body: object, code: str, said: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**TO_MIXED, "content-type": "application/json"}
    answer = deployed.api.client.post("/invocations", content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert answer.json()["error_code"] == code
    assert said in answer.json()["message"]


@pytest.mark.parametrize("missing", ["null", "NaN"])
def test_nan_is_missing_as_mlflows_client_writes_it(deployed: Deployed, missing: str) -> None:
    body = f'{{"inputs":{{"c00":[1,2],"c01":[1.5,{missing}],"c02":[0,0],"c03":[0,0]}}}}'.encode()
    headers = {"content-type": "application/json", "X-Amzn-SageMaker-Target-Model": "species"}
    answer = deployed.api.client.post("/invocations", content=body, headers=headers)
    rows: list[dict[str, object]] = [
        {"c00": 1, "c01": 1.5, "c02": 0, "c03": 0},
        {"c00": 2, "c01": None, "c02": 0, "c03": 0},
    ]
    assert [list(row.values())[1:] for row in answer.json()["predictions"]] == deployed.species.expect(rows)
    assert answer.json()["flags"] == {"1": ["null:c01"]}


@pytest.mark.parametrize(
    "kind", ["application/x-npy", "text/plain", "application/x-www-form-urlencoded", "text/csv; charset=latin-1"]
)
def test_another_media_type_is_a_415(deployed: Deployed, kind: str) -> None:
    answer = deployed.api.client.post("/invocations", content=b"{}", headers={**TO_MIXED, "content-type": kind})
    assert answer.status_code == 415
    assert set(answer.json()) == {"error_code", "message"}


def test_a_body_that_does_not_say_what_it_is_is_json(deployed: Deployed) -> None:
    content = json.dumps({"dataframe_records": MIXED}).encode()
    answer = deployed.api.client.post("/invocations", content=content, headers=TO_PRICE)
    assert answer.status_code == 200


def test_with_several_models_and_none_named_the_refusal_names_them(deployed: Deployed) -> None:
    answer = deployed.api.client.post("/invocations", json={"dataframe_records": MIXED})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "mixed, numbers, price, species" in answer.json()["message"]
    unknown = deployed.api.client.post("/invocations", json={}, headers={"X-Amzn-SageMaker-Target-Model": "nope"})
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    ("attributes", "comes_back"),
    [("trace=7; b c", True), ("x" * 1024, True), ("x" * 1025, False), ("a\tb", False), ("ä", False)],
)
def test_custom_attributes_come_back_when_sagemaker_would_let_them_through(
    deployed: Deployed, attributes: str, comes_back: bool
) -> None:
    headers = {
        b"x-amzn-sagemaker-target-model": b"price",
        b"x-amzn-sagemaker-inference-id": b"mine",
        b"x-amzn-sagemaker-custom-attributes": attributes.encode("latin-1"),
    }
    answer = deployed.api.client.post("/invocations", json={"dataframe_records": MIXED}, headers=headers)
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers.get("x-amzn-sagemaker-custom-attributes") == (attributes if comes_back else None)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = prepare_state(tmp_path / "state")
    for name, version in (("one", 1), ("two", 2)):
        publish(layout, train_model(name, version, task=Task.REGRESSION, columns=numeric_columns(2)))
    return layout


BODY = {"instances": [[1, 2]]}


def answered_by(api: ServedApi, path: str = "/invocations") -> str:
    answer = api.client.post(path, json=BODY)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-model-version"]


def test_nothing_deployed_is_not_ready_then_the_only_model_answers(layout: Layout) -> None:
    with serve_api(layout) as api:
        ping = api.client.get("/ping")
        assert (ping.status_code, ping.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        missing = api.client.post("/invocations", json=BODY)
        assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        deploy(layout, {"two": 2})
        api.wait_until_serving("two", 2)
        assert api.client.get("/ping").status_code == 200
        assert answered_by(api) == "2"


def test_a_model_that_cannot_be_loaded_is_not_ready(layout: Layout) -> None:
    (layout.models / "one" / "1" / "model.txt").write_bytes(b"damaged")
    deploy(layout, {"one": 1, "two": 2})
    with serve_api(layout) as api:
        ping = api.client.get("/ping")
        assert (ping.status_code, ping.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert "one" in ping.json()["message"]
        for path in ("/v1/models/one", "/v2/models/one"):
            answer = api.client.get(path)
            assert (answer.status_code, list(answer.json())) == (503, ["error"])


def test_vertex_chooses_port_and_paths_and_the_default_model_answers(layout: Layout) -> None:
    deploy(layout, {"one": 1, "two": 2})
    settings = {
        "APPLIANCE_DEFAULT_MODEL": "two", "AIP_HEALTH_ROUTE": "/v1/endpoints/7/deployedModels/8",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/7/deployedModels/8:predict", "AIP_STORAGE_URI": "gs://elsewhere/model",
    }  # fmt: skip
    with serve_api(layout, settings, port_variable="AIP_HTTP_PORT") as api:
        api.wait_until_serving("two", 2)
        health = api.client.get(settings["AIP_HEALTH_ROUTE"], headers={"x-api-key": ""})
        assert health.status_code == 200
        assert answered_by(api, settings["AIP_PREDICT_ROUTE"]) == "2"
        assert answered_by(api) == "2"
        answer = api.client.post(settings["AIP_PREDICT_ROUTE"], json={"instances": []})
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
        wrong = api.client.get(settings["AIP_PREDICT_ROUTE"])
        assert (wrong.status_code, list(wrong.json())) == (405, ["error"])

"""The Open Inference Protocol V2, as its clients speak it."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from appliance.schema import Kind
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, numeric_columns, sample_rows

DATATYPES = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL", Kind.CATEGORY: "BYTES", Kind.DATETIME: "BYTES"}


def columns_of(rows: list[dict[str, Any]], *, nested: bool = False) -> list[dict[str, Any]]:
    """One named input a column, as MLServer's pandas codec sends it."""
    return [
        {
            "name": column.name,
            "shape": [len(rows), 1] if nested else [len(rows)],
            "datatype": "INT64" if column.integer else DATATYPES[column.kind],
            "parameters": {"content_type": "str"} if column.kind is Kind.CATEGORY else None,
            "data": [[row[column.name]] if nested else row[column.name] for row in rows],
        }
        for column in MIXED_COLUMNS
    ]


def outputs_of(body: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output for output in body["outputs"]}


def test_the_server_and_its_health(deployed: Deployed) -> None:
    client = deployed.api.client
    assert client.get("/v2").json()["name"] == "mlops-appliance"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert client.get("/v2/models").json() == {"models": ["mixed", "numbers", "price", "species"]}
    index = client.post("/v2/repository/index", json={}).json()
    assert {"name": "price", "version": "3", "state": "READY", "reason": ""} in index


@pytest.mark.parametrize("path", ["/v2/models/mixed", "/v2/models/mixed/versions/1"])
def test_a_models_metadata_names_each_column(deployed: Deployed, path: str) -> None:
    found = deployed.api.client.get(path).json()
    assert (found["name"], found["versions"], found["platform"]) == ("mixed", ["1"], "lightgbm")
    assert [(tensor["name"], tensor["datatype"]) for tensor in found["inputs"]] == [
        (column.name, DATATYPES[column.kind]) for column in MIXED_COLUMNS
    ]
    assert [output["name"] for output in found["outputs"]] == ["prediction", "probabilities", "raw"]
    assert deployed.api.client.get(f"{path}/ready").json() == {"name": "mixed", "ready": True}


@pytest.mark.parametrize("nested", [False, True])
def test_one_input_a_column(deployed: Deployed, nested: bool) -> None:
    rows = sample_rows(MIXED_COLUMNS, 4)
    rows[1][MIXED_COLUMNS[1].name] = None
    rows[2]["machine"] = "unknown"
    answer = deployed.api.client.post("/v2/models/mixed/infer", json={"inputs": columns_of(rows, nested=nested)})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model_name"], body["model_version"]) == ("mixed", "1")
    expected = [value for (value,) in deployed.mixed.expect(rows)]
    outputs = outputs_of(body)
    assert outputs["probabilities"]["shape"] == [4, 2]
    assert outputs["probabilities"]["data"][1::2] == expected
    assert outputs["raw"]["data"] == deployed.mixed.raw(rows)
    assert outputs["prediction"]["datatype"] == "BYTES"
    assert outputs["prediction"]["data"] == ["yes" if value >= 0.5 else "no" for value in expected]
    assert json.loads(body["parameters"]["flags"]) == {"2": ["unseen:machine"]}


@pytest.mark.parametrize("nested", [False, True])
def test_one_tensor_in_model_order(deployed: Deployed, nested: bool) -> None:
    rows = sample_rows(numeric_columns(4), 3)
    data = [list(row.values()) for row in rows]
    flat = data if nested else [value for row in data for value in row]
    tensor = {"name": "input-0", "shape": [3, 4], "datatype": "FP64", "data": flat}
    body = deployed.api.client.post("/v2/models/species/versions/2/infer", json={"inputs": [tensor]}).json()
    assert np.reshape(outputs_of(body)["probabilities"]["data"], (3, 3)).tolist() == deployed.species.expect(rows)


def test_one_tensor_of_strings_for_a_model_with_categories_is_not_cast(deployed: Deployed) -> None:
    row = [str(value) for value in sample_rows(MIXED_COLUMNS, 1)[0].values()]
    tensor = {"name": "x", "shape": [1, len(row)], "datatype": "BYTES", "data": row}
    answer = deployed.api.client.post("/v2/models/mixed/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert "Air temperature [K]" in answer.json()["error"]


def test_null_is_missing_in_a_tensor(deployed: Deployed) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [None, 1, 2.5, None]}
    body = deployed.api.client.post("/v2/models/species/infer", json={"inputs": [tensor]}).json()
    expected = deployed.species.expect_matrix(np.array([[np.nan, 1, 2.5, np.nan]]))
    assert outputs_of(body)["probabilities"]["data"] == expected[0]


def test_a_regression_gives_its_value(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 2)
    body = deployed.api.client.post("/v2/models/price/infer", json={"id": "a", "inputs": columns_of(rows)}).json()
    assert body["id"] == "a"
    (output,) = body["outputs"]
    assert (output["name"], output["shape"], output["datatype"]) == ("prediction", [2], "FP64")
    assert [[value] for value in output["data"]] == deployed.price.expect(rows)


def test_only_the_outputs_that_are_asked_for(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 1)
    request = {"inputs": columns_of(rows), "outputs": [{"name": "prediction"}]}
    body = deployed.api.client.post("/v2/models/mixed/infer", json=request).json()
    assert list(outputs_of(body)) == ["prediction"]


def test_its_predictions_take_labels_by_their_token(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 2)
    body = deployed.api.client.post("/v2/models/price/infer", json={"inputs": columns_of(rows)}).json()
    labels = [{"id": f"{body['parameters']['prediction_token']}.1", "label": 3.5}]
    answer = deployed.api.client.post("/models/price/labels", json={"labels": labels})
    assert answer.json() == {"accepted": 1, "unknown": []}


def binary_body(inputs: list[dict[str, Any]], contents: list[bytes], **more: Any) -> tuple[bytes, dict[str, str]]:
    for tensor, content in zip(inputs, contents, strict=True):
        tensor["parameters"] = {"binary_data_size": len(content)}
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + b"".join(contents), {"Inference-Header-Content-Length": str(len(head))}


def packed(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


@pytest.mark.parametrize(
    "dtype", [("FP64", "<f8"), ("FP32", "<f4"), ("INT32", "<i4"), ("UINT8", "u1"), ("FP16", "<f2")]
)
def test_a_binary_tensor_and_a_binary_answer(deployed: Deployed, dtype: tuple[str, str]) -> None:
    matrix = np.arange(12).reshape(3, 4).astype(dtype[1])
    body, headers = binary_body(
        [{"name": "x", "shape": [3, 4], "datatype": dtype[0]}], [matrix.tobytes()],
        outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "prediction"}],
    )  # fmt: skip
    answer = deployed.api.client.post("/v2/models/species/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    head = json.loads(answer.content[:length])
    outputs = outputs_of(head)
    found = np.frombuffer(answer.content[length:], dtype="<f8").reshape(3, 3)
    assert outputs["probabilities"]["parameters"]["binary_data_size"] == found.nbytes
    assert "data" not in outputs["probabilities"]
    assert len(outputs["prediction"]["data"]) == 3
    assert found.tolist() == deployed.species.expect_matrix(matrix.astype(np.float64))


def test_binary_columns_with_strings_and_missing_numbers(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 3)
    rows[0][MIXED_COLUMNS[1].name] = None
    inputs, contents = [], []
    for column in MIXED_COLUMNS:
        values = [row[column.name] for row in rows]
        kind = "INT64" if column.integer else DATATYPES[column.kind]
        inputs.append({"name": column.name, "shape": [3, 1], "datatype": kind})
        numbers = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}
        contents.append(packed(values) if kind == "BYTES" else np.array(values, dtype=numbers[kind]).tobytes())
    body, headers = binary_body(inputs, contents, parameters={"binary_data_output": True})
    answer = deployed.api.client.post("/v2/models/mixed/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    outputs = outputs_of(json.loads(answer.content[:length]))
    labels = outputs["prediction"]["parameters"]["binary_data_size"]
    shares = outputs["probabilities"]["parameters"]["binary_data_size"]
    found = np.frombuffer(answer.content[length + labels : length + labels + shares], dtype="<f8")
    raw = np.frombuffer(answer.content[length + labels + shares :], dtype="<f8")
    assert raw.tolist() == deployed.mixed.raw(rows)
    assert [[value] for value in found[1::2]] == deployed.mixed.expect(rows)
    assert answer.content[length : length + labels] == packed(
        ["yes" if value >= 0.5 else "no" for value in found[1::2]]
    )


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4], **changes}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[NaN,1,2,3]}]}',
        {},
        {"inputs": []},
        tensor(datatype="FP128"),
        tensor(shape=[1, 3]),
        tensor(shape=[4]),
        tensor(shape=[-1, 4]),
        tensor(shape=[0, 4]),
        tensor(shape=[]),
        tensor(data=[1, 2, 3]),
        tensor(data=None),
        tensor(data=5),
        tensor(data=["1", "2", "3", "4"]),
        tensor(data=[[1, 2], 3, 4]),
        tensor(data=[10**400, 1, 2, 3]),
        {**tensor(), "outputs": [{"name": "nope"}]},
        {**tensor(), "id": 5},
        {"inputs": [*tensor()["inputs"], *tensor()["inputs"]]},
        {
            "inputs": [
                {"name": f"c0{at}", "shape": [at + 1], "datatype": "FP64", "data": [1.0] * (at + 1)} for at in range(4)
            ]
        },
        {"inputs": [{"name": "c00", "shape": [1], "datatype": "FP64", "data": [1.0]}]},
        {"inputs": [{"name": f"c0{at}", "shape": [1], "datatype": "BYTES", "data": ["1"]} for at in range(4)]},
    ],
)
def test_what_cannot_be_used_is_a_400_in_the_protocols_shape(deployed: Deployed, body: dict[str, Any] | bytes) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = deployed.api.client.post("/v2/models/species/infer", content=content)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("size", "declared", "length"),
    [(32, 32, "9999"), (32, 32, "x"), (32, 24, None), (24, 24, None), (32, -1, None), (32, "32", None), (40, 32, None)],
)
def test_bytes_that_do_not_fit_their_header_are_a_400(
    deployed: Deployed, size: int, declared: object, length: str | None
) -> None:
    request = {
        "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "parameters": {"binary_data_size": declared}}]
    }
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    answer = deployed.api.client.post("/v2/models/species/infer", content=head + bytes(size), headers=headers)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "content", [b"\x01", b"\xff\xff\xff\xff", struct.pack("<I", 1) + b"\xff", packed(["a", "b"])[:-1]]
)
def test_strings_that_are_not_length_prefixed_are_a_400(deployed: Deployed, content: bytes) -> None:
    body, headers = binary_body([{"name": "machine", "shape": [1], "datatype": "BYTES"}], [content])
    answer = deployed.api.client.post("/v2/models/mixed/infer", content=body, headers=headers)
    assert answer.status_code == 400

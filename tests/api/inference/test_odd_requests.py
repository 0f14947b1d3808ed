"""Requests as proxies, editors and sloppy clients send them: read as they are meant, or refused with a sentence."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, sample_rows

PREDICT = json.dumps({"rows": sample_rows(MIXED_COLUMNS, 2)}).encode()
NUMBERS = [[float(row + column) for column in range(4)] for row in range(3)]
BODIES = {
    "/models/mixed/predict": PREDICT,
    "/models/mixed/labels": b'{"labels":[{"id":"x","label":"no"}]}',
    "/v1/models/species:predict": json.dumps({"instances": NUMBERS}).encode(),
    "/v2/models/species/infer": json.dumps(
        {"inputs": [{"name": "x", "shape": [3, 4], "datatype": "FP64", "data": NUMBERS}]}
    ).encode(),
    "/invocations": json.dumps({"inputs": NUMBERS}).encode(),
}
HEADERS = {"content-type": "application/json", "x-amzn-sagemaker-target-model": "species"}


@pytest.fixture
def stranger(deployed: Deployed) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=deployed.api.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("padding", [0, 40_000], ids=["small", "large"])
@pytest.mark.parametrize("path", list(BODIES))
def test_a_byte_order_mark_is_dropped(deployed: Deployed, path: str, padding: int) -> None:
    body = BODIES[path] + b" " * padding
    plain, marked = (
        deployed.api.client.post(path, content=content, headers=HEADERS) for content in (body, BOM_UTF8 + body)
    )
    assert plain.status_code == marked.status_code == (202 if path.endswith("labels") else 200)
    if not path.endswith("labels"):
        assert values_of(plain.json()) == values_of(marked.json())


def values_of(answer: dict[str, Any]) -> object:
    """What an answer predicts, without its ids."""
    found = answer.get("outputs") or answer["predictions"]
    return [{name: part for name, part in one.items() if name != "id"} for one in found]


@pytest.mark.parametrize("coding", ["gzip", "br", "GZip , identity", "gzip," + "x" * 200])
@pytest.mark.parametrize("path", list(BODIES))
def test_a_coded_body_is_refused_with_a_sentence(deployed: Deployed, path: str, coding: str) -> None:
    headers = {**HEADERS, "content-encoding": coding}
    for _ in range(3):  # the head is read, remembered, known
        answer = deployed.api.client.post(path, content=gzip.compress(BODIES[path]), headers=headers)
        assert answer.status_code == 415
        said = answer.json()
        sentence = said.get("detail") or said.get("error") or said.get("message")
        assert sentence.startswith(f"the body is coded (Content-Encoding: {coding[:100]}); accepted: a body as it is")


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "utf-8", "application/json"])
def test_a_body_that_is_said_to_be_as_it_is_is_read(deployed: Deployed, coding: str) -> None:
    headers = {**HEADERS, "content-encoding": coding}
    assert deployed.api.client.post("/models/mixed/predict", content=PREDICT, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "added",
    ["Basic " + b64encode(b"alice:secret").decode(), "Bearer eyJhbGciOi.x.y", "Digest x", "Negotiate", ""],
)
def test_what_a_proxy_adds_takes_nothing_from_x_api_key(deployed: Deployed, stranger: httpx.Client, added: str) -> None:
    headers = {"x-api-key": deployed.api.key, "authorization": added}
    assert stranger.get("/models", headers=headers).status_code == 200


def test_a_gateways_own_x_api_key_takes_nothing_from_the_credentials(
    deployed: Deployed, stranger: httpx.Client
) -> None:
    headers = {"x-api-key": "the gateway's", "authorization": f"Bearer {deployed.api.key}"}
    assert [stranger.get("/models", headers=headers).status_code for _ in range(3)] == [200] * 3
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic ?"}):
        assert stranger.get("/models", headers={"x-api-key": "the gateway's", **wrong}).status_code == 401


RAGGED: dict[str, tuple[list[int], list[Any], str]] = {
    "ragged": ([2, 4], [[1, 2, 3, 4, 5], [6, 7, 8]], "2 lists of 3 or 5 values"),
    "turned": ([2, 4], [[1, 2], [3, 4], [5, 6], [7, 8]], "4 lists of 2 values"),
    "one list": ([2, 4], [[1, 2, 3, 4, 5, 6, 7, 8]], "1 lists of 8 values"),
    "too deep": ([2, 4], [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "2 lists of 2 values"),
    "deeper than its shape": ([2, 4], [[[1], [2], [3], [4]], [[5], [6], [7], [8]]], "8 lists of 1 values"),
}


@pytest.mark.parametrize("case", list(RAGGED))
@pytest.mark.parametrize("times", [1, 800], ids=["small", "large"])
def test_nested_data_is_held_against_the_shape(deployed: Deployed, case: str, times: int) -> None:
    (rows, width), data, found = RAGGED[case]
    tensor = {"name": "x", "shape": [rows * times, width], "datatype": "FP64", "data": data * times}
    answer = deployed.api.client.post("/v2/models/species/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    if times == 1:
        assert found in answer.json()["error"]
    assert f"lists as the shape [{rows * times}, 4] says" in answer.json()["error"]


@pytest.mark.parametrize("times", [1, 800], ids=["small", "large"])
def test_flat_and_nested_data_of_one_shape_are_the_same(deployed: Deployed, times: int) -> None:
    nested = NUMBERS * times
    flat = [cell for row in nested for cell in row]
    tensor = {"name": "x", "shape": [len(nested), 4], "datatype": "FP64"}
    first, second = (
        deployed.api.client.post("/v2/models/species/infer", json={"inputs": [{**tensor, "data": data}]})
        for data in (nested, flat)
    )
    assert first.status_code == second.status_code == 200
    assert first.json()["outputs"] == second.json()["outputs"]


@pytest.mark.parametrize(
    ("path", "member", "words"),
    [
        ("/models/mixed/predict", "rows", "detail"),
        ("/v1/models/mixed:predict", "instances", "error"),
        ("/invocations", "dataframe_records", "message"),
    ],
)
def test_text_in_another_encoding_is_called_so(deployed: Deployed, path: str, member: str, words: str) -> None:
    row = sample_rows(MIXED_COLUMNS, 1)[0] | {"machine": "é"}
    answer = deployed.api.client.post(
        path, content=json.dumps({member: [row]}, ensure_ascii=False).encode("latin-1"),
        headers={"Content-Type": "application/json", "X-Amzn-SageMaker-Target-Model": "mixed"},
    )  # fmt: skip
    assert answer.status_code == 400
    assert answer.json()[words] == "the body is not UTF-8: a text in it has the byte 0xe9; send JSON in UTF-8"


def test_as_many_reasons_as_there_are_may_be_asked_for_by_any_number(deployed: Deployed) -> None:
    (row,) = sample_rows(MIXED_COLUMNS, 1)
    most = deployed.api.client.post("/models/mixed/predict", json={"rows": [row], "explain": 10**6})
    assert len(most.json()["predictions"][0]["reasons"]) == len(MIXED_COLUMNS)
    none = deployed.api.client.post("/models/mixed/predict", json={"rows": [row], "explain": -1})
    assert none.json()["accepted"] == "a whole number from 0 on"

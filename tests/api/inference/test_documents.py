"""The API's own documents: what they give to copy works as it stands, and their schemas hold."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from appliance.schema import Column, Kind, Task
from tests.model_bundles import MIXED_COLUMNS, deploy, prepare_state, publish, train_model
from tests.served_api import ServedApi, serve_api

COLUMNS = (Column(name="driver's age", kind=Kind.NUMBER), *MIXED_COLUMNS)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    for name, version, task in (("fares", 3, Task.REGRESSION), ("tips", 1, Task.BINARY)):
        publish(layout, train_model(name, version, task=task, columns=COLUMNS))
    deploy(layout, {"fares": 3, "tips": 1})
    with serve_api(layout) as served:
        yield served


def test_every_command_of_the_page_works_in_a_shell_as_it_is_copied(api: ServedApi) -> None:
    page = api.client.get("/docs").text
    commands = [unescape(text) for text in re.findall(r"<p>Try it</p><pre>(.*?)</pre>", page, re.DOTALL)]
    document = api.client.get("/openapi.json").json()
    assert len(commands) == sum(len(item.keys() - {"parameters"}) for item in document["paths"].values())
    failed = {}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace("curl", "curl -sSf", 1)], env={**os.environ, "KEY": api.key},
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            failed[command] = done.stderr
    assert not failed


def test_each_answer_has_the_type_that_the_document_says(api: ServedApi) -> None:
    document = api.client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        examples = {one["name"]: one["example"] for one in item.get("parameters", ()) if one["in"] == "path"}
        for method, operation in item.items():
            if method == "parameters" or "requestBody" in operation:
                continue
            answer = api.client.request(method, path.format(**examples))
            (media, shape), *more = operation["responses"]["2XX"]["content"].items()
            assert not more
            assert answer.headers["content-type"].split(";")[0] == media, path
            if media == "application/json":
                kind = {"object": dict, "array": list}[shape["schema"]["type"]]
                assert isinstance(answer.json(), kind), path


def test_just_what_the_document_lets_be_null_may_be_null(api: ServedApi) -> None:
    document = api.client.get("/openapi.json").json()
    wrong, nullable = [], 0
    for path, item in document["paths"].items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if not content:
            continue
        parameters = {one["name"]: one["example"] for one in item.get("parameters", ())}
        headers = {"authorization": f"Bearer {api.key}"}
        if "X-Amzn-SageMaker-Target-Model" in parameters:
            headers["X-Amzn-SageMaker-Target-Model"] = parameters["X-Amzn-SageMaker-Target-Model"]
        for name, shape in content["schema"]["properties"].items():
            may = "null" in shape.get("type", ())
            nullable += may
            body = {**content["example"], name: None}
            answer = api.client.post(path.format(**parameters), json=body, headers=headers)
            if answer.is_success is not may:
                wrong.append((path, name, answer.text))
    assert not wrong
    assert nullable > 8


def test_the_page_of_an_api_without_models_names_its_paths(tmp_path: Path) -> None:
    with serve_api(prepare_state(tmp_path)) as served:
        assert "/v2/models/{model}/infer" in served.client.get("/docs").text

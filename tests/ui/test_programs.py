"""What stands on the page to be pasted: it parses, quotes what needs it, and asks in the dialect's own words."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from appliance.schema import Column, FeatureSchema, Kind, Task
from storage.csv_checks import NULL_WORDS
from ui.programs import DIALECTS, LANGUAGES, Question, program, score_by_job

SCHEMA = FeatureSchema(
    model="m", version=1, task=Task.REGRESSION, target="y",
    columns=(
        Column(name="it's", kind=Kind.CATEGORY, levels=("O'Hara",)), Column(name="n", kind=Kind.NUMBER),
        Column(name="ok", kind=Kind.BOOLEAN), Column(name="gone", kind=Kind.NUMBER),
    ),
)  # fmt: skip
QUESTION = Question(
    api_url="http://127.0.0.1:8000",
    model="m",
    schema=SCHEMA,
    row={"it's": "O'Hara", "n": 1.5, "ok": True, "gone": None},
)
PATHS = {"native": "/models/m/predict", "v2": "/v2/models/m/infer", "v1": "/v1/models/m:predict",
         "invocations": "/invocations"}  # fmt: skip


def body_of(dialect: str) -> dict[str, object]:
    words = shlex.split(program(QUESTION, dialect, "curl").replace("\\\n", " "))
    assert words[:3] == ["curl", "-s", QUESTION.api_url + PATHS[dialect]]
    body = json.loads(words[words.index("-d") + 1])
    assert isinstance(body, dict)
    return body


def test_each_dialect_has_its_own_body() -> None:
    row = {"it's": "O'Hara", "n": 1.5, "ok": True, "gone": None}
    assert body_of("native") == {"rows": [row]}
    assert body_of("v1") == {"instances": [row]}
    assert body_of("invocations") == {"dataframe_records": [row]}
    assert body_of("v2") == {"inputs": [
        {"name": "it's", "shape": [1], "datatype": "BYTES", "data": ["O'Hara"], "parameters": {"content_type": "str"}},
        {"name": "n", "shape": [1], "datatype": "FP64", "data": [1.5]},
        {"name": "ok", "shape": [1], "datatype": "BOOL", "data": [True]},
        {"name": "gone", "shape": [1], "datatype": "FP64", "data": [None]},
    ]}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_python_is_python(dialect: str) -> None:
    tree = ast.parse(program(QUESTION, dialect, "python"))
    assigned = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(assigned.value) == body_of(dialect)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_key_comes_from_the_environment_until_one_is_filled_in(language: str) -> None:
    assert "KEY" in program(QUESTION, "native", language)
    filled = Question(
        api_url=QUESTION.api_url, model="m", schema=SCHEMA, row={}, key="apk_secret",
    )  # fmt: skip
    assert "Bearer apk_secret" in program(filled, "native", language)
    assert "KEY" not in program(filled, "native", language)


def test_only_invocations_name_the_model_in_a_header() -> None:
    named = {dialect for dialect in DIALECTS if "Target-Model: m" in program(QUESTION, dialect, "curl")}
    assert named == {"invocations"}


def test_the_batch_program_is_python_that_knows_which_columns_are_text() -> None:
    tree = ast.parse(program(QUESTION, "v2", "batch"))
    given = {
        node.targets[0].id: node.value
        for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }  # fmt: skip
    assert ast.literal_eval(given["columns"]) == ["it's", "n", "ok", "gone"]
    assert ast.literal_eval(given["texts"]) == ["it's"]
    assert ast.literal_eval(given["missing"]) == NULL_WORDS
    assert QUESTION.api_url + PATHS["native"] in program(QUESTION, "v2", "batch")


def test_the_job_is_asked_for_where_the_browser_found_the_dashboard() -> None:
    assert score_by_job("https://box.example:8444", "m").count("https://box.example:8444/api/") == 3

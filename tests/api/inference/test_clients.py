"""The field's own clients get the bits of LightGBM, and the refusals that they know how to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance import __version__
from appliance.schema import Kind, Task
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
from tests.served_api import serve_api

TESTS = Path(__file__).parents[2]
PYTHON = TESTS / ".artifacts" / "clients" / "bin" / "python"
DATATYPES = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL", Kind.CATEGORY: "BYTES", Kind.DATETIME: "BYTES"}
MIXED = sample_rows(MIXED_COLUMNS, 5)
NUMBERS = [list(row.values()) for row in sample_rows(numeric_columns(28), 5)]


def ask(deployed: Deployed, program: str, **request: Any) -> dict[str, Any]:
    """What a program of ``tests/clients`` was answered."""
    if not PYTHON.exists():
        pytest.skip("the environment of the field's clients is not there; 'tests/run unit' makes it")
    return run(
        PYTHON, program, address=f"127.0.0.1:{deployed.api.port}", key=deployed.api.key, model="mixed", **request
    )


def run(python: str | Path, program: str, **request: Any) -> dict[str, Any]:
    found = subprocess.run(
        [python, TESTS / "clients" / program], input=json.dumps(request), capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    answers: dict[str, Any] = json.loads(found.stdout)
    return answers


def shares(outputs: list[list[float]]) -> list[list[float]]:
    return [[1 - value, value] for (value,) in outputs]


def labels(outputs: list[list[float]]) -> list[str]:
    return ["yes" if value >= 0.5 else "no" for (value,) in outputs]


def numbers_by_name() -> list[dict[str, float]]:
    return [dict(zip((column.name for column in numeric_columns(28)), row, strict=True)) for row in NUMBERS]


def test_tritons_client_in_json_and_in_binary(deployed: Deployed) -> None:
    columns = {
        column.name: {
            "datatype": "INT64" if column.integer else DATATYPES[column.kind],
            "values": [row[column.name] for row in MIXED],
        }
        for column in MIXED_COLUMNS
    }
    found = ask(deployed, "triton.py", version="1", numbers=NUMBERS, columns=columns)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["server"]["version"] == __version__
    assert [tensor["name"] for tensor in found["model"]["inputs"]] == [column.name for column in MIXED_COLUMNS]
    assert {"name": "mixed", "version": "1", "state": "READY", "reason": ""} in found["index"]
    for way in ("json", "binary"):
        assert found[f"tensor_{way}"] == shares(deployed.numbers.expect(numbers_by_name()))
        assert found[f"columns_{way}"] == shares(deployed.mixed.expect(MIXED))
        assert found[f"labels_{way}"] == labels(deployed.mixed.expect(MIXED))
        assert found[f"id_{way}"] == "mine"
    for case, status, said in (
        ("no_key", "401", "API key"),
        ("no_model", "404", "nope"),
        ("no_version", "404", "99"),
        ("wrong_shape", "400", "c00"),
    ):
        assert found[case][0] == status
        assert said in found[case][1]


def test_mlservers_codecs_and_types(deployed: Deployed) -> None:
    found = ask(deployed, "mlserver_codecs.py", numbers=NUMBERS, rows=MIXED)
    mixed, numbers = deployed.mixed.expect(MIXED), deployed.numbers.expect(numbers_by_name())
    for case, expected in (("pandas", mixed), ("pandas_bytes", mixed), ("numpy", numbers)):
        assert found[case] == {"labels": labels(expected), "probabilities": shares(expected)}
    assert found["inputs"] == [column.name for column in MIXED_COLUMNS]
    assert ["price", "3", "READY"] in found["index"]


def test_mlflows_own_scoring_client(tmp_path: Path) -> None:
    layout = prepare_state(tmp_path / "state")
    trained = train_model("only", 4, task=Task.BINARY, columns=numeric_columns(3))
    publish(layout, trained)
    deploy(layout, {"only": 4})
    rows = sample_rows(numeric_columns(3), 5)
    with serve_api(layout) as api:
        api.wait_until_serving("only", 4)
        found = run(sys.executable, "mlflow_scoring.py", host=f"any:{api.key}@127.0.0.1", port=api.port, rows=rows)
    assert found["version"] == __version__

    def frame(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
        outputs = trained.expect(rows)
        both = shares(outputs)
        return {
            "prediction": labels(outputs), "probability_no": [no for no, _ in both],
            "probability_yes": [yes for _, yes in both],
        }  # fmt: skip

    assert found["frame"] == frame(rows)
    assert found["frame_nulls"] == frame([{**row, "c01": None} for row in rows])
    assert [row["probability_yes"] for row in found["array"]] == frame(rows)["probability_yes"]
    for said in ("400", "INVALID_PARAMETER_VALUE", "c00"):
        assert said in found["refused"]


def test_a_caller_as_tensorflow_serving_documents_it(deployed: Deployed) -> None:
    import requests

    url = f"http://any:{deployed.api.key}@127.0.0.1:{deployed.api.port}/v1/models/price"
    status = requests.get(url, timeout=30).json()["model_version_status"]
    assert status == [{"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    data = json.dumps({"signature_name": "serving_default", "instances": MIXED})
    answer = requests.post(f"{url}:predict", data=data, headers={"content-type": "application/json"}, timeout=30)
    expected = [value for (value,) in deployed.price.expect(MIXED)]
    assert json.loads(answer.text)["predictions"] == expected
    columns = {name: [row[name] for row in MIXED] for name in MIXED[0]}
    answer = requests.post(f"{url}/versions/3:predict", json={"inputs": columns}, timeout=30)
    assert answer.json() == {"outputs": expected}
    assert "error" in requests.post(f"{url}:predict", data="{", timeout=30).json()

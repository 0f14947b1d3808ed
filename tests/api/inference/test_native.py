from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from appliance.api.inference.native import Truth, _read_truth
from appliance.events import LabelEvent, PredictionEvent
from appliance.schema import Task
from storage.eventlog import list_segments, scan_ids
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, numeric_columns, sample_rows


def event_of(deployed: Deployed, prediction_id: str) -> PredictionEvent:
    token = prediction_id.rpartition(".")[0].encode()
    (line,) = scan_ids(deployed.layout.events / "predictions", {token})
    return msgspec.json.decode(line, type=PredictionEvent)


def test_binary_rows_are_answered_with_label_probabilities_and_ids(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 5)
    answer = deployed.api.client.post("/models/mixed/predict", json={"rows": rows})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["version"]) == ("mixed", 1)
    assert answer.headers["x-model-version"] == "1"
    assert answer.headers["x-request-id"] == body["request_id"]
    assert uuid.UUID(body["request_id"]).version == 7
    for prediction, (expected,) in zip(body["predictions"], deployed.mixed.expect(rows), strict=True):
        assert prediction["probabilities"] == {"no": 1 - expected, "yes": expected}
        assert prediction["label"] == ("yes" if expected >= 0.5 else "no")
        assert prediction["flags"] == []
    assert [prediction["raw"] for prediction in body["predictions"]] == deployed.mixed.raw(rows)
    ids = [prediction["id"] for prediction in body["predictions"]]
    assert [found.rpartition(".")[2] for found in ids] == ["0", "1", "2", "3", "4"]
    assert len({found.rpartition(".")[0] for found in ids}) == 1


def test_regression_is_answered_with_a_value(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 2)
    body = deployed.api.client.post("/models/price/predict", json={"rows": rows}).json()
    assert [[prediction["value"]] for prediction in body["predictions"]] == deployed.price.expect(rows)
    assert body["version"] == 3


def test_multiclass_is_answered_with_the_likeliest_label(deployed: Deployed) -> None:
    rows = sample_rows(numeric_columns(4), 3)
    body = deployed.api.client.post("/models/species/predict", json={"rows": rows}).json()
    for prediction, expected in zip(body["predictions"], deployed.species.expect(rows), strict=True):
        assert list(prediction["probabilities"].values()) == expected
        assert prediction["label"] == "abc"[int(np.argmax(expected))]
    assert [value for found in body["predictions"] for value in found["raw"].values()] == deployed.species.raw(rows)
    assert list(body["predictions"][0]["raw"]) == ["a", "b", "c"]


def test_odd_values_are_flagged_and_recorded(deployed: Deployed) -> None:
    row = {**sample_rows(MIXED_COLUMNS, 1)[0], "machine": "Q", "running": None, "extra": 1}
    body = deployed.api.client.post("/models/mixed/predict", json={"rows": [row]}).json()
    (prediction,) = body["predictions"]
    assert prediction["flags"] == ["unseen:machine", "null:running", "ignored:extra"]
    event = event_of(deployed, prediction["id"])
    assert event.u == [(0, 2, "Q")]
    assert event.x[2] == -1.0
    assert event.x[4] is None


def test_the_event_holds_what_was_asked_and_answered(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 2)
    before = datetime.now(UTC).timestamp() * 1e6
    body = deployed.api.client.post(
        "/models/price/predict", json={"rows": rows, "key": "order-7", "time": "2020-01-02T03:04:05.5Z"}
    ).json()
    event = event_of(deployed, body["predictions"][0]["id"])
    assert (event.m, event.v, event.n, event.d, event.r, event.k) == ("price", 3, 2, "native", "champion", "order-7")
    assert event.t == int(datetime(2020, 1, 2, 3, 4, 5, 500_000, UTC).timestamp() * 1e6)
    assert before <= event.at <= datetime.now(UTC).timestamp() * 1e6
    assert event.us > 0
    assert event.y == [prediction["value"] for prediction in body["predictions"]]
    assert len(event.x) == 2 * len(MIXED_COLUMNS)


def test_a_large_request_is_recorded_as_raw_numbers(deployed: Deployed) -> None:
    rows = sample_rows(numeric_columns(28), 1000)
    body = deployed.api.client.post("/models/numbers/predict", json={"rows": rows}).json()
    assert [[found["probabilities"]["yes"]] for found in body["predictions"]] == deployed.numbers.expect(rows)
    event = event_of(deployed, body["predictions"][999]["id"])
    assert isinstance(event.x, str)
    matrix = np.frombuffer(base64.b64decode(event.x), dtype="<f8").reshape(event.n, 28)
    assert matrix.tolist() == [list(row.values()) for row in rows]
    assert event.y == [found["probabilities"]["yes"] for found in body["predictions"]]


def test_reasons_are_the_largest_contributions_in_a_persons_terms(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 1)
    body = deployed.api.client.post("/models/mixed/predict", json={"rows": rows, "explain": 99}).json()
    reasons = body["predictions"][0]["reasons"]
    assert {reason["field"] for reason in reasons} == {column.name for column in MIXED_COLUMNS}
    sizes = [abs(reason["contribution"]) for reason in reasons]
    assert sizes == sorted(sizes, reverse=True)
    by_field = {reason["field"]: reason["value"] for reason in reasons}
    assert by_field["machine"] == rows[0]["machine"]
    assert by_field["zone"] == str(rows[0]["zone"])
    assert by_field["running"] is rows[0]["running"]
    assert by_field["built_at"] == rows[0]["built_at"].replace("+00:00", "Z")
    two = deployed.api.client.post("/models/mixed/predict", json={"rows": rows, "explain": 2}).json()
    assert two["predictions"][0]["reasons"] == reasons[:2]


def change(**cells: Any) -> dict[str, Any]:
    return {"rows": [{**sample_rows(MIXED_COLUMNS, 1)[0], **cells}]}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"[1]", 400, None),
        (b"null", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b'{"rows":[{}],"x":NaN}', 422, "x"),
        ({}, 422, "rows"),
        ({"rows": []}, 422, "rows"),
        ({"rows": {}}, 422, "rows"),
        ({"rows": [1]}, 422, "rows[0]"),
        ({"rows": [{}]}, 422, "Air temperature [K]"),
        ({**change(), "extra": 1}, 422, "extra"),
        ({**change(), "explain": -1}, 422, "explain"),
        ({**change(), "explain": "3"}, 422, "explain"),
        ({**change(), "explain": True}, 422, "explain"),
        ({**change(), "key": 1}, 422, "key"),
        ({**change(), "time": "soon"}, 422, "time"),
        ({**change(), "time": 5}, 422, "time"),
        ({**change(), "time": "1492-10-12"}, 422, "time"),
        (change(machine=7), 422, "machine"),
        (change(running="yes"), 422, "running"),
        (change(built_at="noon"), 422, "built_at"),
        (change(**{"Air temperature [K]": "300"}), 422, "Air temperature [K]"),
        (change(**{"Air temperature [K]": float("nan")}), 422, "Air temperature [K]"),
        (change(**{"Air temperature [K]": float("-inf")}), 422, "Air temperature [K]"),
        (b'{"rows":[{"Air temperature [K]":1e999}]}', 422, "Air temperature [K]"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    deployed: Deployed, body: dict[str, Any] | bytes, status: int, field: str | None
) -> None:
    import json

    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = deployed.api.client.post("/models/mixed/predict", content=content, headers={"x-request-id": "mine"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"] == "mine"
    assert problem.get("field") == field
    if field is not None:
        assert problem["found"]
        assert problem["accepted"]
        assert field in problem["detail"]


def test_an_unknown_model_is_told_which_there_are(deployed: Deployed) -> None:
    answer = deployed.api.client.post("/models/nope/predict", json={"rows": []})
    assert answer.status_code == 404
    for name in ("mixed", "numbers", "price", "species"):
        assert name in answer.json()["detail"]


def test_models_are_listed_and_shown_with_a_row_that_works(deployed: Deployed) -> None:
    listed = deployed.api.client.get("/models").json()["models"]
    assert {"name": "price", "version": 3, "task": "regression"} in listed
    shown = deployed.api.client.get("/models/mixed").json()
    assert (shown["version"], shown["task"], shown["classes"]) == (1, "binary", ["no", "yes"])
    assert [column["name"] for column in shown["schema"]] == [column.name for column in MIXED_COLUMNS]
    assert shown["schema"][2]["levels"] == ["L", "M", "H", "ünï"]
    answer = deployed.api.client.post("/models/mixed/predict", json={"rows": [shown["example"]]})
    assert answer.status_code == 200


def test_labels_are_taken_for_predictions_that_were_made(deployed: Deployed) -> None:
    rows = sample_rows(MIXED_COLUMNS, 2)
    body = deployed.api.client.post("/models/mixed/predict", json={"rows": rows}).json()
    first, second = (prediction["id"] for prediction in body["predictions"])
    answer = deployed.api.client.post(
        "/models/mixed/labels",
        json={
            "labels": [
                {"id": first, "label": "yes"},
                {"id": second, "label": "no", "time": "2021-05-06T07:08:09Z"},
                {"id": first[:-1] + "7", "label": "no"},
                {"id": "made up", "label": "yes"},
            ]
        },
    )
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 2, "unknown": [first[:-1] + "7", "made up"]}
    lines = [
        line for path in list_segments(deployed.layout.events / "labels") for line in path.read_bytes().splitlines()
    ]
    events = {event.id: event for event in (msgspec.json.decode(line, type=LabelEvent) for line in lines)}
    assert (events[first].m, events[first].l) == ("mixed", "yes")
    assert events[first].t == events[first].at
    assert events[second].t == int(datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ({"id": "x", "label": "maybe"}, "labels[0].label"),
        ({"id": "x", "label": None}, "labels[0].label"),
        ({"id": "x"}, "labels[0].label"),
        ({"label": "yes"}, "labels[0].id"),
        ({"id": 5, "label": "yes"}, "labels[0].id"),
        ({"id": "x", "label": "yes", "time": "x"}, "labels[0].time"),
        ({"id": "x", "label": "yes", "time": 5}, "labels[0].time"),
        ("x", "labels[0]"),
    ],
)
def test_a_label_that_cannot_be_used_is_refused_and_none_is_taken(
    deployed: Deployed, label: object, field: str
) -> None:
    answer = deployed.api.client.post("/models/mixed/labels", json={"labels": [label]})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_a_regressions_label_is_a_number(deployed: Deployed) -> None:
    body = deployed.api.client.post("/models/price/predict", json={"rows": sample_rows(MIXED_COLUMNS, 1)}).json()
    found = body["predictions"][0]["id"]
    right = deployed.api.client.post("/models/price/labels", json={"labels": [{"id": found, "label": 5}]})
    assert right.json() == {"accepted": 1, "unknown": []}
    wrong = deployed.api.client.post("/models/price/labels", json={"labels": [{"id": found, "label": "5"}]})
    assert wrong.status_code == 422
    other = deployed.api.client.post("/models/mixed/labels", json={"labels": [{"id": found, "label": "no"}]})
    assert other.json()["unknown"] == [found]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"labels":5}', b"{}", b'{"labels":[],"x":NaN}'])
def test_a_body_that_is_no_list_of_labels_is_refused(deployed: Deployed, body: bytes) -> None:
    answer = deployed.api.client.post("/models/mixed/labels", content=body)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("value", "classes", "expected"),
    [
        (1, ["false", "true"], "true"),
        (0, ["False", "True"], "False"),
        (1, ["0", "1"], "1"),
        (True, ["0", "1"], "1"),
        (True, ["false", "true"], "true"),
        (0.0, ["0", "1"], "0"),
    ],
)
def test_a_class_may_be_written_as_json_writes_it(value: object, classes: list[str], expected: str) -> None:
    accepted = Truth(task=Task.BINARY, classes=tuple(classes))
    assert _read_truth(value, "labels[0].label", accepted) == expected

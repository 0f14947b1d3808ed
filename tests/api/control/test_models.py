"""Models over HTTP, as far as no orchestrator is needed."""

from __future__ import annotations

import pytest

from tests.api.control.conftest import Control
from tests.api.control.test_datasets import upload


@pytest.fixture
def declared(control: Control) -> Control:
    control.client.post("/datasets", headers=control.admin, json={"name": "houses", "upload": upload(control)})
    answer = control.client.post(
        "/models", headers=control.admin, json={"name": "prices", "dataset": "houses", "target": "price"}
    )
    assert answer.status_code == 201, answer.text
    return control


def test_a_proposal_explains_itself(declared: Control) -> None:
    answer = declared.client.get(
        "/proposals", params={"dataset": "houses", "target": "price"}, headers=declared.read
    ).json()
    assert answer["spec"]["target"] == "price"
    assert answer["sentences"]


def test_a_declared_model_is_listed_and_has_no_version(declared: Control) -> None:
    listed = declared.client.get("/models", headers=declared.read).json()
    assert [(one["name"], one["deployed"]) for one in listed] == [("prices", None)]
    assert declared.client.get("/models/prices/versions", headers=declared.read).json() == []
    glance = declared.client.get("/overview", headers=declared.read).json()
    assert glance[0]["model"]["name"] == "prices"
    assert glance[0]["newest"] is None


def test_the_same_name_again_is_a_conflict(declared: Control) -> None:
    answer = declared.client.post(
        "/models", headers=declared.admin, json={"name": "prices", "dataset": "houses", "target": "price"}
    )
    assert answer.status_code == 409


def test_a_declaration_can_be_changed(declared: Control) -> None:
    answer = declared.client.put(
        "/models/prices", headers=declared.admin,
        json={"name": "ignored", "dataset": "houses", "target": "price", "exclude": ["colour"]},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "prices"
    assert answer.json()["spec"]["exclude"] == ["colour"]


def test_nothing_to_deploy_or_roll_back_yet(declared: Control) -> None:
    assert declared.client.post("/models/prices/deploy", headers=declared.admin, json={}).status_code == 404
    for body in ({"role": "canary"}, {"role": "shadow", "percent": 5}, {"role": "canary", "percent": 0}):
        assert declared.client.post("/models/prices/deploy", headers=declared.admin, json=body).status_code == 422
    for path in ("promote", "end/canary"):
        assert declared.client.post(f"/models/prices/{path}", headers=declared.admin, json={}).status_code == 409
    assert declared.client.post("/models/prices/rollback", headers=declared.admin, json={}).status_code in {404, 409}
    answer = declared.client.post("/models/prices/rollback", headers=declared.admin, json={"version": 3})
    assert answer.status_code == 409
    assert "version 3 of 'prices' is not what a rollback takes back: nothing stands" in answer.text


def test_a_window_must_be_one(declared: Control) -> None:
    answer = declared.client.get("/models/prices/latency", params={"window": "soon"}, headers=declared.read)
    assert answer.status_code == 422
    assert "24h" in answer.json()["detail"]


def test_what_is_watched_before_any_traffic(declared: Control) -> None:
    assert declared.client.get("/models/prices/latency", headers=declared.read).json()["count"] == 0
    assert declared.client.get("/models/prices/traffic", headers=declared.read).json()["points"] == []
    assert declared.client.get("/alerts", headers=declared.read).json() == []
    assert declared.client.get("/lag", headers=declared.read).json()["heartbeat_at"] is None
    assert declared.client.get("/status", headers=declared.read).json()["models"] == 1


@pytest.mark.parametrize("version", [0, -1, 2, 10**30, 10**300])
def test_a_dataset_version_that_is_not_there_is_not_found(declared: Control, version: int) -> None:
    answer = declared.client.post("/models/prices/train", headers=declared.admin, json={"dataset_version": version})
    shown = declared.client.get(f"/datasets/houses?version={version}", headers=declared.read)
    assert (answer.status_code, shown.status_code) == (404, 404), (answer.text, shown.text)
    assert f"the dataset 'houses' has no version {version}; it has 1 to 1" in answer.json()["detail"]

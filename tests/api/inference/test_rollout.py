"""Canary and shadow over HTTP: who answers, what is recorded, what stays out of sight."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.events import LabelEvent, PredictionEvent
from appliance.schema import Column, Kind, Task
from appliance.serving.refusals import read_refusals
from storage.bundles import replace_durably
from storage.eventlog import list_segments
from storage.layout import Layout
from tests.model_bundles import TrainedModel, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

A, B = Column(name="a", kind=Kind.NUMBER), Column(name="b", kind=Kind.NUMBER, had_nulls=True)


def zone(*levels: str) -> Column:
    return Column(name="zone", kind=Kind.CATEGORY, levels=levels)


COLUMNS = (A, B, zone("x", "y", "z"))
OTHER_ORDER = (zone("new", "z", "x"), A)
MODELS = {
    version: train_model("m", version, task=Task.REGRESSION, columns=columns)
    for version, columns in {1: COLUMNS, 2: COLUMNS, 3: OTHER_ORDER, 4: (A, Column(name="c", kind=Kind.NUMBER))}.items()
}
ROWS = [*sample_rows(COLUMNS, 3), {"a": 1.0, "b": None, "zone": "new"}, {"a": None, "b": 2.0, "zone": "nowhere"}]


def deploy_roles(layout: Layout, revision: int = 1, **roles: int) -> None:
    replace_durably(layout.deployments, msgspec.json.encode({"revision": revision, "models": {"m": roles}}))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    layout = prepare_state(tmp_path / "state")
    for trained in MODELS.values():
        publish(layout, trained)
    deploy_roles(layout, champion=1)
    with serve_api(layout) as served:
        served.wait_until_serving("m", 1)
        yield served


def follow(api: ServedApi, version: int, **roles: int) -> None:
    """Deploy and wait until the version can be addressed."""
    deploy_roles(api.layout, 2, **roles)
    deadline = time.monotonic() + 120
    while api.client.get(f"/v2/models/m/versions/{version}").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(layout: Layout) -> list[PredictionEvent]:
    return [
        msgspec.json.decode(line, type=PredictionEvent)
        for path in list_segments(layout.events / "predictions")
        for line in path.read_bytes().splitlines()
    ]


def values(trained: TrainedModel, rows: list[dict[str, object]]) -> list[float]:
    known = {column.name for column in trained.schema.columns}
    return [
        output[0] for output in trained.expect([{k: v for k, v in row.items() if k in known} for row in rows])
    ]  # fmt: skip


def test_a_canary_answers_its_keys_in_every_dialect_and_is_recorded_as_one(api: ServedApi) -> None:
    follow(api, 2, champion=1, canary=2, percent=40)
    tensors = {"inputs": [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "b", "shape": [1], "datatype": "FP64", "data": [2.0]},
        {"name": "zone", "shape": [1], "datatype": "BYTES", "data": ["x"]},
    ]}  # fmt: skip
    seen = set()
    for number in range(30):
        key = f"customer-{number}"
        answer = api.client.post("/models/m/predict", json={"rows": ROWS, "key": key}).json()
        version = answer["version"]
        assert [found["value"] for found in answer["predictions"]] == values(MODELS[version], ROWS)
        headers = {"X-Entity-Key": key}
        again = api.client.post("/models/m/predict", json={"rows": ROWS}, headers=headers)
        assert again.headers["x-model-version"] == str(version)
        assert api.client.post("/v2/models/m/infer", json=tensors, headers=headers).json()["model_version"] == str(
            version
        )
        seen.add(version)
    assert seen == {1, 2}
    addressed = api.client.post("/v2/models/m/versions/2/infer", json=tensors)
    assert addressed.json()["model_version"] == "2"
    recorded = events(api.layout)
    assert len(recorded) == 91
    assert {(event.v, event.r) for event in recorded[:-1]} == {(1, "champion"), (2, "canary")}


def test_a_key_means_the_same_in_a_header_and_in_the_body(api: ServedApi) -> None:
    follow(api, 2, champion=1, canary=2, percent=50)
    names = ["Zürich", "Köln", "Malmö", "Ærø", "Łódź", "Åbo", "Öland", "Ürümqi"]
    for name in names:
        by_body = api.client.post("/models/m/predict", json={"rows": ROWS, "key": name})
        by_header = api.client.post("/models/m/predict", json={"rows": ROWS}, headers={b"X-Entity-Key": name.encode()})
        assert by_header.headers["x-model-version"] == by_body.headers["x-model-version"]
    latin = api.client.post("/models/m/predict", json={"rows": ROWS}, headers={b"X-Entity-Key": b"Z\xfcrich"})
    assert latin.status_code == 200
    api.stop()
    assert [event.k for event in events(api.layout)] == [*(name for name in names for _ in range(2)), "Zürich"]


def test_v1_and_mlflows_dialect_follow_the_canary_and_feed_the_shadow(api: ServedApi) -> None:
    follow(api, 3, champion=1, canary=2, percent=50, shadow=3)
    requests = {
        "/v1/models/m:predict": {"instances": ROWS},
        "/v1/models/m:explain": {"instances": ROWS},
        "/invocations": {"dataframe_records": ROWS},
    }
    seen = set()
    for number in range(20):
        headers = {"X-Entity-Key": f"customer-{number}"}
        versions = set()
        for path, body in requests.items():
            answer = api.client.post(path, json=body, headers=headers)
            versions.add(int(answer.headers["x-model-version"]))
            assert answer.json()["predictions"] == values(MODELS[max(versions)], ROWS)
        assert len(versions) == 1
        seen |= versions
    assert seen == {1, 2}
    api.stop()
    recorded = events(api.layout)
    answered = {event.id: event for event in recorded if event.r != "shadow"}
    assert {(event.v, event.r, event.d) for event in answered.values()} == {
        (version, role, dialect) for version, role in ((1, "champion"), (2, "canary")) for dialect in ("v1", "mlflow")
    }
    shadows = {event.id.removesuffix("-shadow"): event for event in recorded if event.r == "shadow"}
    assert set(shadows) == set(answered)
    assert all(event.y == values(MODELS[3], ROWS) for event in shadows.values())


def test_every_deployed_version_answers_to_its_own_path_whatever_its_role(api: ServedApi) -> None:
    follow(api, 3, champion=1, canary=2, percent=50, shadow=3)
    row = {"a": 1.0, "b": 2.0, "zone": "x"}
    for version in (1, 2, 3):
        columns = {column.name for column in MODELS[version].schema.columns}
        datatypes = {name: "BYTES" if name == "zone" else "FP64" for name in columns}
        tensors = [
            {"name": name, "shape": [1], "datatype": kind, "data": [row[name]]} for name, kind in datatypes.items()
        ]
        expected = values(MODELS[version], [row])
        v2 = f"/v2/models/m/versions/{version}"
        assert {tensor["name"] for tensor in api.client.get(v2).json()["inputs"]} == columns
        assert api.client.get(f"{v2}/ready").json()["ready"] is True
        inferred = api.client.post(f"{v2}/infer", json={"inputs": tensors}).json()
        assert (inferred["model_version"], inferred["outputs"][0]["data"]) == (str(version), expected)
        v1 = f"/v1/models/m/versions/{version}"
        (state,) = api.client.get(v1).json()["model_version_status"]
        assert (state["version"], state["state"]) == (str(version), "AVAILABLE")
        assert api.client.post(f"{v1}:predict", json={"instances": [row]}).json()["predictions"] == expected
        assert len(api.client.post(f"{v1}:explain", json={"instances": [row]}).json()["explanations"][0]) == len(
            columns
        )
    assert api.client.get("/v2/models/m").json()["versions"] == ["1", "2", "3"]
    states = api.client.get("/v1/models/m").json()["model_version_status"]
    assert [state["version"] for state in states] == ["1", "2", "3"]
    for path in ("/v1/models/m/versions/4", "/v2/models/m/versions/4"):
        missing = api.client.get(path)
        assert (missing.status_code, list(missing.json())) == (404, ["error"])
        assert "deployed: version 1, 2, 3" in missing.json()["error"]
    api.stop()
    assert {(event.v, event.r) for event in events(api.layout)} == {(version, "direct") for version in (1, 2, 3)}


def test_a_refused_champion_is_an_ended_version_beside_the_one_that_serves(api: ServedApi) -> None:
    (api.layout.models / "m" / "2" / "model.txt").write_bytes(b"damaged")
    deploy_roles(api.layout, 2, champion=2)
    deadline = time.monotonic() + 120
    while len(states := api.client.get("/v1/models/m").json()["model_version_status"]) == 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(state["version"], state["state"]) for state in states] == [("1", "AVAILABLE"), ("2", "END")]
    assert states[1]["status"]["error_code"] == "FAILED_PRECONDITION"
    assert "2" in states[1]["status"]["error_message"]
    assert api.client.get("/ping").status_code == 200


def test_a_shadow_scores_the_same_rows_in_its_own_columns_and_never_answers(api: ServedApi) -> None:
    follow(api, 3, champion=1, shadow=3)
    for count in (1, 5):
        answer = api.client.post("/models/m/predict", json={"rows": ROWS[-count:], "key": "k"}).json()
        assert answer["version"] == 1
    many = api.client.post("/models/m/predict", json={"rows": ROWS * 300}).json()
    assert len(many["predictions"]) == 1500
    api.stop()
    own = {event.id: event for event in events(api.layout) if event.r == "champion"}
    shadows = [event for event in events(api.layout) if event.r == "shadow"]
    assert {event.id.removesuffix("-shadow") for event in shadows} == set(own)
    for event in shadows:
        served = own[event.id.removesuffix("-shadow")]
        assert (event.v, event.n, event.at, event.t, event.k) == (3, served.n, served.at, served.t, served.k)
        rows = {1: ROWS[-1:], 5: ROWS, 1500: ROWS * 300}[event.n]
        assert event.y == values(MODELS[3], rows)


def test_a_shadow_that_needs_other_columns_is_refused_and_gets_no_rows(api: ServedApi) -> None:
    deploy_roles(api.layout, 2, champion=1, shadow=4)
    deadline = time.monotonic() + 120
    while "shadow" not in (model := api.client.get("/health/ready").json()["models"][0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (model["version"], model["state"], model["shadow"]["state"]) == (1, "ready", "refused")
    assert "it needs c, which the champion, version 1, does not take" in model["shadow"]["reason"]
    while not (refusals := read_refusals(api.layout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (refusal,) = refusals
    assert (refusal.role, refusal.version, refusal.serving) == ("shadow", 4, 1)
    for _ in range(3):
        assert api.client.post("/models/m/predict", json={"rows": ROWS}).status_code == 200
    text = api.client.get("/metrics").text
    assert "appliance_shadow_queue_limit 64.0" in text
    assert 'outcome="failed"} 3.0' not in text
    api.stop()
    assert len(events(api.layout)) == 3


def test_a_shadow_that_the_canary_cannot_feed_scores_the_champions_share(api: ServedApi) -> None:
    """Version 3 has no column b, which version 2 as the shadow needs."""
    follow(api, 2, champion=1, canary=3, percent=50, shadow=2)
    answers = [api.client.post("/models/m/predict", json={"rows": ROWS, "key": f"k{n}"}).json() for n in range(20)]
    assert {answer["version"] for answer in answers} == {1, 3}
    of = 'appliance_shadow_requests_total{model="m",version="2",outcome='
    scored = sum(answer["version"] == 1 for answer in answers)
    deadline = time.monotonic() + 120
    while f'{of}"scored"}} {scored}.0' not in (text := api.client.get("/metrics").text):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f'{of}"failed"}} 0.0' in text
    api.stop()
    recorded = events(api.layout)
    shadows = {event.id.removesuffix("-shadow") for event in recorded if event.r == "shadow"}
    assert shadows == {event.id for event in recorded if event.r == "champion"}


def test_labels_of_every_version_that_answered_are_taken(tmp_path: Path) -> None:
    """The canary has a class more than the champion; a version that serves no more had one that neither has."""
    layout = prepare_state(tmp_path / "state")
    for version, classes in {1: ("a", "b"), 2: ("a", "b", "c"), 3: ("a", "old")}.items():
        task = Task.MULTICLASS if len(classes) > 2 else Task.BINARY
        trained = train_model("m", version, task=task, columns=(A,))
        schema = msgspec.structs.replace(trained.schema, classes=classes)
        publish(layout, TrainedModel(booster=trained.booster, schema=schema))
    deploy_roles(layout, champion=3)
    with serve_api(layout) as api:
        api.wait_until_serving("m", 3)

        def ask(version: int) -> str:
            tensors = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}]}
            answer = api.client.post(f"/v2/models/m/versions/{version}/infer", json=tensors)
            assert answer.status_code == 200
            return f"{events(layout)[-1].id}.0"

        old = ask(3)
        follow(api, 2, champion=1, canary=2, percent=50)
        asked = {3: old, 2: ask(2), 1: ask(1)}
        truth = {3: "old", 2: "c", 1: "b"}
        labels = [{"id": asked[version], "label": truth[version]} for version in asked]
        said = api.client.post("/models/m/labels", json={"labels": labels})
        assert (said.status_code, said.json()["accepted"]) == (202, 3)
        refused = api.client.post("/models/m/labels", json={"labels": [{"id": asked[1], "label": "d"}]})
        assert refused.status_code == 422
        assert "one of a, b, c, old" in refused.text
    (segment,) = list_segments(layout.events / "labels")
    logged = [msgspec.json.decode(line, type=LabelEvent) for line in segment.read_bytes().splitlines()]
    assert {label.id: label.l for label in logged} == {asked[version]: truth[version] for version in asked}

"""What an operator sees: metrics, health, documentation."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance import __version__
from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.config import read_config
from appliance.api.inference.documentation import render_page
from appliance.api.inference.endpoints import list_endpoints
from appliance.api.inference.exchange import Desk
from appliance.api.inference.keys import KeyRing
from appliance.api.inference.limits import Limits
from appliance.api.inference.openapi import build_document
from appliance.api.inference.problems import KINDS
from appliance.schema import Task
from appliance.serving.capture import Capture
from appliance.serving.counts import BOUNDS_S, STATUSES, Counts
from appliance.serving.heap import Heap
from appliance.serving.router import Router
from appliance.serving.scoring import Scorer
from appliance.serving.shadow import Shadows
from storage.bundles import bundle_path, replace_durably
from tests.api.inference.conftest import Deployed
from tests.api.inference.test_lifecycle import wait_for
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


def scrape(deployed: Deployed) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return read_metrics(deployed.api.client.get("/metrics").text)


def read_metrics(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_every_series_exists_before_its_first_request(tmp_path: Path) -> None:
    """All of them, by name and labels: what a scrape of a fresh service with two workers and a new champion shows."""
    layout = prepare_state(tmp_path / "state")
    for version in (1, 2, 3, 4):
        publish(layout, train_model("m", version, task=Task.BINARY, columns=numeric_columns(2)))
    (bundle_path(layout, "m", 4) / "model.txt").write_bytes(b"tree\n")
    deploy(layout, {"m": 4})
    with serve_api(layout, {"APPLIANCE_API_WORKERS": "2"}) as api:
        roles = {"champion": 1, "canary": 2, "percent": 5, "shadow": 4}
        replace_durably(layout.deployments, msgspec.json.encode({"revision": 2, "models": {"m": roles}}))
        wanted = _series({1: "champion", 2: "canary"}, refused={4: "shadow"})

        def shown() -> set[tuple[str, frozenset[tuple[str, str]]]]:
            return set(read_metrics(api.client.get("/metrics").text))

        wait_for(lambda: shown() == wanted)
        deploy(layout, {"m": 3}, revision=3)
        # A version that serves no more keeps its counts.
        wanted = _series({3: "champion"}, refused={}, gone=(1, 2))
        wait_for(lambda: shown() == wanted)
        found = read_metrics(api.client.get("/metrics").text)
        assert sample(found, "appliance_workers") == 2
        assert sample(found, "appliance_requests_total", model="m", version="3", status="200") == 0


def _series(
    serving: dict[int, str], *, refused: dict[int, str], gone: tuple[int, ...] = ()
) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Name and labels of every sample."""
    found = []
    for version in ("", *map(str, (*serving, *gone))):
        of = {"model": "m" if version else "", "version": version}
        found += [("appliance_requests_total", {**of, "status": str(status)}) for status in STATUSES]
        if version:
            found += [(f"appliance_{name}_total", of) for name in
                      ("predictions", "unseen_categories", "predictions_unrecorded")]  # fmt: skip
            found.append(("appliance_shadow_queue_depth", of))
            found += [("appliance_shadow_requests_total", {**of, "outcome": outcome})
                      for outcome in ("scored", "dropped", "failed")]  # fmt: skip
            found += [("appliance_request_duration_seconds_bucket", {**of, "le": bound})
                      for bound in (*map(str, BOUNDS_S), "+Inf")]  # fmt: skip
            found += [(f"appliance_request_duration_seconds_{name}", of) for name in ("sum", "count")]
    for number, role in (serving | refused).items():
        of = {"model": "m", "version": str(number), "role": role}
        found.append(("appliance_bundle_refused", of))
        if number in serving:
            found.append(("appliance_model_serving", of))
    found += [(f"appliance_{name}", {}) for name in ("event_log_writable", "event_log_syncs_total", "workers")]
    found += [(f"appliance_{name}", {}) for name in
              ("requests_in_flight", "requests_in_flight_limit", "shadow_queue_limit")]  # fmt: skip
    found.append(("appliance_build_info", {"release": __version__}))
    return {(name, frozenset(labels.items())) for name, labels in found}


def test_every_status_that_an_error_has_is_counted_as_itself() -> None:
    assert {kind.status for kind in KINDS.values()} <= set(STATUSES)


def test_buckets_begin_at_a_tenth_of_a_millisecond() -> None:
    assert BOUNDS_S[0] == 0.0001
    assert list(BOUNDS_S) == sorted(BOUNDS_S)


def test_requests_rows_and_time_are_counted(deployed: Deployed) -> None:
    labels = {"model": "species", "version": "2"}
    before = scrape(deployed)
    deployed.api.client.post("/models/species/predict", json={"rows": sample_rows(numeric_columns(4), 7)})
    deployed.api.client.post("/models/species/predict", json={"rows": [{}]})
    after = scrape(deployed)

    def grown(name: str, **more: str) -> float:
        return sample(after, name, **labels, **more) - sample(before, name, **labels, **more)

    assert grown("appliance_requests_total", status="200") == 1
    assert grown("appliance_requests_total", status="422") == 1
    assert grown("appliance_predictions_total") == 7
    assert grown("appliance_request_duration_seconds_count") == 1
    assert 0 < grown("appliance_request_duration_seconds_sum") < 60


def test_answers_that_are_no_predictions_are_counted(deployed: Deployed) -> None:
    before = scrape(deployed)
    deployed.api.client.get("/models/species")
    deployed.api.client.get("/models/species?x")  # the other way through a connection
    deployed.api.client.post("/models/species/labels", json={"labels": []})
    deployed.api.client.get("/health/live")
    after = scrape(deployed)

    def grown(status: str, model: str, version: str) -> float:
        labels = {"model": model, "version": version, "status": status}
        return sample(after, "appliance_requests_total", **labels) - sample(
            before, "appliance_requests_total", **labels
        )

    assert grown("200", "species", "2") == 2
    assert grown("202", "species", "2") == 1
    assert grown("200", "", "") == 2  # the first scrape and the look at its health


def test_unseen_categories_are_counted(deployed: Deployed) -> None:
    before = sample(scrape(deployed), "appliance_unseen_categories_total", model="mixed", version="1")
    row = {**sample_rows(MIXED_COLUMNS, 1)[0], "machine": "?", "zone": 77}
    deployed.api.client.post("/models/mixed/predict", json={"rows": [row]})
    assert sample(scrape(deployed), "appliance_unseen_categories_total", model="mixed", version="1") - before == 2


def test_ready_lists_each_model(deployed: Deployed) -> None:
    body = deployed.api.client.get("/health/ready").json()
    assert body["status"] == "ready"
    assert {"name": "price", "version": 3, "deployed": 3, "state": "ready"} in body["models"]


def test_the_page_needs_no_other_host_and_no_script(deployed: Deployed) -> None:
    answer = deployed.api.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<link|src=|url\(|@import", answer.text)
    assert not re.search(r"https?://(?!127\.0\.0\.1)", answer.text)
    document = deployed.api.client.get("/openapi.json").json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_open_pages_hold_no_value_of_a_dataset(deployed: Deployed, path: str) -> None:
    text = deployed.api.client.get(path).text
    assert "ünï" not in text
    example = deployed.api.client.get("/models/mixed").json()["example"]
    assert str(example["Air temperature [K]"]) not in text


def test_every_path_of_the_document_is_there(deployed: Deployed) -> None:
    document = deployed.api.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        for method in item:
            if method == "parameters":
                continue
            filled = path.replace("{model}", "species").replace("{version}", "2")
            answer = deployed.api.client.request(method, filled, content=b"{}" if method == "post" else None)
            assert answer.status_code not in {404, 405}, (method, path)


def test_every_example_of_the_document_is_answered_as_it_says(deployed: Deployed) -> None:
    document = deployed.api.client.get("/openapi.json").json()
    asked = 0
    for path, item in document["paths"].items():
        given = {found["name"]: found["example"] for found in item.get("parameters", ()) if "example" in found}
        for method, operation in item.items():
            example = operation.get("requestBody", {}) if method != "parameters" else {}
            example = example.get("content", {}).get("application/json", {}).get("example")
            if example is not None:
                filled = path.format(**given)
                answer = deployed.api.client.request(method, filled, json=example, headers=given)
                assert answer.is_success, (path, answer.text)
                schema = operation["responses"]["2XX"]["content"]["application/json"]["schema"]
                assert set(answer.json()) <= set(schema.get("properties", answer.json())), path
                asked += 1
    # Predict, labels, V1's predict and explain of each model; /invocations; V1's two and V2's two of any model.
    assert asked == 4 * 4 + 1 + 4


def test_every_reference_of_the_document_leads_somewhere(deployed: Deployed) -> None:
    text = deployed.api.client.get("/openapi.json").text
    schemas = deployed.api.client.get("/openapi.json").json()["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert references == set(schemas)


def test_every_route_is_in_the_document(deployed: Deployed, tmp_path: Path) -> None:
    layout = prepare_state(tmp_path)
    capture = Capture(layout, reserve_bytes=0, durable=False)
    counts = Counts(layout.run / "counts", 0)
    desk = Desk(
        keys=KeyRing(layout), capture=capture, counts=counts, pool=ThreadPoolExecutor(1),
        bodies=BodyReader(1024, timeout_s=30),
        shadows=Shadows(capture, counts), limits=Limits(max_in_flight=1, key_rate_per_s=0), heap=Heap(),
    )  # fmt: skip
    config = read_config({"APPLIANCE_STATE": str(tmp_path)})
    routes = list_endpoints(config, Router(layout), Scorer(secret=bytes(32), threads=1), desk)
    document = deployed.api.client.get("/openapi.json").json()
    for path, endpoint in routes.items():
        if path in {"/docs", "/openapi.json"}:  # the document itself
            continue
        found = document["paths"].get(path) or document["paths"][path.replace("{model}", "species")]
        assert {method.upper() for method in found if method != "parameters"} == set(endpoint.methods), path
    desk.pool.shutdown()
    desk.keys.close()
    capture.close()


def test_names_are_escaped_in_the_page() -> None:
    document = build_document([])
    document["paths"] = {"/<script>": {"get": {"summary": "<b>", "tags": ["&"], "responses": {
        "200": {"content": {"application/json": {"schema": {}}}}
    }}}}  # fmt: skip
    page = render_page(document, 'http://"><script>')
    assert "<script>" not in page
    assert "<b>" not in page

"""What holds for every request, whatever its dialect: ids, keys, methods, sizes, callers that misbehave."""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest

from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, add_key, sample_rows

BODY = {"rows": sample_rows(MIXED_COLUMNS, 1)}
INFER = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}]}
INSTANCES = {"instances": [[1, 2, 3, 4]]}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "a", "ce-id": "b", "seldon-puid": "c"}, "a"),
        ({"ce-id": "b", "seldon-puid": "c"}, "b"),
        ({"seldon-puid": "c", "x-amzn-sagemaker-inference-id": "d"}, "c"),
        ({"x-amzn-sagemaker-inference-id": "d"}, "d"),
        ({"x-request-id": "", "ce-id": "b"}, "b"),
        ({"x-request-id": "x" * 201, "ce-id": "b"}, "b"),
    ],
)
def test_the_callers_own_id_comes_back_in_the_order_of_precedence(
    deployed: Deployed, headers: dict[str, str], expected: str
) -> None:
    answer = deployed.api.client.post("/models/mixed/predict", json=BODY, headers=headers)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == expected


def test_the_id_of_a_v2_body_goes_before_every_header(deployed: Deployed) -> None:
    answer = deployed.api.client.post(
        "/v2/models/species/infer", json={**INFER, "id": "mine"}, headers={"x-request-id": "other"}
    )
    assert answer.json()["id"] == answer.headers["x-request-id"] == "mine"


@pytest.fixture(scope="module")
def keys(deployed: Deployed) -> dict[str, str]:
    return {
        scope: add_key(deployed.layout, f"for {scope}", scope)
        for scope in ("predict", "label", "read", "predict,label")
    }


@pytest.fixture
def stranger(deployed: Deployed) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=deployed.api.url, timeout=30) as client:
        yield client


ROUTES = [
    ("POST", "/models/mixed/predict", {"predict", "predict,label"}),
    ("POST", "/models/mixed/labels", {"label", "predict,label"}),
    ("GET", "/models", {"predict", "label", "read", "predict,label"}),
    ("GET", "/models/mixed", {"predict", "label", "read", "predict,label"}),
    ("GET", "/metrics", {"read"}),
    ("POST", "/v2/models/species/infer", {"predict", "predict,label"}),
    ("GET", "/v2/models", {"predict", "label", "read", "predict,label"}),
    ("GET", "/v2/models/species", {"predict", "label", "read", "predict,label"}),
    ("GET", "/v2/models/species/versions/2", {"predict", "label", "read", "predict,label"}),
    ("POST", "/v2/repository/index", {"predict", "label", "read", "predict,label"}),
    ("POST", "/v1/models/species:predict", {"predict", "predict,label"}),
    ("POST", "/v1/models/species/versions/2:explain", {"predict", "predict,label"}),
    ("GET", "/v1/models", {"predict", "label", "read", "predict,label"}),
    ("GET", "/v1/models/species", {"predict", "label", "read", "predict,label"}),
    ("GET", "/v1/models/species/versions/2", {"predict", "label", "read", "predict,label"}),
    ("POST", "/invocations", {"predict", "predict,label"}),
]
BODIES = {
    "/models/mixed/predict": BODY,
    "/models/mixed/labels": {"labels": []},
    "/v2/models/species/infer": INFER,
    "/v1/models/species:predict": INSTANCES,
    "/v1/models/species/versions/2:explain": INSTANCES,
    "/invocations": INSTANCES,
}
POSTED = ["/models/mixed/predict", "/v2/models/species/infer", "/v1/models/species:predict", "/invocations"]
"""A path of each dialect that takes a prediction."""

TARGET = {"x-amzn-sagemaker-target-model": "species"}


def members(path: str) -> set[str]:
    """The members of the error body of a path's dialect."""
    first = path.split("/")[1]
    if first in {"v1", "v2"}:
        return {"error"}
    if first in {"invocations", "ping", "version"} or path == "/health":
        return {"error_code", "message"}
    return {"type", "title", "status", "detail", "request_id"}


def is_in_its_dialect(answer: httpx.Response, path: str) -> bool:
    kind = "application/problem+json" if "status" in members(path) else "application/json"
    return members(path) <= set(answer.json()) and answer.headers["content-type"] == kind


@pytest.mark.parametrize(("method", "path", "opened_by"), ROUTES)
def test_each_route_opens_for_its_scopes_alone(
    stranger: httpx.Client, keys: dict[str, str], method: str, path: str, opened_by: set[str]
) -> None:
    for scope, key in keys.items():
        basic = b64encode(f"anyone:{key}".encode()).decode()
        for headers in (
            {"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"authorization": f"basic {basic}"},
        ):  # fmt: skip
            answer = stranger.request(method, path, json=BODIES.get(path), headers={**headers, **TARGET})
            if scope in opened_by:
                assert answer.status_code == (202 if "labels" in path else 200)
            else:
                assert answer.status_code == 403
                assert "scope" in answer.text
                assert is_in_its_dialect(answer, path)


@pytest.mark.parametrize(("method", "path", "opened_by"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "apk_wrong"},
        {"x-api-key": ""},
        {"authorization": "Basic eDp5"},
        {"authorization": "Basic eA=="},
        {"authorization": "Basic ?"},
        {"authorization": "Basic Og=="},
    ],
)
def test_without_a_good_key_nothing_opens(
    stranger: httpx.Client, headers: dict[str, str], method: str, path: str, opened_by: set[str]
) -> None:
    answer = stranger.request(method, path, json=BODIES.get(path), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert is_in_its_dialect(answer, path)


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/health/ready",
        "/docs",
        "/openapi.json",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/mixed/ready",
        "/ping",
        "/health",
        "/version",
    ],
)
def test_health_and_documentation_are_open(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200
    assert stranger.head(path).status_code == 200


def test_a_new_key_opens_at_once_and_a_revoked_one_soon_does_not(deployed: Deployed, stranger: httpx.Client) -> None:
    from datetime import UTC, datetime

    from storage.key_rows import revoke_key
    from storage.statedb import connect

    stranger.headers["x-api-key"] = add_key(deployed.layout, "short lived", "predict")
    assert stranger.post("/models/mixed/predict", json=BODY).status_code == 200
    connection = connect(deployed.layout.database)
    revoke_key(connection, "short lived", datetime.now(UTC))
    connection.close()
    deadline = time.monotonic() + 120
    while stranger.post("/models/mixed/predict", json=BODY).status_code == 200:
        assert time.monotonic() < deadline
    assert stranger.post("/models/mixed/predict", json=BODY).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models/mixed/predict", 405),
        ("PUT", "/models", 405),
        ("DELETE", "/health/live", 405),
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("POST", "/models/mixed/predict/more", 404),
        ("GET", "/v2/nothing", 404),
        ("PUT", "/v2/models/mixed/infer", 405),
        ("POST", "/v2/models/nope/infer", 404),
        ("POST", "/v2/models/species/versions/9/infer", 404),
        ("POST", "/v2/models/species/versions/x/infer", 404),
        ("GET", "/v2/models/species/versions/9", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/models/species:guess", 404),
        ("POST", "/v1/models/species/:predict", 404),
        ("POST", "/v1/models/:predict", 404),
        ("POST", "/v1/models/nope:predict", 404),
        ("POST", "/v1/models/nope:explain", 404),
        ("POST", "/v1/models/species/versions/9:predict", 404),
        ("POST", "/v1/models/species/versions/x:predict", 404),
        ("GET", "/v1/models/species/versions/9", 404),
        ("GET", "/v1/models/nope", 404),
        ("GET", "/v1/models/species:predict", 405),
        ("DELETE", "/v1/models/species", 405),
        ("GET", "/invocations", 405),
        ("POST", "/invocations/more", 404),
        ("POST", "/ping", 405),
        ("GET", "/ping/more", 404),
        ("POST", "/version", 405),
        ("PUT", "/health", 405),
    ],
)
def test_a_wrong_path_or_method_is_answered_in_its_dialects_shape(
    deployed: Deployed, method: str, path: str, status: int
) -> None:
    answer = deployed.api.client.request(method, path, json=INFER if method == "POST" else None)
    assert answer.status_code == status
    assert is_in_its_dialect(answer, path)
    assert answer.headers["x-request-id"]
    if status == 405:
        allowed = answer.headers["allow"].split(", ")
        assert allowed in (["GET", "HEAD"], ["POST"])
        assert method not in allowed
        head = deployed.api.client.head(path)
        assert (head.status_code == 200, head.content) == ("HEAD" in allowed, b"")


@pytest.mark.parametrize("path", list(POSTED))
def test_a_body_that_is_not_json_is_answered_in_its_dialects_shape(deployed: Deployed, path: str) -> None:
    answer = deployed.api.client.post(path, content=b"{", headers={**TARGET, "x-request-id": "mine"})
    assert answer.status_code == 400
    assert is_in_its_dialect(answer, path)
    assert answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("path", list(POSTED))
def test_a_body_beyond_the_limit_is_refused_also_without_a_length(deployed: Deployed, path: str) -> None:
    big = b'{"rows":[' + b" " * 2_000_000 + b"]}"

    def parts() -> Iterator[bytes]:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    for content in (big, parts()):
        answer = deployed.api.client.post(path, content=content)
        assert answer.status_code == 413
        assert "max_body_bytes" in answer.text
        assert is_in_its_dialect(answer, path)
    assert deployed.api.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("framing", ["content-length: 30000000", "transfer-encoding: chunked"])
def test_a_caller_that_sends_all_before_it_reads_sees_why_its_body_is_refused(deployed: Deployed, framing: str) -> None:
    head = (
        f"POST /models/mixed/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{framing}\r\n"
        f"x-api-key: {deployed.api.client.headers['x-api-key']}\r\n\r\n"
    )
    block = b" " * 100_000
    part = b"%x\r\n%s\r\n" % (len(block), block) if "chunked" in framing else block
    end = b"0\r\n\r\n" if "chunked" in framing else b""
    with socket.create_connection(("127.0.0.1", deployed.api.port), timeout=30) as caller:
        caller.sendall(head.encode())
        for _ in range(300):
            caller.sendall(part)
        caller.sendall(end)
        answer = caller.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_in_parts_is_read_whole(deployed: Deployed) -> None:
    import json

    content = json.dumps(BODY).encode()
    answer = deployed.api.client.post("/models/mixed/predict", content=(bytes([byte]) for byte in content))
    assert answer.status_code == 200


def test_a_caller_that_hangs_up_halfway_is_counted_and_harms_nobody(deployed: Deployed) -> None:
    def gone() -> float:
        text = deployed.api.client.get("/metrics").text
        line = next(line for line in text.splitlines() if 'model="",version="",status="499"' in line)
        return float(line.split()[-1])

    before = gone()
    with socket.create_connection(("127.0.0.1", deployed.api.port)) as caller:
        caller.sendall(
            b"POST /models/mixed/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"X-API-Key: " + deployed.api.key.encode() + b'\r\n\r\n{"rows":'
        )
        time.sleep(0.2)
    deadline = time.monotonic() + 120
    while gone() == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert deployed.api.client.post("/models/mixed/predict", json=BODY).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health", "/ping", "/v1/models", "/v2"])
def test_a_malformed_host_is_refused_in_its_dialects_shape_too(deployed: Deployed, path: str) -> None:
    answer = deployed.api.client.get(path, headers={"host": "a b"})
    assert answer.status_code == 400
    assert is_in_its_dialect(answer, path)

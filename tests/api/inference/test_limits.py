"""What one process takes at a time and from one key, on both ways through a connection and in each dialect's shape."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from appliance.api.inference.errors import TooManyInFlight, TooManyRequests
from appliance.api.inference.limits import Limits
from appliance.schema import Task
from tests.api.inference.test_lifecycle import wait_for
from tests.api.inference.test_operations import read_metrics, sample
from tests.model_bundles import add_key, deploy, numeric_columns, prepare_state, publish, train_model
from tests.served_api import ServedApi, serve_api


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("rate", "burst", "wait_s", "retry_after_s"), [(4.0, 4, 0.25, 1), (2.5, 2, 0.2, 1), (0.1, 1, 10.0, 10)]
)
def test_a_bucket_gives_its_burst_then_its_rate(rate: float, burst: int, wait_s: float, retry_after_s: int) -> None:
    clock = Clock()
    limits = Limits(max_in_flight=1, key_rate_per_s=rate, clock=clock)
    for _ in range(burst):
        limits.take(b"key")
    with pytest.raises(TooManyRequests) as refused:
        limits.take(b"key")
    assert refused.value.retry_after_s == retry_after_s
    limits.take(b"another key")
    clock.now += wait_s + 1e-6
    limits.take(b"key")
    with pytest.raises(TooManyRequests):
        limits.take(b"key")


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    limits = Limits(max_in_flight=1, key_rate_per_s=2.0, clock=clock)
    limits.take(b"key")
    clock.now += 3600
    limits.take(b"key")
    limits.take(b"key")
    with pytest.raises(TooManyRequests):
        limits.take(b"key")


def test_asking_too_often_does_not_put_the_next_request_off() -> None:
    clock = Clock()
    limits = Limits(max_in_flight=1, key_rate_per_s=1.0, clock=clock)
    limits.take(b"key")
    for _ in range(11):
        clock.now += 0.09
        with pytest.raises(TooManyRequests):
            limits.take(b"key")
    clock.now += 0.02
    limits.take(b"key")


def test_there_is_room_until_as_many_are_in_flight_as_may_be() -> None:
    limits = Limits(max_in_flight=2, key_rate_per_s=0)
    limits.in_flight = 1
    limits.require_room()
    limits.in_flight = 2
    with pytest.raises(TooManyInFlight):
        limits.require_room()


@contextmanager
def limited(root: Path, *, trees: int = 20, **settings: str) -> Iterator[ServedApi]:
    layout = prepare_state(root / "state")
    publish(layout, train_model("m", 1, task=Task.REGRESSION, columns=numeric_columns(2), trees=trees))
    deploy(layout, {"m": 1})
    with serve_api(layout, {f"APPLIANCE_{name}": value for name, value in settings.items()}) as api:
        api.wait_until_serving("m", 1)
        yield api


def bodies(rows: int) -> dict[str, dict[str, object]]:
    """A request of so many rows in each dialect, by path."""
    lists = [[1.0, float(at)] for at in range(rows)]
    named = [{"c00": 1.0, "c01": float(at)} for at in range(rows)]
    columns = {name: [row[name] for row in named] for name in ("c00", "c01")}
    tensor = {"name": "x", "shape": [rows, 2], "datatype": "FP64", "data": lists}
    return {
        "/models/m/predict": {"rows": named},
        "/v2/models/m/infer": {"inputs": [tensor]},
        "/v1/models/m:predict": {"instances": lists},
        "/v1/models/m/versions/1:predict": {"inputs": columns},
        "/invocations": {"dataframe_split": {"columns": ["c00", "c01"], "data": lists}},
    }


def shape_of(answer: httpx.Response) -> set[str]:
    return set(answer.json()) & {"detail", "error", "error_code"}


SHAPES = {"models": {"detail"}, "v1": {"error"}, "v2": {"error"}, "invocations": {"error_code"}}


def is_refused(answer: httpx.Response, path: str, setting: str) -> bool:
    return shape_of(answer) == SHAPES[path.split("/")[1]] and setting in answer.text


def test_more_rows_than_may_be_are_refused_in_each_dialect(tmp_path: Path) -> None:
    with limited(tmp_path, MAX_ROWS="3") as api:
        for path, body in bodies(3).items():
            assert api.client.post(path, json=body).status_code == 200, path
        for path, body in bodies(4).items():
            answer = api.client.post(path, json=body)
            assert answer.status_code == (422 if path.startswith("/models") else 400), path
            assert is_refused(answer, path, "max_rows"), answer.text
        csv = api.client.post("/invocations", content=b"c00,c01\n" + b"1,2\n" * 4, headers={"content-type": "text/csv"})
        assert csv.status_code == 400
        assert "max_rows" in csv.text


def slow_ways(api: ServedApi, path: str, body: dict[str, object], key: str) -> Iterator[httpx.Response]:
    """One request answered before ASGI, one by uvicorn and Litestar, which a query sends there."""
    for query in ("", "?x=1"):
        yield httpx.post(f"{api.url}{path}{query}", json=body, headers={"x-api-key": key})


def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with limited(tmp_path, KEY_RATE_PER_S="0.01") as api:
        for path, body in bodies(1).items():
            key = add_key(api.layout, f"for {path}", "predict")
            first, second = slow_ways(api, path, body, key)
            third = next(slow_ways(api, path, body, key))
            assert first.status_code == 200, first.text
            for answer in (second, third):
                assert answer.status_code == 429
                assert 1 <= int(answer.headers["retry-after"]) <= 100
                assert is_refused(answer, path, "key_rate_per_s"), answer.text
            if path == "/invocations":
                assert second.json()["error_code"] == "RESOURCE_EXHAUSTED"
        assert httpx.get(f"{api.url}/ping").status_code == 200
        reader = {"x-api-key": add_key(api.layout, "reader", "read")}
        metrics = httpx.get(f"{api.url}/metrics", headers=reader).text
        assert 'appliance_requests_total{model="",version="",status="429"} 10' in metrics


def test_without_a_rate_a_key_may_ask_as_often_as_it_likes(tmp_path: Path) -> None:
    with limited(tmp_path) as api:
        path, body = next(iter(bodies(1).items()))
        assert {api.client.post(path, json=body).status_code for _ in range(300)} == {200}


REST = b'"rows":[{"c00":1.0,"c01":2.0}]}'


@contextmanager
def half_sent(api: ServedApi) -> Iterator[socket.socket]:
    """A request whose body does not end: it is in flight."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as caller:
        caller.sendall(
            b"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nX-API-Key: %b\r\n\r\n{"
            % (1 + len(REST), api.key.encode())
        )
        yield caller


def eventually(api: ServedApi, status: int) -> None:
    path, body = next(iter(bodies(1).items()))
    deadline = time.monotonic() + 120
    while api.client.post(path, json=body).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_beyond_what_may_be_in_flight_requests_are_put_off_and_health_is_not(tmp_path: Path) -> None:
    with limited(tmp_path, MAX_IN_FLIGHT="2") as api:
        with half_sent(api) as first, half_sent(api):
            eventually(api, 503)
            for path, body in bodies(1).items():
                for answer in slow_ways(api, path, body, api.key):
                    assert answer.status_code == 503
                    assert answer.headers["retry-after"] == "1"
                    assert is_refused(answer, path, "max_in_flight"), answer.text
            for path in ("/ping", "/health/live", "/v2/health/live", "/metrics", "/models"):
                assert api.client.get(path).status_code == 200
            first.sendall(REST)
            assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
            eventually(api, 200)
        eventually(api, 200)


def test_what_is_in_flight_in_all_workers_is_shown_beside_the_limit(tmp_path: Path) -> None:
    with limited(tmp_path, MAX_IN_FLIGHT="3", API_WORKERS="2") as api:

        def shown(name: str) -> float:
            return sample(read_metrics(api.client.get("/metrics").text), f"appliance_{name}")

        wait_for(lambda: shown("requests_in_flight_limit") == 6)
        assert shown("requests_in_flight") == 0
        with half_sent(api), half_sent(api):
            wait_for(lambda: shown("requests_in_flight") == 2)
        wait_for(lambda: shown("requests_in_flight") == 0)


def test_every_place_is_given_back_whatever_became_of_its_request(tmp_path: Path) -> None:
    """Refused, unreadable, hung up, large: after each, as many may be in flight as before."""
    with limited(tmp_path, MAX_IN_FLIGHT="1", MAX_BODY_BYTES="2000000") as api:
        large = bodies(5000)["/models/m/predict"]
        for _ in range(3):
            assert api.client.post("/models/m/predict?x", content=b"{").status_code == 400
            assert api.client.post("/models/m/predict?x", content=b" " * 2_000_001).status_code == 413
            assert api.client.post("/models/nope/predict?x", json={}).status_code == 404
            assert api.client.post("/models/m/predict?x", json=large).status_code == 200
            with half_sent(api):
                eventually(api, 503)
            eventually(api, 200)


def test_a_large_request_in_flight_is_counted_beside_small_ones(tmp_path: Path) -> None:
    with limited(tmp_path, trees=400, MAX_IN_FLIGHT="1") as api:  # scored for so long that a small one meets it
        large = {"rows": [{"c00": 1.0, "c01": float(at)} for at in range(90_000)]}
        found: list[int] = []
        thread = threading.Thread(
            target=lambda: found.append(
                httpx.post(f"{api.url}/models/m/predict", json=large, headers={"x-api-key": api.key}, timeout=60)
                .status_code
            )
        )  # fmt: skip
        seen = set()
        path, body = next(iter(bodies(1).items()))
        thread.start()
        while thread.is_alive():
            seen.add(api.client.post(path, json=body).status_code)
        thread.join()
        assert (found, seen) == ([200], {200, 503}) or (found, seen) == ([503], {200})

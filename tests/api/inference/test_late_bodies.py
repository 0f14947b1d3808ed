"""Bodies that come late: answered when the server ends meanwhile, refused when they take too long."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from appliance.schema import Task
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import serve_api

ROWS = sample_rows(numeric_columns(3), 2)


def test_a_body_that_has_begun_is_answered_though_the_server_ends(tmp_path: Path) -> None:
    layout = prepare_state(tmp_path / "state")
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    body = json.dumps({"rows": ROWS}).encode()
    with serve_api(layout) as api, socket.create_connection(("127.0.0.1", api.port), timeout=20) as caller:
        head = (
            f"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nX-API-Key: {api.key}\r\n\r\n"
        )
        caller.sendall(head.encode() + body[:20])
        time.sleep(0.2)
        api.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        caller.sendall(body[20:])
        answer = b""
        while part := caller.recv(1 << 16):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close\r\n" in answer
        assert api.process.wait(20) == 0


@pytest.mark.parametrize("way", ["plain", "through ASGI"])
def test_a_body_that_takes_too_long_is_refused_and_takes_no_place(tmp_path: Path, way: str) -> None:
    layout = prepare_state(tmp_path / "state")
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    path = "/models/m/predict" + ("" if way == "plain" else "?x=1")
    settings = {"APPLIANCE_BODY_TIMEOUT_S": "0.2", "APPLIANCE_MAX_IN_FLIGHT": "1"}
    with serve_api(layout, settings) as api, socket.create_connection(("127.0.0.1", api.port), timeout=20) as caller:
        caller.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-API-Key: {api.key}\r\n\r\n".encode()
        )
        caller.sendall(b'{"rows":[')
        answer = b""
        while part := caller.recv(1 << 16):
            answer += part
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout_s" in answer
        assert b"connection: close\r\n" in answer
        assert api.client.post("/models/m/predict", json={"rows": ROWS}).status_code == 200

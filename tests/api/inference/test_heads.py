"""A request's head has a size and a time, and a connection that brings nothing is not kept."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.api.inference.endpoints import refusal_of
from appliance.api.inference.exchange import Answer, Call, Desk, Endpoint
from appliance.api.inference.paths import PathTable
from appliance.schema import Task
from tests.api.inference.test_half_characters import open_desk, server_of
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

BODY = json.dumps({"rows": sample_rows(numeric_columns(3), 1)}).encode()
PATIENCE_S = 1.0
PATHS = {"/models/m/predict": "detail", "/v1/models/m:predict": "error", "/invocations": "message"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    with serve_api(layout, {"APPLIANCE_BODY_TIMEOUT_S": str(PATIENCE_S)}) as found:
        yield found


def head(api: ServedApi, extra: str = "", *, path: str = "/models/m/predict") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.key}\r\n{extra}\r\n".encode()


def request(api: ServedApi, extra: str = "", *, path: str = "/models/m/predict") -> bytes:
    return head(api, f"Content-Length: {len(BODY)}\r\n{extra}", path=path) + BODY


def connect(api: ServedApi) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=30)


def read_to_the_end(caller: socket.socket) -> bytes:
    """Everything until the connection's orderly end."""
    found = b""
    while part := caller.recv(1 << 16):
        found += part
    return found


def read_one(caller: socket.socket) -> bytes:
    """One answer."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = caller.recv(1 << 16)
        assert part, f"the connection ended after {found!r}"
        found += part
    start, _, body = found.partition(b"\r\n\r\n")
    left = int(start.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while left > 0:
        part = caller.recv(left)
        found, left = found + part, left - len(part)
    return found


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("way", ["unfinished", "whole"])
def test_a_head_that_is_too_large_is_refused_in_its_dialect(api: ServedApi, path: str, way: str) -> None:
    with closing(connect(api)) as caller:
        if way == "whole":
            caller.sendall(request(api, f"X-Long: {'a' * 70_000}\r\n", path=path))
        else:
            caller.sendall(head(api, path=path)[:-2] + b"X-Long: ")
            for _ in range(10):
                caller.sendall(b"a" * 60_000)
        answer = read_to_the_end(caller)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close\r\n" in answer
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "more than 65536 bytes" in said[PATHS[path]]


def test_a_head_of_many_headers_is_read(api: ServedApi) -> None:
    headers = "".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(60))
    with closing(connect(api)) as caller:
        for _ in range(3):
            caller.sendall(request(api, headers))
            assert read_one(caller).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", list(PATHS))
def test_a_head_that_does_not_come_whole_in_time_is_refused(api: ServedApi, path: str) -> None:
    with closing(connect(api)) as caller:
        caller.sendall(head(api, path=path)[:-2])
        answer = read_to_the_end(caller)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close\r\n" in answer
    assert "body_timeout_s" in json.loads(answer.partition(b"\r\n\r\n")[2])[PATHS[path]]


def test_a_head_that_drips_is_refused(api: ServedApi) -> None:
    """Each byte comes in time, the whole does not."""
    with closing(connect(api)) as caller:
        caller.sendall(b"GET /health/live HTTP/1.1\r\n")
        caller.settimeout(PATIENCE_S / 8)
        answer = b""
        for number in range(1000):
            try:
                if answer := caller.recv(1 << 16):
                    break
            except TimeoutError:
                caller.sendall(b"X-%d: a\r\n" % number)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("first", [b"", b"\r\n", b"\r\n" * 1000], ids=["nothing", "a line", "lines"])
def test_a_connection_that_brings_no_request_is_closed(api: ServedApi, first: bytes) -> None:
    with closing(connect(api)) as caller:
        caller.sendall(first)
        assert read_to_the_end(caller) == b""


@pytest.mark.parametrize("path", ["/models/m/predict", "/models/m/predict?x=1"], ids=["plain", "through ASGI"])
def test_a_kept_connection_may_idle_for_longer(api: ServedApi, path: str) -> None:
    with closing(connect(api)) as caller:
        for _ in range(2):
            caller.sendall(request(api, path=path))
            assert read_one(caller).startswith(b"HTTP/1.1 200 ")
            time.sleep(1.5 * PATIENCE_S)
        caller.sendall(b"\r\n" + request(api, path=path))
        assert read_one(caller).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/models/m/predict", "/models/m/predict?x=1"], ids=["plain", "through ASGI"])
def test_half_a_head_behind_a_request_takes_nothing_from_it(api: ServedApi, path: str) -> None:
    for after in (b"POST /models", b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000):
        with closing(connect(api)) as caller:
            caller.sendall(request(api, path=path) + after)
            answers = read_to_the_end(caller)
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert answers.count(b"HTTP/1.1 ") in {1, 2}


def chunked(api: ServedApi, *chunks: bytes, extra: str = "") -> bytes:
    return head(api, f"Transfer-Encoding: chunked\r\n{extra}") + b"".join(
        b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks
    )


def test_a_body_in_the_smallest_chunks_is_a_body(api: ServedApi) -> None:
    body = BODY.replace(b"{", b"{" + b" " * 20_000, 1)
    with closing(connect(api)) as caller:
        caller.sendall(chunked(api, *(bytes([byte]) for byte in body)) + b"0\r\n\r\n")
        assert read_one(caller).startswith(b"HTTP/1.1 200 ")


def test_trailers_change_nothing_and_have_a_size(api: ServedApi) -> None:
    with closing(connect(api)) as caller:
        caller.sendall(chunked(api, BODY) + b"0\r\nX-Request-Id: late\r\n\r\n")
        answer = read_one(caller)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"late" not in answer
        caller.sendall(chunked(api, BODY) + b"0\r\nX-Long: ")
        for _ in range(10):
            caller.sendall(b"a" * 60_000)
        assert read_to_the_end(caller).count(b"HTTP/1.1 ") == 1


def test_the_rest_of_a_refused_request_is_not_waited_for_without_end(api: ServedApi) -> None:
    with closing(connect(api)) as caller:
        caller.sendall(head(api, "Transfer-Encoding: chunked\r\n").replace(api.key.encode(), b"wrong") + b"5\r\nab")
        answer = read_to_the_end(caller)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_long_paths_are_not_remembered() -> None:
    table = PathTable({"/models/{model}": Endpoint(methods={}, refuse=refusal_of("/models"), scopes=None)})
    assert table.find("/models/short") is table.find("/models/short")
    long = "/models/" + "m" * 300
    assert table.find(long) is not table.find(long)
    assert table.find(long).params == {"model": "m" * 300}


@pytest.mark.parametrize("path", ["/models/" + "m" * 3000, "/v2/models/" + "m" * 60_000, "/invocations" + "/" * 60_000])
def test_nothing_is_at_a_path_that_is_too_long(api: ServedApi, path: str) -> None:
    with closing(connect(api)) as caller:
        caller.sendall(request(api, path=path))
        answer = read_one(caller)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert len(answer) < 1000
        caller.sendall(request(api))
        assert read_one(caller).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_its_caller_reset_is_gone(tmp_path: Path) -> None:
    with open_desk(prepare_state(tmp_path)) as desk:
        asyncio.run(reset_one(desk))


async def reset_one(desk: Desk) -> None:
    def say(call: Call) -> Answer:
        return Answer(body=b"", request_id="x")

    server = server_of(desk, Endpoint(methods={"GET": say}, refuse=refusal_of("/odd"), scopes=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener.dup()])
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET /odd?x HTTP/1.1\r\nHost: x\r\n\r\n")
        while not server.server_state.total_requests:
            await asyncio.sleep(0.01)
        (connection,) = map(weakref.ref, server.server_state.connections)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        while server.server_state.connections:
            await asyncio.sleep(0.01)
        gc.collect()
        assert connection() is None
        await server.shutdown([])


def test_as_many_callers_may_connect_as_the_host_lets(tmp_path: Path) -> None:
    layout = prepare_state(tmp_path / "state")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with serve_api(layout) as api:
            assert resource.prlimit(api.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

"""A caller that offers another protocol with its request, as Java's HTTP client does, is answered in HTTP/1.1."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from io import BufferedReader

import pytest

from appliance.schema import Task
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

BODY = json.dumps({"rows": sample_rows(numeric_columns(3), 1)}).encode()
OFFER = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\nUpgrade: h2c\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    with serve_api(layout) as found:
        yield found


def head(api: ServedApi, more: str = LENGTH, *, first: str = "POST /models/m/predict") -> bytes:
    return f"{first} HTTP/1.1\r\n{OFFER}Host: x\r\nX-API-Key: {api.key}\r\n{more}\r\n".encode()


def ask(api: ServedApi, *parts: bytes, answers: int = 1) -> list[tuple[int, dict[str, object]]]:
    """Status and body of each answer; each part after the first is sent once the one before it was read."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send(api, caller, parts)
        with caller.makefile("rb") as source:
            return [_read_answer(source) for _ in range(answers)]


def ask_until_closed(api: ServedApi, *parts: bytes) -> list[tuple[int, dict[str, object]]]:
    """As ``ask``: every answer until the connection is closed, which it has to be."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send(api, caller, parts)
        found = []
        with caller.makefile("rb") as source:
            while source.peek(1):
                found.append(_read_answer(source))
        return found


def _send(api: ServedApi, caller: socket.socket, parts: Iterable[bytes]) -> None:
    for part in parts:
        caller.sendall(part)
        # An answer to somebody else: the process has read what came before it.
        assert api.client.get("/health/live").is_success


def _read_answer(source: BufferedReader) -> tuple[int, dict[str, object]]:
    status = int(source.readline().split()[1])
    length = 0
    while (line := source.readline().lower()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    return status, json.loads(source.read(length))


def test_the_body_of_such_a_request_is_read(api: ServedApi) -> None:
    whole = head(api) + BODY
    middle = whole.index(b"HTTP2-Settings: AAE") + 10
    chunked = head(api, "Transfer-Encoding: chunked\r\n") + CHUNKED
    for parts in (
        [whole],
        [head(api), BODY],
        [whole[:middle], whole[middle:]],
        [whole[:3], whole[3:-5], whole[-5:]],
        [chunked],
        [chunked[:-20], chunked[-20:]],
    ):
        ((status, answer),) = ask(api, *parts)
        assert status == 200, answer
        assert answer["model"] == "m"


def test_several_that_come_at_once_are_answered_in_their_order(api: ServedApi) -> None:
    bad = b"{}"
    refused = head(api, f"Content-Length: {len(bad)}\r\n") + bad
    good, shown = head(api) + BODY, head(api, "", first="GET /models/m")
    found = ask(api, good + refused + shown + good, answers=4)
    assert [status for status, _ in found] == [200, 422, 200, 200]


def test_a_web_socket_is_not_opened(api: ServedApi) -> None:
    asked = head(api, "", first="GET /models/m").replace(b"h2c", b"websocket")
    ((status, answer),) = ask(api, asked)
    assert status == 200
    assert answer["name"] == "m"


def test_one_that_does_not_keep_the_connection_is_answered_before_it_is_closed(api: ServedApi) -> None:
    closing = head(api).replace(b"Connection: Upgrade", b"Connection: close, Upgrade") + BODY
    old = head(api).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY
    shown = head(api, "", first="GET /models/m").replace(b"HTTP/1.1", b"HTTP/1.0")
    socketed = shown.replace(b"h2c", b"websocket")
    kept = head(api) + BODY
    for parts in ([closing], [old], [shown], [socketed], [closing[:-5], closing[-5:]]):
        assert [status for status, _ in ask_until_closed(api, *parts)] == [200], parts
    for last in (closing, old, shown, socketed):
        assert [status for status, _ in ask_until_closed(api, kept + last)] == [200, 200], last


def test_nothing_is_read_behind_one_that_closes(api: ServedApi) -> None:
    closing = head(api).replace(b"Connection: Upgrade", b"Connection: close, Upgrade") + BODY
    assert [status for status, _ in ask_until_closed(api, closing + closing)] == [200]

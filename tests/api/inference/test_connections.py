"""A request means the same on both ways through a connection: answered before ASGI, or by uvicorn and Litestar."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, numeric_columns, sample_rows

ROW = sample_rows(MIXED_COLUMNS, 1)
GOOD = json.dumps({"rows": ROW}).encode()
LARGE = json.dumps({"rows": sample_rows(numeric_columns(28), 200)}).encode()
INFER = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}]}'
_OURS = re.compile(rb"[0-9a-f]{32}-\d+-[0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|date: [^\r]*\r\n")


def request(deployed: Deployed, path: str, body: bytes, extra: str = "", *, key: str | None = None) -> bytes:
    """The bytes of a plain request."""
    key = deployed.api.key if key is None else key
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\nX-API-Key: {key}\r\n{extra}\r\n"
    return head.encode() + body


class Caller:
    """A raw keep-alive connection."""

    def __init__(self, deployed: Deployed) -> None:
        self.socket = socket.create_connection(("127.0.0.1", deployed.api.port), timeout=30)
        self.file = self.socket.makefile("rb")

    def read(self) -> bytes:
        """One answer, head and body, without what differs between two answers to one request."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            assert line, f"the connection ended after {head!r}"
            head += line
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        return _OURS.sub(b"", head + self.file.read(length))

    def ask(self, content: bytes) -> bytes:
        """The answer to bytes sent at once."""
        self.socket.sendall(content)
        return self.read()

    def ask_in_two(self, content: bytes) -> bytes:
        """The answer to bytes whose head comes in two parts: such a request goes through uvicorn and Litestar."""
        self.socket.sendall(content[:10])
        time.sleep(0.05)
        self.socket.sendall(content[10:])
        return self.read()

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()


CASES = {
    "a prediction": ("/models/mixed/predict", GOOD, ""),
    "with the caller's id": ("/models/mixed/predict", GOOD, "X-Request-Id: mine\r\n"),
    "with two ids": ("/models/mixed/predict", GOOD, "X-Request-Id: one\r\nX-Request-Id: two\r\n"),
    "keep-alive said": ("/models/mixed/predict", GOOD, "Connection: keep-alive\r\n"),
    "slashes": ("//models/mixed/predict/", GOOD, ""),
    "a query": ("/models/mixed/predict?x=1", GOOD, ""),
    "a coded path": ("/models/mi%78ed/predict", GOOD, ""),
    "two rows": ("/models/mixed/predict", json.dumps({"rows": ROW * 2}).encode(), ""),
    "not JSON": ("/models/mixed/predict", b"{", ""),
    "NaN": ("/models/mixed/predict", GOOD.replace(b"true", b"NaN").replace(b"false", b"NaN"), ""),
    "a wrong member": ("/models/mixed/predict", b'{"row":[]}', ""),
    "an unknown model": ("/models/nope/predict", GOOD, ""),
    "an unknown path": ("/models/mixed/foretell", GOOD, ""),
    "a path that takes GET": ("/health/live", GOOD, ""),
    "labels of nobody": ("/models/mixed/labels", b'{"labels":[{"id":"x","label":"no"}]}', ""),
    "V2": ("/v2/models/species/infer", INFER, ""),
    "V2, a version": ("/v2/models/species/versions/2/infer", INFER, ""),
    "V2, wrong": ("/v2/models/species/infer", b'{"inputs":[]}', ""),
    "V1": ("/v1/models/species:predict", b'{"instances":[[1,2,3,4]]}', ""),
    "V1, a version": ("/v1/models/species/versions/2:predict", b'{"inputs":[[1,2,3,4]]}', ""),
    "V1, wrong": ("/v1/models/species:predict", b'{"instances":[]}', ""),
    "V1, an unknown verb": ("/v1/models/species:guess", b"{}", ""),
    "MLflow": ("/invocations", b'{"instances":[[1,2,3,4]]}', "X-Amzn-SageMaker-Target-Model: species\r\n"),
    "MLflow, which model": ("/invocations", b'{"instances":[[1,2,3,4]]}', ""),
    "MLflow, another kind": ("/invocations", b"x", "Content-Type: text/plain\r\n"),
    "V2 index": ("/v2/repository/index", b"{}", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_both_ways_give_the_same_answer(deployed: Deployed, case: str) -> None:
    path, body, extra = CASES[case]
    content = request(deployed, path, body, extra)
    caller = Caller(deployed)
    slow = caller.ask_in_two(content)
    answers = [caller.ask(content) for _ in range(4)]  # the head is read, read again and remembered, then known
    caller.close()
    assert answers == [slow] * 4


@pytest.mark.parametrize(
    "path",
    ["/models", "/models/mixed", "/models/nope", "/v2", "/v2/models/mixed", "/health/live", "/health/ready",
     "/v2/health/ready", "/models/mixed/predict", "/docs", "/nothing", "/v2/nothing", "/models?x=1"],
)  # fmt: skip
def test_both_ways_give_the_same_answer_to_a_get(deployed: Deployed, path: str) -> None:
    content = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {deployed.api.key}\r\n\r\n".encode()
    caller = Caller(deployed)
    slow = caller.ask_in_two(content)
    assert [caller.ask(content) for _ in range(4)] == [slow] * 4
    caller.close()


@pytest.mark.parametrize("key", ["", "apk_wrong"])
def test_both_ways_refuse_a_bad_key(deployed: Deployed, key: str) -> None:
    content = request(deployed, "/models/mixed/predict", GOOD, key=key)
    caller = Caller(deployed)
    slow = caller.ask_in_two(content)
    assert slow.startswith(b"HTTP/1.1 401 ")
    assert [caller.ask(content) for _ in range(3)] == [slow] * 3
    caller.close()


def test_requests_sent_in_one_go_are_answered_in_their_order(deployed: Deployed) -> None:
    plain = [request(deployed, "/models/mixed/predict", GOOD, f"X-Request-Id: {at}\r\n") for at in range(30)]
    plain[7] = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: 7\r\n\r\n"
    plain[19] = request(deployed, "/models/mixed/predict?x", GOOD, "X-Request-Id: 19\r\n")
    caller = Caller(deployed)
    caller.socket.sendall(b"".join(plain))
    for at in range(30):
        assert b"x-request-id: %d\r\n" % at in caller.read()
    caller.close()


def test_every_cut_of_two_requests_gives_two_answers(deployed: Deployed) -> None:
    content = request(deployed, "/v2/models/species/infer", INFER) * 2
    caller = Caller(deployed)
    expected = caller.ask(content[: len(content) // 2])
    for cut in range(1, len(content), 7):
        caller.socket.sendall(content[:cut])
        time.sleep(0.002)
        caller.socket.sendall(content[cut:])
        assert [caller.read(), caller.read()] == [expected, expected]
    caller.close()


@pytest.mark.parametrize(
    "extra", ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Bad Header: x\r\n", "X: a\0b\r\n"]
)
def test_a_head_that_can_be_read_two_ways_is_refused_and_the_connection_closed(deployed: Deployed, extra: str) -> None:
    caller = Caller(deployed)
    assert caller.ask(request(deployed, "/models/mixed/predict", GOOD, extra)).startswith(b"HTTP/1.1 400 ")
    assert caller.file.read() == b""
    caller.close()


@pytest.mark.parametrize("value", ["close", "Close"])
@pytest.mark.parametrize("body", [GOOD, pytest.param(None, id="large")])
def test_a_caller_that_asks_to_close_is_answered_once_and_closed(
    deployed: Deployed, value: str, body: bytes | None
) -> None:
    path, body = ("/models/mixed/predict", body) if body else ("/models/numbers/predict", LARGE)
    content = request(deployed, path, body, f"Connection: {value}\r\n")
    slow = Caller(deployed)
    expected = slow.ask_in_two(content)
    assert expected.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in expected
    assert slow.file.read() == b""
    slow.close()
    for sent in (content, content + request(deployed, path, body)):
        caller = Caller(deployed)
        assert caller.ask(sent) == expected
        assert caller.file.read() == b""
        caller.close()


def test_a_caller_that_asks_to_close_may_bring_its_body_late(deployed: Deployed) -> None:
    content = request(deployed, "/models/mixed/predict", GOOD, "Connection: close\r\n")
    caller = Caller(deployed)
    caller.socket.sendall(content[:-5])
    time.sleep(0.05)
    assert caller.ask(content[-5:]).startswith(b"HTTP/1.1 200 ")
    assert caller.file.read() == b""
    caller.close()


def test_many_callers_that_do_not_read_do_not_stop_the_others(deployed: Deployed) -> None:
    body = json.dumps({"rows": sample_rows(numeric_columns(28), 20)}).encode()
    content = request(deployed, "/models/numbers/predict", body) * 50
    deaf = Caller(deployed)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.socket.setblocking(False)
    for _ in range(200):
        try:
            deaf.socket.send(content)
        except BlockingIOError:
            break
    caller = Caller(deployed)
    assert caller.ask(request(deployed, "/models/mixed/predict", GOOD)).startswith(b"HTTP/1.1 200 ")
    caller.close()
    deaf.close()


def test_both_ways_give_the_same_answer_to_a_large_request(deployed: Deployed) -> None:
    content = request(deployed, "/models/numbers/predict", LARGE)
    caller = Caller(deployed)
    slow = caller.ask_in_two(content)
    assert slow.startswith(b"HTTP/1.1 200 ")
    assert [caller.ask(content) for _ in range(4)] == [slow] * 4
    caller.close()


def test_large_and_small_requests_sent_in_one_go_are_answered_in_their_order(deployed: Deployed) -> None:
    requests = [
        request(deployed, "/models/numbers/predict", LARGE, f"X-Request-Id: {at}\r\n") if at % 3 == 0
        else request(deployed, "/models/mixed/predict", GOOD, f"X-Request-Id: {at}\r\n") if at % 3 == 1
        else f"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: {at}\r\n\r\n".encode()
        for at in range(21)
    ]  # fmt: skip
    caller = Caller(deployed)
    caller.socket.sendall(b"".join(requests))
    for at in range(21):
        assert b"x-request-id: %d\r\n" % at in caller.read()
    caller.close()


def test_a_large_body_in_many_parts_is_one_body(deployed: Deployed) -> None:
    content = request(deployed, "/models/numbers/predict", LARGE)
    caller = Caller(deployed)
    whole = caller.ask(content)
    for at in range(0, len(content), 9000):
        caller.socket.sendall(content[at : at + 9000])
        time.sleep(0.001)
    assert caller.read() == whole
    caller.close()


def test_a_late_body_with_a_bad_key_is_refused_before_it_comes(deployed: Deployed) -> None:
    content = request(deployed, "/models/numbers/predict", LARGE, key="apk_wrong")
    caller = Caller(deployed)
    caller.socket.sendall(content[: content.index(b"\r\n\r\n") + 4])
    assert caller.read().startswith(b"HTTP/1.1 401 ")
    caller.close()


def test_a_caller_that_leaves_during_a_large_request_harms_nobody(deployed: Deployed) -> None:
    content = request(deployed, "/models/numbers/predict", LARGE)
    for _ in range(20):
        caller = Caller(deployed)
        caller.socket.sendall(content)
        caller.close()
    caller = Caller(deployed)
    assert caller.ask(content).startswith(b"HTTP/1.1 200 ")
    caller.close()

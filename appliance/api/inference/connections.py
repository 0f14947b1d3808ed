"""Connections: plain, whole, small requests are answered before ASGI; every other request goes uvicorn's usual way.

A prediction costs less than the ASGI task, scope and messages around it. A request that lies whole in what the socket
gave, with nothing before it in the air, is therefore parsed, answered and written at once, by the same `Desk` and the
same handlers. What is unusual in any way (other methods, chunks, ``Expect``, ``Connection: close``, large or late
bodies, a full write buffer) is handed on with the same bytes, so that it is read as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE

from appliance.api.inference.draining import DrainingProtocol
from appliance.api.inference.errors import NoSuchRoute
from appliance.api.inference.exchange import OFFLOAD_BYTES, Answer, Call, Desk, Endpoint, Headers, find_request_id
from appliance.api.inference.paths import PathTable

_MAX_HEAD_BYTES = 4096
_MAX_HEADS = 1024
_END = b"\r\n\r\n"
_PLAIN_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+")
_PLAIN_PATH = re.compile(rb"/[A-Za-z0-9._~:/-]*")
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"proxy-connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request's head means; the same bytes always mean the same.

    Attributes:
        length: Bytes of the body.
        given_id: The caller's own request id, or empty.
    """

    endpoint: Endpoint
    params: dict[str, str]
    headers: Headers
    given_id: str
    length: int


class _Head:
    """Collects what httptools finds in a head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


class Plans:
    """The plans of heads, remembered from the second time on: ones with their own id would drive out the rest."""

    def __init__(self, paths: PathTable) -> None:
        self._paths = paths
        self._known: dict[bytes, Plan] = {}
        self._seen: set[int] = set()

    def find(self, head: bytes) -> Plan | None:
        """The plan of a head, its empty line included; None when the request has to go the usual way."""
        plan = self._known.get(head)
        if plan is None and head.startswith(b"POST ") and len(head) <= _MAX_HEAD_BYTES:
            plan = self._read(head)
            if plan is not None:
                self._remember(head, plan)
        return plan

    def _remember(self, head: bytes, plan: Plan) -> None:
        digest = hash(head)
        if digest not in self._seen:
            if len(self._seen) >= 4 * _MAX_HEADS:
                self._seen.clear()
            self._seen.add(digest)
            return
        if len(self._known) >= _MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[head] = plan

    def _read(self, head: bytes) -> Plan | None:
        found = _Head()
        parser = httptools.HttpRequestParser(found)
        try:
            parser.feed_data(head)
            version, method = parser.get_http_version(), parser.get_method()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        headers = dict(found.headers)
        length = headers.get(b"content-length", b"")
        host = headers.get(b"host", b"")
        is_plain = (
            version == "1.1" and method == b"POST" and parser.should_keep_alive()
            and length.isdigit() and int(length) < OFFLOAD_BYTES
            and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
            and _UNUSUAL.isdisjoint(headers) and _PLAIN_HOST.fullmatch(host) and _PLAIN_PATH.fullmatch(found.url)
            and sum(name == b"host" for name, _ in found.headers) == 1
        )  # fmt: skip
        if not is_plain:
            return None
        try:
            match = self._paths.find(found.url.decode())
        except NoSuchRoute:
            return None
        if "POST" not in match.endpoint.methods:
            return None
        return Plan(
            endpoint=match.endpoint, params=dict(match.params), headers=headers, given_id=find_request_id(headers),
            length=int(length),
        )  # fmt: skip


def speak(desk: Desk, paths: PathTable) -> Callable[..., Connection]:
    """The factory of a process's connections, as uvicorn takes it for its ``http`` setting."""
    plans = Plans(paths)

    def connect(*args: Any, **kwargs: Any) -> Connection:
        return Connection(desk, plans, *args, **kwargs)

    return connect


class Connection(DrainingProtocol):
    """One connection of a caller."""

    def __init__(self, desk: Desk, plans: Plans, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._desk = desk
        self._plans = plans
        self._answered = 0
        self._answered_when_armed = 0

    def data_received(self, data: bytes) -> None:
        """Answer the whole, plain requests at the start of what came; uvicorn takes the rest."""
        if not (self.leaving or self.receiving) and (self.cycle is None or self.cycle.response_complete):
            data = self._answer_plain(data)
        if data:
            super().data_received(data)

    def timeout_keep_alive_handler(self) -> None:
        """Close when nothing was answered since the timer was set: a plain request does not set it anew."""
        if self._answered != self._answered_when_armed and not self.transport.is_closing():
            self._arm()
        else:
            super().timeout_keep_alive_handler()

    def _arm(self) -> None:
        self._answered_when_armed = self._answered
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _answer_plain(self, data: bytes) -> bytes:
        """Answer requests from the start on, in their order; what is left, which is not plain or not whole."""
        while data and not self.flow.write_paused and not self._desk.capture.durable:
            end = data.find(_END) + len(_END)
            plan = self._plans.find(data[:end])
            if plan is None or len(data) < end + plan.length:
                break
            call = Call("POST", plan.headers, plan.params, plan.given_id)
            call.body = data[end : end + plan.length]
            answer = self._desk.answer(plan.endpoint, call)
            self._write(answer)
            if answer.shadow is not None:
                self._desk.shadows.offer(answer.shadow)
            data = data[end + plan.length :]
        return data

    def _write(self, answer: Answer) -> None:
        content = [STATUS_LINE[answer.status]]
        for name, value in self.server_state.default_headers:
            content += (name, b": ", value, b"\r\n")
        content.append(
            b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            % (answer.content_type, len(answer.body), answer.request_id.encode())
        )
        for name, value in answer.headers:
            if HEADER_VALUE_RE.search(value):
                raise RuntimeError(f"the header {name!r} of an answer has a control character")
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n", answer.body)
        self.transport.write(b"".join(content))
        self.server_state.total_requests += 1
        self._answered += 1
        if self.timeout_keep_alive_task is None:
            self._arm()

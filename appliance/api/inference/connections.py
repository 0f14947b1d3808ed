"""Connections: plain requests are answered before ASGI; every other request goes uvicorn's usual way.

A prediction costs less than the ASGI task, scope and messages around it. A POST or GET whose head lies whole in what
the socket gave, with nothing before it in the air, is therefore parsed, answered and written here, by the same `Desk`
and the same handlers; its body may come in parts, and a large one is scored in another thread. What is unusual in any
way (other methods, chunks, ``Expect``, a head in parts, a bad key before a late body, a full write buffer) is handed on
with the same bytes, so that it is read as before.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE

from appliance.api.inference.bounded import BoundedProtocol
from appliance.api.inference.endpoints import refusal_of
from appliance.api.inference.errors import ClientGone, NoSuchRoute
from appliance.api.inference.exchange import OFFLOAD_BYTES, Answer, Call, Desk, Endpoint, Headers, find_request_id
from appliance.api.inference.paths import PathTable

_MAX_HEAD_BYTES = 4096
_MAX_HEADS = 1024
_MAX_DIGITS = 16
_METHODS = (b"POST", b"GET")
_END = b"\r\n\r\n"
_PLAIN_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+")
_PLAIN_PATH = re.compile(rb"/[A-Za-z0-9._~:/-]*")
_CONNECTION = {b"keep-alive": False, b"close": True}
_UNUSUAL = frozenset(
    {b"expect", b"transfer-encoding", b"content-encoding", b"upgrade", b"te", b"trailer", b"proxy-connection"}
)

log = logging.getLogger("appliance.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request's head means; the same bytes always mean the same.

    Attributes:
        length: Bytes of the body.
        is_last: The caller asks for the end of the connection after the answer.
        given_id: The caller's own request id, or empty.
    """

    method: str
    endpoint: Endpoint
    params: dict[str, str]
    headers: Headers
    given_id: str
    length: int
    is_last: bool


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
        if plan is None and head.startswith((b"POST ", b"GET ")) and len(head) <= _MAX_HEAD_BYTES:
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
        length = headers.get(b"content-length", b"0" if method == b"GET" else b"")
        host = headers.get(b"host", b"")
        is_last = _CONNECTION.get(headers.get(b"connection", b"keep-alive").lower())
        is_plain = (
            version == "1.1" and method in _METHODS and is_last != parser.should_keep_alive()
            and length.isdigit() and len(length) < _MAX_DIGITS and (method == b"POST" or int(length) == 0)
            and _UNUSUAL.isdisjoint(headers) and _PLAIN_HOST.fullmatch(host) and _PLAIN_PATH.fullmatch(found.url)
            and sum(name == b"host" for name, _ in found.headers) == 1
        )  # fmt: skip
        if not is_plain or is_last is None:
            return None
        try:
            match = self._paths.find(found.url.decode())
        except NoSuchRoute:
            return None
        if method.decode() not in match.endpoint.methods:
            return None
        return Plan(
            method=method.decode(), endpoint=match.endpoint, params=dict(match.params), headers=headers,
            given_id=find_request_id(headers), length=int(length), is_last=is_last,
        )  # fmt: skip


def speak(desk: Desk, paths: PathTable) -> Callable[..., Connection]:
    """The factory of a process's connections, as uvicorn takes it for its ``http`` setting."""
    plans = Plans(paths)

    def connect(*args: Any, **kwargs: Any) -> Connection:
        return Connection(desk, plans, *args, **kwargs)

    return connect


class _Arriving:
    """A plain request whose body is not whole yet.

    Attributes:
        missing: Bytes of the body that have not come.
        deadline: Refuses it.
    """

    __slots__ = ("call", "deadline", "endpoint", "missing", "parts")

    def __init__(self, endpoint: Endpoint, call: Call, missing: int, deadline: asyncio.TimerHandle) -> None:
        self.endpoint = endpoint
        self.call = call
        self.missing = missing
        self.deadline = deadline
        self.parts: list[bytes] = []


class Connection(BoundedProtocol):
    """One connection of a caller."""

    def __init__(self, desk: Desk, plans: Plans, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk.bodies.timeout_s, *args, **kwargs)
        self._desk = desk
        self._plans = plans
        self._arriving: _Arriving | None = None
        self._waiting = False
        self._held = b""
        self._told_to_end = False
        self._answered = 0
        self._answered_when_armed = 0

    def data_received(self, data: bytes) -> None:
        """Answer the plain requests at the start of what came; uvicorn takes the rest."""
        if self._waiting:
            self._held += data
            self.flow.pause_reading()
            return
        if self._arriving is not None:
            data = self._take_body(self._arriving, data)
        if data and not (self.ended or self.receiving) and (self.cycle is None or self.cycle.response_complete):
            data = self._answer_plain(data)
        if data:
            super().data_received(data)

    def timeout_keep_alive_handler(self) -> None:
        """Close when nothing was answered since the timer was set: a plain request does not set it anew."""
        is_used = self.is_busy() or self._answered != self._answered_when_armed
        if is_used and not self.transport.is_closing():
            self._arm()
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller hung up: what came of a body is dropped and counted, an answer under way goes nowhere."""
        arriving = self._arriving
        if arriving is not None:
            self._end_arriving(arriving)
            self._desk.refuse(arriving.endpoint, arriving.call, ClientGone("the caller hung up before the body's end"))
        super().connection_lost(exc)

    def turn_away(self, exc: Exception) -> None:
        """Refuse a request whose head is not whole, in the dialect of what came of its path."""
        self._write(self._desk.refuse_unread(refusal_of(self.url.decode("latin-1")), exc), last=True)

    def is_busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return self._waiting or self._arriving is not None or super().is_busy()

    def _arm(self) -> None:
        self._answered_when_armed = self._answered
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _answer_plain(self, data: bytes) -> bytes:
        """Answer requests from the start on, in their order; what is left is for uvicorn."""
        while data and not self.flow.write_paused:
            end = data.find(_END) + len(_END)
            plan = self._plans.find(data[:end])
            if plan is None:
                break
            self._told_to_end = plan.is_last
            call = Call(plan.method, plan.headers, plan.params, plan.given_id)
            after = end + plan.length
            if len(data) < after:
                if not self._desk.awaits(plan.endpoint, call, plan.length):
                    break
                self._desk.limits.in_flight += 1
                deadline = self.loop.call_later(self._desk.bodies.timeout_s, self._give_up)
                self._arriving = _Arriving(plan.endpoint, call, plan.length, deadline)
                return self._take_body(self._arriving, data[end:])
            call.body = data[end:after]
            data = self._answer(plan.endpoint, call, data[after:])
        return data

    def _take_body(self, arriving: _Arriving, data: bytes) -> bytes:
        """Add to a body; answer its request once it is whole. What is left comes after that request."""
        part = data[: arriving.missing]
        arriving.parts.append(part)
        arriving.missing -= len(part)
        if arriving.missing:
            return b""
        self._end_arriving(arriving)
        arriving.call.body = b"".join(arriving.parts)
        return self._answer(arriving.endpoint, arriving.call, data[len(part) :])

    def _end_arriving(self, arriving: _Arriving) -> None:
        arriving.deadline.cancel()
        self._arriving = None
        self._desk.limits.in_flight -= 1

    def _give_up(self) -> None:
        """The body did not come in time."""
        arriving = self._arriving
        if arriving is not None and not self.transport.is_closing():
            self._end_arriving(arriving)
            self._write(self._desk.refuse(arriving.endpoint, arriving.call, self._desk.bodies.too_slow()), last=True)

    def _answer(self, endpoint: Endpoint, call: Call, rest: bytes) -> bytes:
        """Answer a whole request, at once or, when it takes long, later.

        Args:
            endpoint: What answers.
            call: The request.
            rest: What came after it.

        Returns:
            ``rest``, or nothing when it has to be held until the answer is there.
        """
        if self._told_to_end:
            rest = b""  # what comes after a last request is not answered (RFC 9112, 9.6)
        if call.method == "GET" or (len(call.body) < OFFLOAD_BYTES and not self._desk.capture.durable):
            self._finish(self._desk.answer(endpoint, call), last=self._is_last(rest))
            return rest
        self._waiting = True
        self._held = rest
        task = self.loop.create_task(self._answer_later(endpoint, call))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return b""

    async def _answer_later(self, endpoint: Endpoint, call: Call) -> None:
        try:
            self._go_on(await self._desk.answer_later(endpoint, call))
        except Exception:
            # The border of a task that nobody waits for: its caller must not wait for good, either.
            log.exception(
                "an answer about model %r could not be given; its connection is closed", call.subject[0],
                extra={"request": call.given_id, "model": call.subject[0]},
            )  # fmt: skip
            self._waiting = False
            self.transport.close()

    def _go_on(self, answer: Answer) -> None:
        """Give an answer that was waited for, and read on."""
        self._waiting = False
        if self.transport.is_closing():
            return
        held, self._held = b"" if self._told_to_end else self._held, b""
        self._finish(answer, last=self._is_last(held))
        self.flow.resume_reading()
        if held:
            self.data_received(held)

    def _is_last(self, rest: bytes) -> bool:
        return self._told_to_end or (self.leaving and not rest)

    def _finish(self, answer: Answer, *, last: bool) -> None:
        self._write(answer, last=last)
        if answer.shadow is not None:
            self._desk.shadows.offer(answer.shadow)

    def _write(self, answer: Answer, *, last: bool) -> None:
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
        if last:
            content.append(b"connection: close\r\n")
        content += (b"\r\n", answer.body)
        self.transport.write(b"".join(content))
        self.server_state.total_requests += 1
        self._answered += 1
        if last:
            self.part()
        elif self.timeout_keep_alive_task is None:
            self._arm()

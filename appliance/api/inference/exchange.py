"""One request and its answer: key, body, handler, event, answer, in that order; the same for every dialect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.errors import MethodNotAllowed, UnknownMediaType
from appliance.api.inference.keys import KeyRing
from appliance.api.inference.limits import Limits
from appliance.api.inference.problems import INTERNAL, JSON, Refusal, kind_of
from appliance.errors import BadRow
from appliance.prediction_ids import issue, request_id
from appliance.rehearsal import HEADER, is_signed
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.heap import Heap
from appliance.serving.shadow import Order, Shadows
from storage.errors import EventLogUnwritable

Headers = Mapping[bytes, bytes]
Receive = Callable[[], Any]
Send = Callable[[Any], Any]

OFFLOAD_BYTES = 32 << 10
"""Bodies from this size on are decoded, scored and answered in another thread, so that small ones need not wait."""

REHEARSAL = HEADER.encode()
CAPTURE_OFF = (b"x-capture", b"off")
"""Header of an answer that is not in the event log."""

_ID_HEADERS = (b"x-request-id", b"ce-id", b"seldon-puid", b"x-amzn-sagemaker-inference-id")
_MAX_ID_LENGTH = 200
_UNKNOWN_MODEL = ("", 0)

log = logging.getLogger("appliance.api")


class Call:
    """A request on its way through; made once, read by the handler.

    Attributes:
        started_ns: ``time.perf_counter_ns`` when it reached us.
        at_us: Arrival, microseconds since 1970.
        params: Path parameters.
        headers: By name in lower case; the last of several of one name.
        body: All of it.
        given_id: The caller's own request id from the headers, or empty.
        subject: Model and version that the request turned out to be about; who a refusal is counted for.
    """

    __slots__ = ("at_us", "body", "given_id", "headers", "method", "params", "started_ns", "subject")

    def __init__(self, method: str, headers: Headers, params: Mapping[str, str], given_id: str) -> None:
        self.started_ns = time.perf_counter_ns()
        self.at_us = time.time_ns() // 1000
        self.params = params
        self.headers = headers
        self.method = method
        self.given_id = given_id
        self.body = b""
        self.subject = _UNKNOWN_MODEL


def call_of(scope: Mapping[str, Any], params: Mapping[str, str]) -> Call:
    """The request of an ASGI scope."""
    headers = dict(scope["headers"])
    return Call(scope["method"], headers, params, find_request_id(headers))


class Answer(msgspec.Struct, kw_only=True):
    """What a handler gives back.

    Attributes:
        request_id: Echoed as ``X-Request-Id``.
        prediction: The event that is in the log before this answer leaves, unless the log cannot be written; or None.
        labels: Label events that must be in the log; all or none are written.
        rows: Predictions in the answer.
        unseen: Cells with categories that training never saw.
        us: Microseconds that the event says the request took.
        shadow: What a shadow shall score once the answer has left.
    """

    body: bytes
    request_id: str
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    prediction: bytes | None = None
    labels: list[bytes] | None = None
    rows: int = 0
    unseen: int = 0
    us: int = 0
    shadow: Order | None = None


Handler = Callable[[Call], Answer]


class Refuse(Protocol):
    """How a dialect writes an error down."""

    def __call__(self, exc: Exception, request_id: str, /) -> Refusal:
        """The answer to a request that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of one dialect.

    Attributes:
        methods: HTTP method to what answers it.
        scopes: Of which a key must have one; None: open to all.
    """

    methods: Mapping[str, Handler]
    refuse: Refuse
    scopes: frozenset[str] | None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that it takes: what is got may be asked for its head alone."""
        return (*self.methods, *(("HEAD",) if "GET" in self.methods else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where requests are served: what every exchange of this process needs.

    Attributes:
        pool: Threads for large requests.
        secret: Signs what the appliance asks itself; empty: nothing is taken for such.
    """

    keys: KeyRing
    capture: Capture
    counts: Counts
    pool: Executor
    bodies: BodyReader
    shadows: Shadows
    limits: Limits
    heap: Heap
    secret: bytes = b""

    async def serve(
        self, endpoint: Endpoint, scope: Mapping[str, Any], receive: Receive, send: Send, params: Mapping[str, str]
    ) -> None:
        """Answer one request; its event is in the log before the answer leaves, or the answer says that it is not."""
        call = call_of(scope, params)
        try:
            answer = await self._read(endpoint, call, receive)
        except Exception as exc:  # noqa: BLE001  (the border: every error becomes an answer)
            answer = self.refuse(endpoint, call, exc)
        await _send(send, answer)
        if answer.shadow is not None:
            self.shadows.offer(answer.shadow)

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answer a request that is here and small, at once; not for a log that waits for the disk."""
        try:
            self._admit(endpoint, call)
            if call.method == "POST":
                self.limits.require_room()
                self.bodies.require_size(len(call.body))
            answer = endpoint.methods[call.method](call)
            if not self._append(call, answer):
                self._count_lost(call, answer)
            self._count_answered(call, answer)
        except Exception as exc:  # noqa: BLE001  (the border: every error becomes an answer)
            answer = self.refuse(endpoint, call, exc)
        return answer

    async def answer_later(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answer a POST whose body is here and large, or whose log waits for the disk."""
        try:
            self._admit(endpoint, call)
            self.limits.require_room()
            self.bodies.require_size(len(call.body))
            with self.limits.one_more():
                answer = await self._handle(endpoint.methods["POST"], call)
        except Exception as exc:  # noqa: BLE001  (the border: every error becomes an answer)
            answer = self.refuse(endpoint, call, exc)
        return answer

    def awaits(self, endpoint: Endpoint, call: Call, length: int) -> bool:
        """Whether a body of that many bytes is worth waiting for."""
        try:
            if endpoint.scopes is not None:
                self.keys.check(call.headers, endpoint.scopes)
            self.limits.require_room()
            self.bodies.require_size(length)
        except Exception:  # noqa: BLE001  (the border: the usual way says what is wrong)
            return False
        return True

    async def _read(self, endpoint: Endpoint, call: Call, receive: Receive) -> Answer:
        handler = endpoint.methods.get("GET" if call.method == "HEAD" else call.method)
        if handler is None:
            raise MethodNotAllowed(call.method, endpoint.allowed)
        self._admit(endpoint, call)
        if call.method != "POST":
            answer = handler(call)
            self._count_answered(call, answer)
            return answer
        _require_plain_coding(call.headers)
        self.limits.require_room()
        with self.limits.one_more():
            call.body = await self.bodies.read(call.headers, receive)
            return await self._handle(handler, call)

    async def _handle(self, handler: Handler, call: Call) -> Answer:
        """The handler's answer, once its events are in the log; a large request's is made in another thread."""
        if len(call.body) < OFFLOAD_BYTES:
            answer = handler(call)
        else:
            self.heap.note_large()
            answer = await asyncio.get_running_loop().run_in_executor(self.pool, handler, call)
        if answer.prediction is not None or answer.labels:
            await self._record(call, answer)
        self._count_answered(call, answer)
        return answer

    def _admit(self, endpoint: Endpoint, call: Call) -> None:
        """Check the key, and how often it comes."""
        if endpoint.scopes is not None:
            key = self.keys.check(call.headers, endpoint.scopes)
            if self.limits.key_rate_per_s:
                self.limits.take(key)

    async def turn_away(self, refuse: Refuse, scope: Mapping[str, Any], send: Send, exc: Exception) -> None:
        """Answer a request that no endpoint is for."""
        await _send(send, self._written(refuse, call_of(scope, {}), exc))

    def refuse_unread(self, refuse: Refuse, exc: Exception) -> Answer:
        """The answer to a request whose head is not known, counted."""
        return self._written(refuse, Call("", {}, {}, ""), exc)

    async def _record(self, call: Call, answer: Answer) -> None:
        """Append the answer's events; without a disk to wait for, this never suspends."""
        recorded = self._append(call, answer)
        if recorded and (synced := self.capture.synced()) is not None:
            if answer.prediction is None:
                await synced
            else:
                recorded = await _succeeds(synced)
        if not recorded:
            self._count_lost(call, answer)

    def _append(self, call: Call, answer: Answer) -> bool:
        """Append the answer's events, if it has any; False when a prediction's is lost.

        Raises:
            EventLogUnwritable: Labels could not be written.
        """
        if answer.prediction is not None:
            if REHEARSAL in call.headers and self._is_rehearsal(call):
                answer.prediction, answer.shadow = None, None
                answer.headers = (*answer.headers, CAPTURE_OFF)
                call.subject = _UNKNOWN_MODEL  # no model's traffic
                return True
            self.counts.series(*call.subject).observe(answer.us / 1e6, answer.rows, answer.unseen)
            return self.capture.append_prediction(answer.prediction)
        if answer.labels:
            self.capture.append_labels(answer.labels)
        return True

    def _is_rehearsal(self, call: Call) -> bool:
        """Whether the appliance itself asks, to see whether a deployment answers as training did."""
        return is_signed(self.secret, call.body, call.headers[REHEARSAL])

    def _count_answered(self, call: Call, answer: Answer) -> None:
        """Count what is no prediction; predictions are observed with their time."""
        if answer.prediction is None:
            self.counts.series(*call.subject).count_status(answer.status)

    def _count_lost(self, call: Call, answer: Answer) -> None:
        """The answer goes out though no event remembers it, and says so."""
        self.counts.series(*call.subject).count_lost(answer.rows)
        self.counts.series(*_UNKNOWN_MODEL).note_capture(off=True)
        self.capture.count_lost(*call.subject, answer.rows)
        answer.headers = (*answer.headers, CAPTURE_OFF)

    def refuse(self, endpoint: Endpoint, call: Call, exc: Exception) -> Answer:
        """The answer to a request that failed, counted."""
        return self._written(endpoint.refuse, call, exc)

    def _written(self, refuse: Refuse, call: Call, exc: Exception) -> Answer:
        answer_id = call.given_id or new_request_id(call.at_us)
        try:
            refusal = refuse(exc, answer_id)
        except Exception as unwritable:  # noqa: BLE001  (the border: what cannot be written is an error of ours)
            exc = unwritable
            refusal = refuse(exc, answer_id)
        if kind_of(exc) is INTERNAL:
            log.error(
                "request %s on model %r failed", answer_id, call.subject[0], exc_info=exc,
                extra={"request": answer_id, "model": call.subject[0]},
            )  # fmt: skip
        self.counts.series(*call.subject).count_status(refusal.status)
        self.capture.count_refused(*call.subject, refusal.status)
        if isinstance(exc, BadRow):
            self.capture.count_field(*call.subject, exc.field, absent=exc.absent)
        return Answer(
            body=refusal.body, request_id=answer_id, status=refusal.status, content_type=refusal.content_type,
            headers=refusal.headers,
        )  # fmt: skip


async def _succeeds(synced: Awaitable[None]) -> bool:
    try:
        await synced
    except EventLogUnwritable:
        return False  # the capture keeps the problem
    return True


_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz"})


def _require_plain_coding(headers: Headers) -> None:
    """Refuse a compressed body; connections hand each request that names a coding on to here.

    What is no coding, ``utf-8`` for example, which callers take this header for, is passed over.

    Raises:
        UnknownMediaType: It is coded.
    """
    coding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if not _CODINGS.isdisjoint(one.strip() for one in coding.lower().split(",")):
        raise UnknownMediaType(
            f"the body is coded (Content-Encoding: {coding[:100]}); accepted: a body as it is, without Content-Encoding"
        )


def find_request_id(headers: Headers) -> str:
    """The caller's own id from the headers, the first that is given in the order of precedence; else empty.

    One that is not plain ASCII, or is longer than 200 characters, counts as not given.
    """
    for name in _ID_HEADERS:
        value = headers.get(name)
        if value and len(value) <= _MAX_ID_LENGTH and value.isascii() and value.decode().isprintable():
            return value.decode()
    return ""


def find_entity_key(headers: Headers) -> str | None:
    """What a request is about, from ``X-Entity-Key``: a canary is sticky by it.

    UTF-8, so that a header and a body's ``key`` mean the same; bytes that are none count as Latin-1.
    """
    value = headers.get(b"x-entity-key")
    if not value:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def new_request_id(at_us: int) -> str:
    """A UUIDv7."""
    return request_id(issue(b"", "", at_us, 0))


async def _send(send: Send, answer: Answer) -> None:
    # A body that is given up may come yet: it would be read as the next request.
    closing = [(b"connection", b"close")] if answer.status == HTTPStatus.REQUEST_TIMEOUT else []
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", b"%d" % len(answer.body)),
                (b"x-request-id", answer.request_id.encode()),
                *answer.headers,
                *closing,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})

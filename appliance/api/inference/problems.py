"""One class, one status, one body: what each error looks like to a caller.

The native dialect answers RFC 9457 problem documents; V1, V2 and MLflow's dialect have shapes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from appliance.api.inference.errors import (
    BadCsv,
    BadField,
    BadJson,
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    HeadTooLarge,
    HeadTooSlow,
    MethodNotAllowed,
    NoKey,
    NoSuchRoute,
    TooManyInFlight,
    TooManyRequests,
    TooManyRows,
    UnknownMediaType,
    WrongScope,
)
from appliance.errors import (
    ApplianceError,
    BadInput,
    BadModelSpec,
    BadRow,
    BadSetting,
    BadTable,
    BundleRefused,
    Conflict,
    NotAllowed,
    NotFound,
    NotReady,
    ProcessLost,
    Stopped,
)
from appliance.serving.capture import is_full
from storage.errors import EventLogUnwritable, StorageError

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of problem.

    Attributes:
        status: HTTP status.
        slug: Last part of its type URI; stable.
        title: The same for every occurrence.
    """

    status: int
    slug: str
    title: str


INTERNAL = Kind(status=500, slug="internal", title="Something went wrong here, not in the request")

KINDS: dict[type[Exception], Kind] = {
    BadJson: Kind(status=400, slug="bad-json", title="The body is not the JSON that is expected"),
    BadCsv: Kind(status=400, slug="bad-csv", title="The body is not the CSV that is expected"),
    NoKey: Kind(status=401, slug="no-key", title="An API key is needed"),
    WrongScope: Kind(status=403, slug="wrong-scope", title="This API key is not for this"),
    NotAllowed: Kind(status=403, slug="not-allowed", title="The caller may not do this"),
    NoSuchRoute: Kind(status=404, slug="no-such-path", title="There is nothing at this path"),
    NotFound: Kind(status=404, slug="not-found", title="No such model or version is deployed"),
    MethodNotAllowed: Kind(status=405, slug="wrong-method", title="This path has no such method"),
    BodyTooSlow: Kind(status=408, slug="body-too-slow", title="The body did not arrive in time"),
    HeadTooSlow: Kind(status=408, slug="head-too-slow", title="The request's head did not arrive in time"),
    Conflict: Kind(status=409, slug="conflict", title="The thing changed meanwhile"),
    Stopped: Kind(status=409, slug="stopped", title="Somebody ended what was being done"),
    BodyTooLarge: Kind(status=413, slug="body-too-large", title="The body is too large"),
    UnknownMediaType: Kind(status=415, slug="media-type", title="The body is of a kind that this path does not read"),
    BadField: Kind(status=422, slug="bad-field", title="A member of the request cannot be used"),
    BadRow: Kind(status=422, slug="bad-row", title="A field of a row cannot be used"),
    BadTable: Kind(status=422, slug="bad-table", title="The table cannot be used"),
    BadModelSpec: Kind(status=422, slug="bad-model", title="The model's declaration cannot be used"),
    BadInput: Kind(status=422, slug="bad-input", title="The input cannot be used"),
    TooManyRows: Kind(status=422, slug="too-many-rows", title="The request has too many rows"),
    TooManyRequests: Kind(status=429, slug="too-many-requests", title="This API key sends too many requests"),
    ClientGone: Kind(status=499, slug="client-gone", title="The caller hung up"),
    HeadTooLarge: Kind(status=431, slug="head-too-large", title="The request's head is too large"),
    BadSetting: Kind(status=500, slug="bad-setting", title="A setting is wrong"),
    TooManyInFlight: Kind(status=503, slug="too-many-in-flight", title="Too many requests are being answered"),
    NotReady: Kind(status=503, slug="not-ready", title="A part that is needed is not ready"),
    ProcessLost: Kind(status=503, slug="process-lost", title="The process that did it ended"),
    BundleRefused: Kind(status=503, slug="bundle-refused", title="The model's files failed their own proof"),
    EventLogUnwritable: Kind(
        status=503, slug="log-unwritable", title="The label cannot be recorded, so it is not accepted"
    ),
    StorageError: Kind(status=503, slug="storage", title="The state cannot be read or written"),
    ApplianceError: INTERNAL,
}
"""The nearest class of an error's ancestry decides."""

_LOG_FULL = Kind(status=507, slug="log-full", title="The disk is full: the label cannot be recorded")

_FIELD_STATUS = {422: 400, 507: 503, 409: 400}
"""The field's dialects know bad input as 400 and not ready as 503."""

_MLFLOW_CODES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST", 429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE",
}  # fmt: skip
"""MLflow's error code of a status; any other is BAD_REQUEST, or INVALID_PARAMETER_VALUE where a value is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as its caller shall see it.

    Attributes:
        status: HTTP status.
        content_type: Of ``body``.
        headers: Further headers.
    """

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def kind_of(exc: Exception) -> Kind:
    """What kind of problem an error is; anything unknown is internal."""
    if isinstance(exc, EventLogUnwritable) and is_full(exc):
        return _LOG_FULL
    return next((KINDS[ancestor] for ancestor in type(exc).__mro__ if ancestor in KINDS), INTERNAL)


def native_problem(exc: Exception, request_id: str) -> Refusal:
    """An RFC 9457 problem document, with the field, what was found, and what is accepted, where that is known."""
    kind = kind_of(exc)
    document: dict[str, object] = {
        "type": f"/docs#problem-{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": _detail(exc, kind),
        "request_id": request_id,
        **_particulars(exc),
    }
    return Refusal(
        status=kind.status, content_type=PROBLEM_JSON, body=msgspec.json.encode(document), headers=_headers(exc, kind)
    )


def error_member(exc: Exception, request_id: str) -> Refusal:  # noqa: ARG001  (this shape has no place for it)
    """``{"error"}``, as V1 and the Open Inference Protocol V2 have it."""
    kind = kind_of(exc)
    return _field_refusal(exc, kind, {"error": _detail(exc, kind)})


def mlflow_error(exc: Exception, request_id: str) -> Refusal:  # noqa: ARG001  (this shape has no place for it)
    """``{"error_code", "message"}``, as MLflow's scoring server has it."""
    kind = kind_of(exc)
    if isinstance(exc, NoSuchRoute):
        code = "ENDPOINT_NOT_FOUND"
    elif kind.status == 422:
        code = "INVALID_PARAMETER_VALUE"
    else:
        code = _MLFLOW_CODES.get(_FIELD_STATUS.get(kind.status, kind.status), "BAD_REQUEST")
    return _field_refusal(exc, kind, {"error_code": code, "message": _detail(exc, kind)})


def _field_refusal(exc: Exception, kind: Kind, content: Mapping[str, str]) -> Refusal:
    return Refusal(
        status=_FIELD_STATUS.get(kind.status, kind.status),
        content_type=JSON,
        body=msgspec.json.encode(content),
        headers=_headers(exc, kind),
    )


def _detail(exc: Exception, kind: Kind) -> str:
    """The error's own sentence; never that of an error we did not foresee, which may hold a caller's data."""
    return "see the service's log for this request id" if kind is INTERNAL else str(exc)


def _particulars(exc: Exception) -> Mapping[str, object]:
    if isinstance(exc, BadRow):
        return {"row": exc.row, "field": exc.field, "found": exc.found, "accepted": exc.accepted}
    if isinstance(exc, BadField):
        return {"field": exc.field, "found": exc.found, "accepted": exc.accepted}
    return {}


def _headers(exc: Exception, kind: Kind) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(exc, MethodNotAllowed):
        return ((b"allow", ", ".join(exc.allowed).encode()),)
    if isinstance(exc, TooManyRequests):
        return ((b"retry-after", b"%d" % exc.retry_after_s),)
    if kind.status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    if kind.status == 503:
        return ((b"retry-after", b"1"),)
    return ()

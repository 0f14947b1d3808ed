"""Errors as problem documents (RFC 9457): one table from the class of an error to its status and title."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from appliance import errors as own
from appliance.api.control.doorkeeper import NotLoggedIn, TooManyAttempts
from storage import errors as stored

_LOG = logging.getLogger("appliance.control")

STATUS: dict[type[Exception], tuple[int, str]] = {
    own.ApplianceError: (500, "Not done"),
    own.BadSetting: (500, "Wrong setting"),
    own.BadInput: (422, "Cannot be used as it is"),
    own.BadRow: (422, "Wrong field in a row"),
    own.BadTable: (422, "Dataset cannot train this model"),
    own.BadModelSpec: (422, "Wrong model declaration"),
    own.NotFound: (404, "Not found"),
    own.NotAllowed: (403, "Not allowed"),
    NotLoggedIn: (401, "Who are you?"),
    TooManyAttempts: (429, "Too many attempts"),
    own.Conflict: (409, "Changed meanwhile, or exists already"),
    own.NotReady: (503, "Not ready"),
    own.ProcessLost: (503, "The process that did it ended"),
    own.Stopped: (409, "Stopped"),
    own.BundleRefused: (409, "Bundle refused"),
    stored.StorageError: (500, "Not remembered"),
    stored.StateUnwritable: (507, "State directory cannot be written"),
    stored.StaleSchema: (503, "State has another schema"),
    stored.NumberTooLarge: (404, "No such number"),
    stored.EventLogUnwritable: (507, "Event log cannot be written"),
    stored.SourceUnreadable: (422, "Source cannot be read"),
    stored.SourceUnreachable: (502, "Source's server does not answer"),
    stored.DatasetNotFound: (404, "No such dataset"),
    stored.SnapshotNotFound: (404, "No such dataset version"),
    stored.SchemaChanged: (409, "Other columns than the dataset"),
    stored.RulesWrong: (422, "Wrong rules"),
    stored.RulesBroken: (422, "Rows break the rules"),
    stored.AlreadyIngested: (409, "Is in the dataset already"),
    stored.BundleNotFound: (404, "No such bundle"),
    stored.BackupNotFound: (404, "No such backup"),
    stored.BackupDamaged: (422, "The backup failed its own proof"),
    stored.PassphraseWrong: (422, "The backup does not open"),
    stored.BundleCorrupt: (409, "Bundle is damaged"),
}
"""Status and title of every error class; a test holds it against the trees in both errors.py."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document.

    Attributes:
        type: The error's class; a name, not an address to open.
        detail: What, where, and what to do about it.
        id: Under which the log has the stack; only of unexpected errors.
    """

    type: str
    title: str
    status: int
    detail: str
    id: str | None = None


def status_of(error: Exception) -> tuple[int, str]:
    """Status and title of an error, by the nearest class of the table."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500, "Unexpected"


def answer_known(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """An error of the table."""
    status, title = status_of(error)
    headers = {"Retry-After": str(int(error.wait_s) + 1)} if isinstance(error, TooManyAttempts) else {}
    if isinstance(error, NotLoggedIn):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(Problem(type=type(error).__name__, title=title, status=status, detail=str(error)), headers)


def answer_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of Litestar itself: no such route, a body that does not decode."""
    detail, title = error.detail, type(error).__name__
    if isinstance(error.extra, list):
        detail = "; ".join(_fault(part) for part in error.extra if isinstance(part, dict)) or detail
    if error.status_code == 400:
        title = "Cannot be used as it is"
    elif isinstance(error, MethodNotAllowedException):
        title = "This path has no such method"
        detail = f"{_path(request)} does not take {request.method}; GET /api/schema says what it takes"
    elif isinstance(error, NotFoundException):
        title = "There is nothing at this path"
        detail = f"there is nothing at {_path(request)}; GET /api/schema says what there is"
    return _response(
        Problem(type=type(error).__name__, title=title, status=error.status_code, detail=detail), error.headers or {}
    )


def _path(request: Request[Any, Any, Any]) -> str:
    """As it was asked for: Litestar's own URL names the place where the application is mounted twice."""
    return str(request.scope["path"])


def _fault(part: dict[str, Any]) -> str:
    """One fault of a request, in the caller's words: what Litestar calls ``data`` is the body."""
    field, message = str(part.get("key", "body")), str(part["message"])
    if (field, message) == ("data", "'data'"):
        return "the body is missing; send JSON"
    return f"{'body' if field == 'data' else field}: {message}"


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Anything else: the stack goes to the log, its id to the caller."""
    error_id = uuid.uuid4().hex[:8]
    _LOG.error(
        "control API error %s at %s %s", error_id, request.method, _path(request), exc_info=error,
        extra={"request": error_id},
    )  # fmt: skip
    detail = f"an unexpected error; `appliance logs --request {error_id}` has the details"
    return _response(Problem(type="Unexpected", title="Unexpected", status=500, detail=detail, id=error_id), {})


def _response(problem: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, headers=headers, media_type="application/problem+json"
    )

"""MLflow's scoring server and SageMaker's container; errors as ``{"error_code", "message"}``.

A prediction of a model of classes is a record with the columns that ``appliance predict`` writes, so that a data frame
can be made of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from appliance import __version__
from appliance.api.inference.errors import BadField, BadJson, UnknownMediaType
from appliance.api.inference.exchange import Answer, Call, Headers, find_entity_key, new_request_id
from appliance.api.inference.keys import KeyRing
from appliance.api.inference.predictions import labels_of, probabilities_of
from appliance.api.inference.predictor import Predictor, asked_of, conclude
from appliance.api.inference.row_forms import (
    Rows,
    encode_rows,
    read_columns,
    read_csv,
    read_instances,
    read_numbers,
    read_split,
)
from appliance.api.inference.typed_rows import load_json, why_no_json
from appliance.api.inference.v1 import headers_of
from appliance.encoder import RowEncoder, describe
from appliance.errors import NotReady
from appliance.prediction_ids import request_id
from appliance.schema import Task
from appliance.serving.scoring import Scored

DIALECT = "mlflow"
_ENCODE = msgspec.json.Encoder().encode
_TEXT = b"text/plain; charset=utf-8"
_CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_TARGET_MODEL = b"x-amzn-sagemaker-target-model"
_MAX_ATTRIBUTES = 1024


def _read_records(value: object, member: str) -> Rows:
    rows = read_instances(value, member)
    if not isinstance(rows[0], Mapping):
        raise BadField(field=member, found="a list of lists", accepted="a list of objects, column name to value")
    return rows


def _read_form(value: object, member: str, encoder: RowEncoder) -> Rows:
    if member == "dataframe_split":
        return read_split(value, member, encoder.schema.columns)
    return _FORMS[member](value, member)


_FORMS: Mapping[str, Callable[[object, str], Rows]] = {
    "dataframe_records": _read_records,
    "instances": read_instances,
    "inputs": read_columns,
}
_MEMBERS = ("dataframe_split", *_FORMS)


class Invocations:
    """The dialect's handlers; they run in any thread."""

    def __init__(self, predictor: Predictor, keys: KeyRing) -> None:
        self._predictor = predictor
        self._keys = keys

    def ping(self, call: Call) -> Answer:
        """``GET /ping``, ``GET /health``, and Vertex AI's health route: 200 when every deployed model answers.

        Raises:
            NotReady: Nothing is deployed, a model has no version that could be loaded, or keys cannot be checked.
        """
        routes = self._predictor.router.current.routes.values()
        problems = [
            self._keys.problem,
            *(f"model {route.name!r}: {route.refused}" for route in routes if not route.champion),
        ]
        if not routes:
            problems.append("no model is deployed yet; deploy one with 'appliance deploy NAME'")
        if found := [problem for problem in problems if problem]:
            raise NotReady("; ".join(found))
        return Answer(body=b"\n", content_type=_TEXT, request_id=call.given_id or new_request_id(call.at_us))

    def version(self, call: Call) -> Answer:
        """``GET /version``: of this program, as bare text."""
        return Answer(
            body=__version__.encode(), content_type=_TEXT, request_id=call.given_id or new_request_id(call.at_us)
        )

    def invoke(self, call: Call) -> Answer:
        """``POST /invocations``: a frame as JSON in one of four forms, or as CSV."""
        key = find_entity_key(call.headers)
        named = call.headers.get(_TARGET_MODEL, b"").decode("latin-1").strip()
        choice = self._predictor.choose_of(call, self._predictor.name_of(named), key)
        encoder = choice.model.encoder
        member, rows = _read_rows(call, encoder)
        self._predictor.require_rows(len(rows))
        scored = self._predictor.score(call, choice.model, encode_rows(rows, encoder, member))
        content: dict[str, object] = {"predictions": records_of(scored)}
        if scored.flags:
            content["flags"] = scored.flags
        answer = Answer(
            body=_ENCODE(content), request_id=call.given_id or request_id(scored.token),
            headers=headers_of(scored) + _attributes_of(call.headers),
        )  # fmt: skip
        return conclude(answer, scored, choice, asked_of(call, choice, DIALECT, key))


def records_of(scored: Scored) -> Sequence[object]:
    """A prediction a row: the value, or a record of the label and one probability a class."""
    schema = scored.model.schema
    if schema.task is Task.REGRESSION:
        return scored.values
    names = ["prediction", *(f"probability_{name}" for name in schema.classes)]
    return [
        dict(zip(names, [label, *shares], strict=True))
        for label, shares in zip(labels_of(scored), probabilities_of(scored), strict=True)
    ]


def _read_rows(call: Call, encoder: RowEncoder) -> tuple[str, Rows]:
    """The rows, and the member or kind that held them."""
    kind = _media_type(call.headers)
    if kind == "text/csv":
        return "csv", read_csv(call.body, encoder)
    body = _read_object(call.body)
    given = [member for member in _MEMBERS if member in body]
    if len(given) != 1:
        found = f"the members {', '.join(given)}" if given else "none of its members"
        raise BadField(field="body", found=found, accepted=f"exactly one of {', '.join(_MEMBERS)}")
    if not isinstance(body.get("params"), dict | None):
        raise BadField(field="params", found=describe(body["params"]), accepted="an object")
    return given[0], _read_form(body[given[0]], given[0], encoder)


def _read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. NaN is null: MLflow's own client writes a missing number so.

    Raises:
        BadJson: Not JSON, or not an object.
    """
    if (numbers := read_numbers(body)) is not None:
        return numbers
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as strict:
        try:
            found = load_json(body, constant=lambda text: None if text == "NaN" else float(text))
        except (ValueError, RecursionError):
            raise BadJson(why_no_json(strict)) from None
    if not isinstance(found, dict):
        raise BadJson(f"the body is {describe(found)}; accepted: an object with one of {', '.join(_MEMBERS)}")
    return found


def _media_type(headers: Headers) -> str:
    """The kind of a body; JSON when it does not say.

    Raises:
        UnknownMediaType: Neither JSON nor CSV, or not in UTF-8.
    """
    kind, *parameters = headers.get(b"content-type", b"application/json").decode("latin-1").lower().split(";")
    charsets = [text.partition("=")[2].strip(' "') for text in parameters if text.strip().startswith("charset")]
    if kind.strip() not in {"application/json", "text/csv"} or not {"utf-8", "utf8", "us-ascii"}.issuperset(charsets):
        raise UnknownMediaType(
            f"the body is {headers[b'content-type'].decode('latin-1')[:100]!r}; "
            "accepted: application/json or text/csv, in UTF-8"
        )
    return kind.strip()


def _attributes_of(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """SageMaker's custom attributes back to the caller; dropped when they are not what SageMaker lets through."""
    value = headers.get(_CUSTOM_ATTRIBUTES, b"")
    if value and len(value) <= _MAX_ATTRIBUTES and value.isascii() and value.decode().isprintable():
        return ((_CUSTOM_ATTRIBUTES, value),)
    return ()

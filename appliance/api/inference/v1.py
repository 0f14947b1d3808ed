"""V1: the dialect of TensorFlow Serving, KServe V1 and Vertex AI containers; errors as ``{"error"}``.

Row format in, row format out (``instances``, ``predictions``), columnar in, columnar out (``inputs``, ``outputs``). A
model of classes has two named outputs, so a prediction is an object of both, as TensorFlow Serving has it. Since the
bodies have no place for them, the version and the token that names the predictions for labels are headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.api.inference.errors import BadField, BadJson
from appliance.api.inference.exchange import Answer, Call, find_entity_key, new_request_id
from appliance.api.inference.predictions import labels_of, probabilities_of
from appliance.api.inference.predictor import Predictor, asked_of, conclude
from appliance.api.inference.row_forms import encode_rows, read_columns, read_instances, read_numbers
from appliance.api.inference.typed_rows import decode_leniently
from appliance.encoder import describe
from appliance.prediction_ids import request_id
from appliance.schema import Task
from appliance.serving.router import Choice
from appliance.serving.scoring import Scored

DIALECT = "v1"
_ENCODE = msgspec.json.Encoder().encode
_SIGNATURE = "serving_default"
_NOT_JSON = "; NaN and Infinity are not JSON, send null for missing"


class V1:
    """The dialect's handlers; they run in any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, call: Call) -> Answer:
        """``POST /v1/models/{model}[/versions/{version}]:predict``."""
        key = find_entity_key(call.headers)
        return self._answer(call, self._predictor.choose(call, key), key)

    def predict_default(self, call: Call) -> Answer:
        """The route that Vertex AI chose, which names no model."""
        key = find_entity_key(call.headers)
        return self._answer(call, self._predictor.choose_of(call, self._predictor.name_of(""), key), key)

    def explain(self, call: Call) -> Answer:
        """``POST /v1/models/{model}[/versions/{version}]:explain``: predictions, and what each column contributed."""
        key = find_entity_key(call.headers)
        return self._answer(call, self._predictor.choose(call, key), key, explained=True)

    def list_models(self, call: Call) -> Answer:
        """``GET /v1/models``."""
        return _reply(call, {"models": list(self._predictor.router.current.routes)})

    def describe_model(self, call: Call) -> Answer:
        """``GET /v1/models/{model}[/versions/{version}]``: KServe's ``ready`` and TensorFlow Serving's states."""
        model = self._predictor.find(call)
        route = self._predictor.router.current.routes.get(model.name)
        if route is None or "version" in call.params:
            states = [_state(model.version, "AVAILABLE", "OK", "")]
        else:
            states = [_state(found.version, "AVAILABLE", "OK", "") for found in route.loaded]
            if route.refused:
                states.append(_state(route.wanted, "END", "FAILED_PRECONDITION", route.refused))
        return _reply(call, {"name": model.name, "ready": True, "model_version_status": states})

    def _answer(self, call: Call, choice: Choice, key: str | None, *, explained: bool = False) -> Answer:
        model = choice.model
        body, malformed = read_object(call.body)
        member = _form_of(body)
        rows = (read_instances if member == "instances" else read_columns)(body[member], member)
        self._predictor.require_rows(len(rows))
        encoded = encode_rows(rows, model.encoder, member)
        if malformed:
            raise BadJson(malformed)
        explain = _reasons_wanted(body, len(model.schema.columns)) if explained else 0
        scored = self._predictor.score(call, model, encoded, explain=explain)
        content: dict[str, object] = (
            {"predictions": instances_of(scored)} if member == "instances" else {"outputs": columns_of(scored)}
        )
        if explained:
            content["explanations"] = scored.reasons
        if scored.flags:
            content["flags"] = scored.flags
        answer = Answer(
            body=_ENCODE(content), request_id=call.given_id or request_id(scored.token), headers=headers_of(scored)
        )
        return conclude(answer, scored, choice, asked_of(call, choice, DIALECT, key))


def read_object(body: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object of a body, and the sentence to refuse it with unless one of its values explains it better.

    Raises:
        BadJson: Not JSON in any reading, or not an object.
    """
    if (numbers := read_numbers(body)) is not None:
        return numbers, ""
    found, malformed = decode_leniently(body)
    if not isinstance(found, dict):
        raise BadJson(f"the body is {describe(found)}; accepted: an object")
    return found, malformed and malformed + _NOT_JSON


def headers_of(scored: Scored) -> tuple[tuple[bytes, bytes], ...]:
    """Who answered, and the token that names the predictions when their labels come: ``TOKEN.0``, ``TOKEN.1``."""
    return (b"x-model-version", b"%d" % scored.model.version), (b"x-prediction-token", scored.token.encode())


def instances_of(scored: Scored) -> Sequence[object]:
    """A prediction a row: the value, or the label and one probability a class."""
    if scored.model.schema.task is Task.REGRESSION:
        return scored.values
    return [
        {"prediction": label, "probabilities": shares}
        for label, shares in zip(labels_of(scored), probabilities_of(scored), strict=True)
    ]


def columns_of(scored: Scored) -> object:
    """The same, an output a column."""
    if scored.model.schema.task is Task.REGRESSION:
        return scored.values
    return {"prediction": labels_of(scored), "probabilities": probabilities_of(scored)}


def _form_of(body: dict[str, Any]) -> str:
    """Which of the two forms a request has."""
    given = [member for member in ("instances", "inputs") if member in body]
    if len(given) != 1:
        found = "both members" if given else "neither member"
        raise BadField(
            field="instances", found=found, accepted="exactly one of 'instances' (rows) and 'inputs' (columns)"
        )
    if body.get("signature_name", _SIGNATURE) not in {_SIGNATURE, ""}:
        raise BadField(field="signature_name", found=describe(body["signature_name"]), accepted=repr(_SIGNATURE))
    if not isinstance(body.get("parameters"), dict | None):
        raise BadField(field="parameters", found=describe(body["parameters"]), accepted="an object")
    return given[0]


def _reasons_wanted(body: dict[str, Any], columns: int) -> int:
    """How many contributions to give with each row: ``parameters.explain``, else all."""
    value = (body.get("parameters") or {}).get("explain", columns)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadField(
            field="parameters.explain", found=describe(value), accepted=f"a whole number from 1 to {columns}"
        )
    return min(value, columns)


def _state(version: int, state: str, code: str, message: str) -> dict[str, object]:
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def _reply(call: Call, content: object) -> Answer:
    return Answer(body=_ENCODE(content), request_id=call.given_id or new_request_id(call.at_us))

"""The Open Inference Protocol V2 (KServe, Triton, MLServer): tensors in, tensors out, errors as ``{"error"}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance import __version__
from appliance.api.inference.errors import BadField, BadJson
from appliance.api.inference.exchange import Answer, Call, Headers, find_entity_key, new_request_id
from appliance.api.inference.predictions import flat_probabilities, labels_of
from appliance.api.inference.predictor import Predictor, asked_of, conclude
from appliance.api.inference.tensors import (
    COLUMN_DATATYPES,
    InferRequest,
    decode_request,
    encode_tensors,
    pack_output,
)
from appliance.errors import NotReady
from appliance.prediction_ids import request_id
from appliance.schema import Task
from appliance.serving.loaded_model import LoadedModel
from appliance.serving.scoring import Scored

DIALECT = "v2"
_ENDS = ("interval_low", "interval_high")
_ENCODE = msgspec.json.Encoder().encode
_LENGTH_HEADER = b"inference-header-content-length"
_OCTETS = b"application/octet-stream"
_MAX_ID_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """An output tensor.

    Attributes:
        values: Flat, row-major.
    """

    name: str
    shape: list[int]
    datatype: str
    values: Sequence[Any]


class OpenInference:
    """The protocol's handlers; they run in any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def infer(self, call: Call) -> Answer:
        """``POST /v2/models/{model}[/versions/{version}]/infer``."""
        key = find_entity_key(call.headers)
        choice = self._predictor.choose(call, key)
        model = choice.model
        request = decode_request(call.body, _json_length(call.headers))
        names = require_outputs(request, model)
        if request.inputs and request.inputs[0].shape:
            self._predictor.require_rows(request.inputs[0].shape[0])
        scored = self._predictor.score(call, model, encode_tensors(request.inputs, model.encoder))
        answer_id = _answer_id(request, call, scored)
        outputs = [output for output in outputs_of(scored) if output.name in names]
        content = {
            "model_name": model.name,
            "model_version": str(model.version),
            "id": answer_id,
            "parameters": {
                "prediction_token": scored.token,
                **({"flags": _ENCODE(scored.flags).decode()} if scored.flags else {}),
            },
        }
        body, headers = _write(content, outputs, _binary_outputs(request))
        answer = Answer(
            body=body, request_id=answer_id if _is_header_safe(answer_id) else request_id(scored.token),
            content_type=_OCTETS if headers else b"application/json",
            headers=(*headers, (b"x-model-version", b"%d" % model.version)),
        )  # fmt: skip
        return conclude(answer, scored, choice, asked_of(call, choice, DIALECT, key))

    def describe_server(self, call: Call) -> Answer:
        """``GET /v2``."""
        content = {
            "name": "mlops-appliance",
            "version": __version__,
            "extensions": ["binary_tensor_data", "model_repository"],
        }
        return _reply(call, content)

    def live(self, call: Call) -> Answer:
        """``GET /v2/health/live``."""
        return _reply(call, {"live": True})

    def ready(self, call: Call) -> Answer:
        """``GET /v2/health/ready``: every deployed model answers."""
        ready = all(route.champion for route in self._predictor.router.current.routes.values())
        return _reply(call, {"live": ready, "ready": ready}, status=200 if ready else 503)

    def list_models(self, call: Call) -> Answer:
        """``GET /v2/models``."""
        return _reply(call, {"models": list(self._predictor.router.current.routes)})

    def describe_model(self, call: Call) -> Answer:
        """``GET /v2/models/{model}[/versions/{version}]``."""
        model = self._predictor.find(call)
        content = {
            "name": model.name,
            "versions": self._versions(model),
            "platform": "lightgbm",
            "inputs": [
                {"name": column.name, "datatype": COLUMN_DATATYPES[column.kind], "shape": [-1]}
                for column in model.schema.columns
            ],
            "outputs": describe_outputs(model),
        }
        return _reply(call, content)

    def _versions(self, model: LoadedModel) -> list[str]:
        """The versions of a model that can be addressed, the champion first."""
        route = self._predictor.router.current.routes.get(model.name)
        return [str(found.version) for found in route.loaded] if route else [str(model.version)]

    def model_ready(self, call: Call) -> Answer:
        """``GET /v2/models/{model}[/versions/{version}]/ready``."""
        try:
            model = self._predictor.find(call)
        except NotReady:
            return _reply(call, {"name": call.params["model"], "ready": False}, status=503)
        return _reply(call, {"name": model.name, "ready": True})

    def index(self, call: Call) -> Answer:
        """``POST /v2/repository/index``."""
        content = []
        for route in self._predictor.router.current.routes.values():
            content += [_indexed(route.name, model.version, "READY", "") for model in route.loaded]
            if route.refused:
                content.append(_indexed(route.name, route.wanted, "UNAVAILABLE", route.refused))
        return _reply(call, content)


def describe_outputs(model: LoadedModel) -> list[dict[str, object]]:
    """The output tensors of a model, as its metadata lists them."""
    schema = model.schema
    if schema.task is Task.REGRESSION:
        names = ["prediction", *(_ENDS if model.interval is not None else ())]
        return [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
    return [
        {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(schema.classes)]},
        {"name": "raw", "datatype": "FP64", "shape": [-1] if schema.task is Task.BINARY else [-1, len(schema.classes)]},
    ]


def outputs_of(scored: Scored) -> list[Output]:
    """The output tensors of an answer: the value and its interval, or the label and one probability a class."""
    schema, rows = scored.model.schema, scored.rows
    if schema.task is Task.REGRESSION:
        columns = {"prediction": scored.values}
        if scored.ends is not None:
            columns |= {name: scored.ends[at::2] for at, name in enumerate(_ENDS)}
        return [Output(name=name, shape=[rows], datatype="FP64", values=values) for name, values in columns.items()]
    shares = flat_probabilities(scored)
    raw_shape = [rows] if schema.task is Task.BINARY else [rows, len(schema.classes)]
    return [
        Output(name="prediction", shape=[rows], datatype="BYTES", values=labels_of(scored)),
        Output(name="probabilities", shape=[rows, len(schema.classes)], datatype="FP64", values=shares),
        Output(name="raw", shape=raw_shape, datatype="FP64", values=scored.raw),
    ]


def require_outputs(request: InferRequest, model: LoadedModel) -> set[str]:
    """The names of the outputs to give.

    Raises:
        BadField: One that was asked for does not exist.
    """
    known = [str(output["name"]) for output in describe_outputs(model)]
    if not request.outputs:
        return set(known)
    for output in request.outputs:
        if output.name not in known:
            raise BadField(field="outputs", found=f"the name {output.name[:40]!r}", accepted=", ".join(known))
    return {output.name for output in request.outputs}


def _write(
    content: dict[str, Any], outputs: list[Output], binary: set[str] | None
) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The answer's body, and the header that says how much of it is JSON when tensors follow it."""
    tails = []
    written = []
    for output in outputs:
        tensor: dict[str, object] = {"name": output.name, "shape": output.shape, "datatype": output.datatype}
        if binary is None or output.name in binary:
            packed = pack_output(output.datatype, output.values)
            tensor["parameters"] = {"binary_data_size": len(packed)}
            tails.append(packed)
        else:
            tensor["data"] = output.values
        written.append(tensor)
    head = _ENCODE({**content, "outputs": written})
    if not tails:
        return head, ()
    return b"".join([head, *tails]), ((_LENGTH_HEADER, b"%d" % len(head)),)


def _binary_outputs(request: InferRequest) -> set[str] | None:
    """The outputs that the caller wants in binary; None: all of them."""
    if (request.parameters or {}).get("binary_data_output") is True and not request.outputs:
        return None
    everywhere = (request.parameters or {}).get("binary_data_output") is True
    return {
        output.name
        for output in request.outputs or ()
        if (output.parameters or {}).get("binary_data", everywhere) is True
    }


def _answer_id(request: InferRequest, call: Call, scored: Scored) -> str:
    return request.id or call.given_id or request_id(scored.token)


def _is_header_safe(text: str) -> bool:
    return len(text) <= _MAX_ID_LENGTH and text.isascii() and text.isprintable()


def _json_length(headers: Headers) -> int | None:
    value = headers.get(_LENGTH_HEADER)
    if value is None:
        return None
    if not value.isdigit():
        raise BadJson("Inference-Header-Content-Length is not a whole number")
    return int(value)


def _indexed(name: str, version: int, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": str(version), "state": state, "reason": reason}


def _reply(call: Call, content: object, *, status: int = 200) -> Answer:
    return Answer(body=_ENCODE(content), status=status, request_id=call.given_id or new_request_id(call.at_us))

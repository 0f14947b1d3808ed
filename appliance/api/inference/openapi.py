"""The API's OpenAPI 3.1 document, written from what is deployed: each model's own columns, classes and example."""

from __future__ import annotations

from collections.abc import Iterable

from appliance import __version__
from appliance.api.inference.problems import KINDS, Kind
from appliance.schema import Column, FeatureSchema, Task
from appliance.schema import Kind as ColumnKind
from appliance.serving.loaded_model import LoadedModel

Json = dict[str, object]

_TYPES: dict[ColumnKind, Json] = {
    ColumnKind.NUMBER: {"type": ["number", "null"]},
    ColumnKind.BOOLEAN: {"type": ["boolean", "null"]},
    ColumnKind.CATEGORY: {"type": ["string", "null"]},
    ColumnKind.DATETIME: {"type": ["string", "null"], "format": "date-time"},
}
_EXAMPLES: dict[ColumnKind, object] = {
    ColumnKind.NUMBER: 0.5,
    ColumnKind.BOOLEAN: True,
    ColumnKind.CATEGORY: "a category",
    ColumnKind.DATETIME: "2026-01-31T12:00:00Z",
}
_STRING: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time", "description": "The event's own time; the arrival without it."}


def build_document(models: Iterable[LoadedModel]) -> Json:
    """The whole document.

    Args:
        models: What is deployed now; each gets paths of its own.
    """
    paths: dict[str, Json] = {
        "/models": {"get": _operation("The deployed models", "models")},
        "/health/live": {"get": _operation("Whether this process lives", "health", open_to_all=True)},
        "/health/ready": {
            "get": _operation("Whether it can answer, and each model's state", "health", open_to_all=True)
        },
        "/metrics": {"get": _operation("Counters and latencies in Prometheus's format; scope read", "health")},
    }
    for model in models:
        paths |= _model_paths(model)
    paths |= _v2_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inference API",
            "version": __version__,
            "description": "Predictions of the deployed models. Native routes answer errors as RFC 9457 problem "
            "documents, routes below /v2 as the Open Inference Protocol does.",
        },
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {"Problem": _problem_schema()},
        },
    }


def problem_kinds() -> list[Kind]:
    """Every kind of problem, by status."""
    return sorted({kind.slug: kind for kind in KINDS.values()}.values(), key=lambda kind: (kind.status, kind.slug))


def row_schema(schema: FeatureSchema) -> Json:
    """The JSON schema of one row of a model."""
    return {
        "type": "object",
        "required": [column.name for column in schema.columns],
        "properties": {column.name: _column_schema(column) for column in schema.columns},
    }


def example_request(schema: FeatureSchema) -> Json:
    """A prediction request that the model answers; its values are made up, since the document is open to all."""
    return {"rows": [{column.name: _EXAMPLES[column.kind] for column in schema.columns}]}


def _model_paths(model: LoadedModel) -> dict[str, Json]:
    path = f"/models/{model.name}"
    predict: Json = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "items": row_schema(model.schema)},
            "explain": {
                "type": "integer", "minimum": 0, "default": 0,
                "description": "How many of the largest contributions to give with each prediction.",
            },
            "key": {**_STRING, "description": "Your own key of this request; it is kept with the event."},
            "time": _TIME,
        },
    }  # fmt: skip
    label: Json = {
        "type": "object",
        "required": ["labels"],
        "properties": {
            "labels": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "label"],
                    "properties": {"id": _STRING, "label": _label_schema(model.schema), "time": _TIME},
                },
            }
        },
    }
    return {
        path: {"get": _operation(f"Columns, classes and an example row of {model.name}", model.name)},
        f"{path}/predict": {
            "post": _operation(
                f"Predict with {model.name} version {model.version}", model.name, body=predict,
                example=example_request(model.schema), answer=_answer_schema(model.schema),
            )
        },
        f"{path}/labels": {
            "post": _operation(
                f"Tell {model.name} what became true", model.name, body=label,
                example={"labels": [{"id": "TOKEN.0", "label": (*model.schema.classes, 1.5)[0]}]},
            )
        },
    }  # fmt: skip


def _v2_paths() -> dict[str, Json]:
    tag = "Open Inference Protocol"
    tensor: Json = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": _STRING, "shape": {"type": "array", "items": {"type": "integer"}}, "datatype": _STRING,
            "parameters": {"type": "object"}, "data": {"type": "array"},
        },
    }  # fmt: skip
    infer: Json = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": _STRING, "parameters": {"type": "object"}, "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": _STRING}}},
        },
    }  # fmt: skip
    paths: dict[str, Json] = {
        "/v2": {"get": _operation("The server", tag, open_to_all=True)},
        "/v2/health/live": {"get": _operation("Whether the server lives", tag, open_to_all=True)},
        "/v2/health/ready": {"get": _operation("Whether every deployed model is ready", tag, open_to_all=True)},
        "/v2/models": {"get": _operation("The deployed models", tag)},
        "/v2/repository/index": {"post": _operation("The versions and their state", tag)},
    }
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        names = ["model", *(["version"] if "version" in path else [])]
        parameters = [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in names]
        paths[path] = {"parameters": parameters, "get": _operation("A model's inputs and outputs", tag)}
        paths[f"{path}/ready"] = {
            "parameters": parameters,
            "get": _operation("Whether a model is ready", tag, open_to_all=True),
        }
        paths[f"{path}/infer"] = {
            "parameters": parameters,
            "post": _operation("Predict: one tensor [rows, columns], or one input a column", tag, body=infer),
        }
    return paths


def _operation(
    summary: str,
    tag: str,
    *,
    body: Json | None = None,
    example: Json | None = None,
    answer: Json | None = None,
    open_to_all: bool = False,
) -> Json:
    content: Json = {"application/json": {"schema": answer or {"type": "object"}}}
    operation: Json = {
        "summary": summary,
        "tags": [tag],
        "responses": {
            "2XX": {"description": "Done", "content": content},
            "default": {
                "description": "Refused; the document says why",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if body is not None:
        media: Json = {"schema": body, **({"example": example} if example else {})}
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    if open_to_all:
        operation["security"] = []
    return operation


def _column_schema(column: Column) -> Json:
    found = dict(_TYPES[column.kind])
    if column.kind is ColumnKind.CATEGORY:
        if column.integer:
            found["type"] = ["string", "integer", "null"]
        found["description"] = f"One of {len(column.levels)} categories; GET the model to see them."
    return found


def _label_schema(schema: FeatureSchema) -> Json:
    return {"type": "number"} if schema.task is Task.REGRESSION else {"enum": list(schema.classes)}


def _answer_schema(schema: FeatureSchema) -> Json:
    prediction: Json = {"id": _STRING, "flags": {"type": "array", "items": _STRING}, "reasons": {"type": "array"}}
    if schema.task is Task.REGRESSION:
        prediction["value"] = {"type": "number"}
    else:
        prediction["label"] = _label_schema(schema)
        a_class: Json = {"type": "object", "properties": {name: {"type": "number"} for name in schema.classes}}
        prediction["probabilities"] = a_class
        prediction["raw"] = {"type": "number"} if schema.task is Task.BINARY else a_class
    return {
        "type": "object",
        "properties": {
            "model": _STRING, "version": {"type": "integer"}, "request_id": _STRING,
            "predictions": {"type": "array", "items": {"type": "object", "properties": prediction}},
        },
    }  # fmt: skip


def _problem_schema() -> Json:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": _STRING, "title": _STRING, "status": {"type": "integer"}, "detail": _STRING, "request_id": _STRING,
            "row": {"type": "integer"}, "field": _STRING, "found": _STRING, "accepted": _STRING,
        },
    }  # fmt: skip

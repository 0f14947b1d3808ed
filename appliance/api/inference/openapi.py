"""The API's OpenAPI 3.1 document, written from what is deployed: each model's own columns, classes and example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance import __version__
from appliance.api.inference.openapi_protocols import mlflow_paths, v1_paths, v2_paths
from appliance.api.inference.openapi_schemas import (
    STRING,
    Json,
    as_text,
    error_schemas,
    example_row,
    label_schema,
    operation,
    row_schema,
)
from appliance.api.inference.problems import KINDS, Kind
from appliance.schema import FeatureSchema, Task
from appliance.serving.loaded_model import LoadedModel

_TIME: Json = {
    "type": ["string", "null"], "format": "date-time",
    "description": "The event's own time, of 1970 or later; the arrival without it.",
}  # fmt: skip


def build_document(models: Iterable[LoadedModel]) -> Json:
    """The whole document.

    Args:
        models: What is deployed now; each gets paths of its own.
    """
    return document_of([model.schema for model in models])


def document_of(schemas: Sequence[FeatureSchema]) -> Json:
    """The same of schemas; version 0 stands for whichever is deployed."""
    paths: dict[str, Json] = {
        "/models": {"get": operation("The deployed models", "models")},
        "/health/live": {"get": operation("Whether this process lives", "health", open_to_all=True)},
        "/health/ready": {
            "get": operation("Whether it can answer, and each model's state", "health", open_to_all=True)
        },
        "/metrics": {"get": as_text(operation("Counters and latencies in Prometheus's format; scope read", "health"))},
    }
    for schema in schemas:
        paths |= _model_paths(schema)
    paths |= v2_paths(schemas) | v1_paths(schemas) | mlflow_paths(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inference API",
            "version": __version__,
            "description": "Predictions of the deployed models. Native routes answer errors as RFC 9457 problem "
            "documents; V1, V2 and MLflow's dialect as those protocols do.",
        },
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": error_schemas() | {f"{schema.model}.row": row_schema(schema) for schema in schemas},
        },
    }


def problem_kinds() -> list[Kind]:
    """Every kind of problem, by status."""
    return sorted({kind.slug: kind for kind in KINDS.values()}.values(), key=lambda kind: (kind.status, kind.slug))


def example_request(schema: FeatureSchema) -> Json:
    """A prediction request that the model answers; its values are made up, since the document is open to all."""
    return {"rows": [example_row(schema)]}


def _model_paths(schema: FeatureSchema) -> dict[str, Json]:
    name = schema.model
    path = f"/models/{name}"
    which = f"{name} version {schema.version}" if schema.version else name
    predict: Json = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "items": row_schema(schema)},
            "explain": {
                "type": "integer", "minimum": 0, "default": 0,
                "description": "How many of the largest contributions to give with each prediction.",
            },
            "key": {
                "type": ["string", "null"], "description": "Your own key of this request; it is kept with the event.",
            },
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
                    "properties": {"id": STRING, "label": label_schema(schema), "time": _TIME},
                },
            }
        },
    }
    return {
        path: {"get": operation(f"Columns, classes and an example row of {name}", name)},
        f"{path}/predict": {
            "post": operation(
                f"Predict with {which}", name, body=predict, example=example_request(schema),
                answer=_answer_schema(schema),
            )
        },
        f"{path}/labels": {
            "post": operation(
                f"Tell {name} what became true", name, body=label,
                example={"labels": [{"id": "TOKEN.0", "label": (*schema.classes, 1.5)[0]}]},
            )
        },
    }  # fmt: skip


def _answer_schema(schema: FeatureSchema) -> Json:
    prediction: Json = {"id": STRING, "flags": {"type": "array", "items": STRING}, "reasons": {"type": "array"}}
    if schema.task is Task.REGRESSION:
        prediction["value"] = {"type": "number"}
        prediction["interval"] = {
            "type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2,
            "description": "Low and high; where the model declares intervals.",
        }  # fmt: skip
    else:
        prediction["label"] = label_schema(schema)
        a_class: Json = {"type": "object", "properties": {name: {"type": "number"} for name in schema.classes}}
        prediction["probabilities"] = a_class
        prediction["raw"] = {"type": "number"} if schema.task is Task.BINARY else a_class
    return {
        "type": "object",
        "properties": {
            "model": STRING, "version": {"type": "integer"}, "request_id": STRING,
            "predictions": {"type": "array", "items": {"type": "object", "properties": prediction}},
        },
    }  # fmt: skip

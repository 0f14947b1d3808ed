"""The field's dialects in the OpenAPI document: V1, V2 and MLflow's, from the schemas of the deployed models."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.api.inference.openapi_schemas import (
    STRING,
    Json,
    as_text,
    column_tensor,
    columns_schema,
    example_row,
    label_schema,
    list_schema,
    operation,
)
from appliance.schema import FeatureSchema, Task

_V1 = "V1 (TensorFlow Serving, KServe, Vertex AI)"
_MLFLOW = "MLflow scoring server, SageMaker"
_PARAMETERS: Json = {"type": ["object", "null"]}
_ROWS: Json = {"type": "array", "minItems": 1, "items": {"type": ["object", "array"]}}
_COLUMNS: Json = {"type": ["object", "array"], "minProperties": 1, "minItems": 1}


def row_reference(schema: FeatureSchema) -> Json:
    """Where the document holds the schema of a model's row."""
    return {"$ref": f"#/components/schemas/{schema.model}.row"}


def v1_paths(schemas: Sequence[FeatureSchema]) -> dict[str, Json]:
    """The paths of V1: each model's own, and those of any model's versions."""
    paths: dict[str, Json] = {"/v1/models": {"get": operation("The deployed models", _V1, refusal="Error")}}
    for schema in schemas:
        path = f"/v1/models/{schema.model}"
        request = _v1_request(schema)
        paths[path] = {"get": operation(f"The versions of {schema.model} and their state", _V1, refusal="Error")}
        summaries = {"predict": "Predict", "explain": "Predict, and say what each column contributed,"}
        for verb, summary in summaries.items():
            paths[f"{path}:{verb}"] = {
                "post": operation(
                    f"{summary} with {schema.model}", _V1, body=request, example={"instances": [example_row(schema)]},
                    answer=_v1_answer(schema, explained=verb == "explain"), refusal="Error",
                )
            }  # fmt: skip
    path = "/v1/models/{model}/versions/{version}"
    body: Json = {
        "type": "object",
        "description": "Exactly one of instances (rows) and inputs (columns).",
        "properties": {"instances": _ROWS, "inputs": _COLUMNS, "parameters": _PARAMETERS},
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    }
    example: Json | None = {"instances": [example_row(schemas[0])]} if schemas else None
    parameters = _path_parameters(schemas, "model", "version")
    paths[path] = {"parameters": parameters, "get": operation("The state of a version", _V1, refusal="Error")}
    for verb in ("predict", "explain"):
        found = operation(
            f"The same as {verb} above, by the version addressed", _V1, body=body, example=example, refusal="Error"
        )
        paths[f"{path}:{verb}"] = {"parameters": parameters, "post": found}
    return paths


def _v1_request(schema: FeatureSchema) -> Json:
    kinds = (row_reference(schema), list_schema(schema))
    rows: Json = {"anyOf": [{"type": "array", "minItems": 1, "items": row} for row in kinds]}
    columns: Json = {"anyOf": [columns_schema(schema), {"type": "array", "minItems": 1, "items": list_schema(schema)}]}
    return {
        "type": "object",
        "description": "Exactly one of instances (rows) and inputs (columns).",
        "properties": {"instances": rows, "inputs": columns, "parameters": _PARAMETERS},
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    }


def _v1_answer(schema: FeatureSchema, *, explained: bool) -> Json:
    number: Json = {"type": "number"}
    if schema.task is Task.REGRESSION:
        row, columns = number, {"type": "array", "items": number}
    else:
        shares: Json = {"type": "array", "items": number, "description": f"Of {', '.join(schema.classes)}."}
        row = {"type": "object", "properties": {"prediction": label_schema(schema), "probabilities": shares}}
        columns = {
            "type": "object",
            "properties": {
                "prediction": {"type": "array", "items": label_schema(schema)},
                "probabilities": {"type": "array", "items": shares},
            },
        }
    flags: Json = {"type": "object", "description": "What was odd, by the row's place; odd rows only."}
    members: Json = {"predictions": {"type": "array", "items": row}, "outputs": columns, "flags": flags}
    if explained:
        members["explanations"] = {"type": "array", "items": {"type": "array", "items": {"type": "object"}}}
    return {"type": "object", "properties": members}


def mlflow_paths(schemas: Sequence[FeatureSchema]) -> dict[str, Json]:
    """The paths of MLflow's scoring server and SageMaker's container."""
    rows: Json = {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [row_reference(schema) for schema in schemas] or [{}]},
    }
    split: Json = {
        "type": "object", "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "minItems": 1, "items": STRING},
            "data": {"type": "array", "minItems": 1, "items": {"type": "array"}},
        },
    }  # fmt: skip
    forms: Json = {"dataframe_split": split, "dataframe_records": rows, "instances": _ROWS, "inputs": _COLUMNS}
    body: Json = {
        "type": "object",
        "description": f"Exactly one of {', '.join(forms)}.",
        "properties": {**forms, "params": _PARAMETERS},
        "oneOf": [{"required": [form]} for form in forms],
    }
    answer: Json = {"type": "object", "properties": {"predictions": {"type": "array"}, "flags": {"type": "object"}}}
    invoke = operation(
        "Predict with the model that the header names, else the default or only one", _MLFLOW, body=body,
        example={"dataframe_records": [example_row(schemas[0])]} if schemas else None, answer=answer,
        refusal="MlflowError",
    )  # fmt: skip
    content = invoke["requestBody"]["content"]  # type: ignore[index]  # made above
    content["text/csv"] = {"schema": {"type": "string", "description": "A header row, then a row or more."}}
    target: Json = {"name": "X-Amzn-SageMaker-Target-Model", "in": "header", "schema": STRING}
    if schemas:
        target["example"] = schemas[0].model
    return {
        "/ping": {"get": _bare("Whether every deployed model answers")},
        "/health": {"get": _bare("The same")},
        "/version": {"get": _bare("The version of this program")},
        "/invocations": {"parameters": [target], "post": invoke},
    }


def _bare(summary: str) -> Json:
    """An operation that answers text."""
    return as_text(operation(summary, _MLFLOW, refusal="MlflowError", open_to_all=True))


def v2_paths(schemas: Sequence[FeatureSchema]) -> dict[str, Json]:
    """The paths of the Open Inference Protocol; its examples ask the first of the models."""
    tag = "Open Inference Protocol"
    tensor: Json = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": STRING, "shape": {"type": "array", "items": {"type": "integer"}}, "datatype": STRING,
            "parameters": _PARAMETERS, "data": {"type": "array"},
        },
    }  # fmt: skip
    output: Json = {
        "type": "object", "required": ["name"], "properties": {"name": STRING, "parameters": _PARAMETERS},
    }  # fmt: skip
    infer: Json = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]}, "parameters": _PARAMETERS,
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {"type": ["array", "null"], "items": output},
        },
    }  # fmt: skip
    example: Json | None = {"inputs": list(map(column_tensor, schemas[0].columns))} if schemas else None
    state: Json = {"type": "object", "properties": dict.fromkeys(("name", "version", "state", "reason"), STRING)}
    states: Json = {"type": "array", "items": state}
    paths: dict[str, Json] = {
        "/v2": {"get": operation("The server", tag, refusal="Error", open_to_all=True)},
        "/v2/health/live": {"get": operation("Whether the server lives", tag, refusal="Error", open_to_all=True)},
        "/v2/health/ready": {
            "get": operation("Whether every deployed model is ready", tag, refusal="Error", open_to_all=True)
        },
        "/v2/models": {"get": operation("The deployed models", tag, refusal="Error")},
        "/v2/repository/index": {
            "post": operation("The versions and their state", tag, answer=states, refusal="Error")
        },
    }
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        parameters = _path_parameters(schemas, "model", *(["version"] if "version" in path else []))
        paths[path] = {"parameters": parameters, "get": operation("A model's inputs and outputs", tag, refusal="Error")}
        paths[f"{path}/ready"] = {
            "parameters": parameters,
            "get": operation("Whether a model is ready", tag, refusal="Error", open_to_all=True),
        }
        paths[f"{path}/infer"] = {
            "parameters": parameters,
            "post": operation(
                "Predict: one tensor [rows, columns], or one input a column",
                tag,
                refusal="Error",
                body=infer,
                example=example,
            ),
        }
    return paths


def _path_parameters(schemas: Sequence[FeatureSchema], *names: str) -> list[Json]:
    """The path's parameters; an example is of the first model."""
    found: list[Json] = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in names]
    if schemas:
        examples = {"model": schemas[0].model, "version": str(schemas[0].version)}
        found = [{**one, "example": examples[name]} for one, name in zip(found, names, strict=True)]
    return found

"""The parts that the OpenAPI document is made of: a model's columns and classes as JSON schemas, operations, errors."""

from __future__ import annotations

from appliance.schema import Column, FeatureSchema, Task
from appliance.schema import Kind as ColumnKind

Json = dict[str, object]
JSON_TYPE = "application/json"
STRING: Json = {"type": "string"}

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


_PROTECTED = "No input of the model: kept with the prediction, so that groups can be compared once labels come."


def row_schema(schema: FeatureSchema) -> Json:
    """The JSON schema of one row of a model."""
    return {
        "type": "object",
        "required": [column.name for column in schema.columns],
        "properties": {column.name: column_schema(column) for column in schema.columns}
        | {column.name: {**column_schema(column), "description": _PROTECTED} for column in schema.protected},
    }


def list_schema(schema: FeatureSchema) -> Json:
    """The JSON schema of one row as a list in model order."""
    width = len(schema.columns)
    return {
        "type": "array", "minItems": width, "maxItems": width,
        "prefixItems": [{**column_schema(column), "title": column.name} for column in schema.columns],
    }  # fmt: skip


def columns_schema(schema: FeatureSchema) -> Json:
    """The JSON schema of rows as an object of columns."""
    return {
        "type": "object",
        "required": [column.name for column in schema.columns],
        "properties": {column.name: {"type": "array", "items": column_schema(column)} for column in schema.columns},
    }


def example_row(schema: FeatureSchema) -> Json:
    """A row that the model answers; its values are made up, since the document is open to all."""
    return {column.name: _EXAMPLES[column.kind] for column in schema.columns}


def column_tensor(column: Column) -> Json:
    """The made-up value of one column as a V2 tensor of one row."""
    tensor: Json = {"name": column.name, "shape": [1], "datatype": "FP64", "data": [_EXAMPLES[column.kind]]}
    if column.kind is ColumnKind.BOOLEAN:
        tensor["datatype"] = "BOOL"
    elif column.kind is not ColumnKind.NUMBER:
        tensor |= {"datatype": "BYTES", "parameters": {"content_type": "str"}}
    return tensor


def column_schema(column: Column) -> Json:
    """The JSON schema of one cell."""
    found = dict(_TYPES[column.kind])
    if column.kind is ColumnKind.CATEGORY:
        if column.integer:
            found["type"] = ["string", "integer", "null"]
        found["description"] = f"One of {len(column.levels)} categories; GET the model to see them."
    return found


def label_schema(schema: FeatureSchema) -> Json:
    """The JSON schema of a label of the model."""
    return {"type": "number"} if schema.task is Task.REGRESSION else {"enum": list(schema.classes)}


def operation(  # noqa: PLR0913  (the parts of an operation)
    summary: str,
    tag: str,
    *,
    body: Json | None = None,
    example: Json | None = None,
    answer: Json | None = None,
    refusal: str = "Problem",
    open_to_all: bool = False,
) -> Json:
    """An operation of the document.

    Args:
        summary: One sentence without its full stop.
        tag: The group it stands in.
        body: Schema of the JSON it takes.
        example: A body that is answered.
        answer: Schema of the JSON it gives.
        refusal: Name of the schema in which its dialect writes an error down.
        open_to_all: It needs no key.
    """
    kind = "application/problem+json" if refusal == "Problem" else JSON_TYPE
    found: Json = {
        "summary": summary,
        "tags": [tag],
        "responses": {
            "2XX": {"description": "Done", "content": {JSON_TYPE: {"schema": answer or {"type": "object"}}}},
            "default": {
                "description": "Refused; the body says why",
                "content": {kind: {"schema": {"$ref": f"#/components/schemas/{refusal}"}}},
            },
        },
    }
    if body is not None:
        media: Json = {"schema": body, **({"example": example} if example else {})}
        found["requestBody"] = {"required": True, "content": {JSON_TYPE: media}}
    if open_to_all:
        found["security"] = []
    return found


def as_text(found: Json) -> Json:
    """The operation, which answers text and no JSON."""
    done = found["responses"]["2XX"]  # type: ignore[index]  # ``operation`` made it
    done["content"] = {"text/plain": {"schema": STRING}}
    return found


def error_schemas() -> dict[str, Json]:
    """How each dialect writes an error down, by the name that ``operation`` takes."""
    return {
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "request_id"],
            "properties": {
                "type": STRING, "title": STRING, "status": {"type": "integer"}, "detail": STRING, "request_id": STRING,
                "row": {"type": "integer"}, "field": STRING, "found": STRING, "accepted": STRING,
            },
        },
        "Error": {"type": "object", "required": ["error"], "properties": {"error": STRING}},
        "MlflowError": {
            "type": "object", "required": ["error_code", "message"],
            "properties": {"error_code": STRING, "message": STRING},
        },
    }  # fmt: skip

"""``GET /api/schema``: what Litestar finds out of the routes, and what it cannot know of them."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin

from appliance.api.control.problems import Problem

MOUNTED_AT = "/api"
_OPEN_TO_ALL = ("/health",)
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class Description(JsonRenderPlugin):
    """The document with the address, the keys and the errors that programs made from it need."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        return super().render(request, complete(openapi_schema))


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A document with what Litestar leaves out; the given one stays as it is."""
    found: dict[str, Any] = _any_of(document)
    components = found.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components.setdefault("schemas", {})["Problem"] = _problem()
    for path, item in found["paths"].items():
        for operation in (part for part in item.values() if isinstance(part, dict)):
            if path in _OPEN_TO_ALL:
                operation["security"] = []
            if (body := operation.get("requestBody")) and _may_be_null(body):
                body["required"] = False  # Litestar says that it is, of every body
            answers = operation["responses"]
            answers.pop("400", None)  # Litestar's own shape of an error, which no answer has
            for answer in answers.values():
                if "" in (content := answer.get("content") or {}):
                    content["*/*"] = content.pop("")  # a file, of the type that its name says
            answers["default"] = {
                "description": "Refused; the body says why",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
    return found | {"servers": [{"url": MOUNTED_AT}], "security": [{name: []} for name in _SCHEMES]}


def _may_be_null(body: dict[str, Any]) -> bool:
    shapes = [one["schema"] for one in body["content"].values()]
    return any({"type": "null"} in shape.get("anyOf", ()) for shape in shapes)


def _any_of(part: Any) -> Any:
    """A copy in which a value may be of several kinds at once: a whole number is an integer and a number."""
    if isinstance(part, dict):
        return {"anyOf" if name == "oneOf" else name: _any_of(value) for name, value in part.items()}
    return [_any_of(value) for value in part] if isinstance(part, list) else part


def _problem() -> dict[str, Any]:
    members = {name: {"type": "integer" if name == "status" else "string"} for name in Problem.__struct_fields__}
    return {"type": "object", "required": [name for name in members if name != "id"], "properties": members}

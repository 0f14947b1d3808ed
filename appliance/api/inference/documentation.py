"""``/docs`` and ``/openapi.json``: the API explained by this host alone, without a script or a foreign server."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from shlex import quote
from typing import Any

import msgspec

from appliance.api.inference.exchange import Answer, Call, new_request_id
from appliance.api.inference.openapi import build_document, problem_kinds
from appliance.api.inference.openapi_schemas import JSON_TYPE
from appliance.serving.router import Router

_HTML = b"text/html; charset=utf-8"
_ONLY_OURSELVES = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.8rem;border-radius:.4rem;overflow:auto}
b.method{display:inline-block;min-width:3.5rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0}
"""


class Documentation:
    """The documentation's routes; open to all: names of models and columns, but no value of a dataset."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def document(self, call: Call) -> Answer:
        """``GET /openapi.json``."""
        return Answer(body=msgspec.json.encode(self._build()), request_id=call.given_id or new_request_id(call.at_us))

    def page(self, call: Call) -> Answer:
        """``GET /docs``."""
        host = call.headers.get(b"host", b"127.0.0.1").decode("latin-1")
        return Answer(
            body=render_page(self._build(), f"http://{host}").encode(), content_type=_HTML, headers=_ONLY_OURSELVES,
            request_id=call.given_id or new_request_id(call.at_us),
        )  # fmt: skip

    def _build(self) -> dict[str, Any]:
        return build_document(
            route.champion for route in self._router.current.routes.values() if route.champion is not None
        )


def render_page(document: dict[str, Any], url: str) -> str:
    """An OpenAPI document as one HTML page; everything in it is escaped."""
    operations: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                command = _command(method, url + path, operation, item.get("parameters", ()))
                operations.setdefault(operation["tags"][0], []).append(_operation(path, method, operation, command))
    groups = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in operations.items())
    problems = "".join(
        f'<tr id="problem-{escape(kind.slug)}"><td>{kind.status}</td><td><code>{escape(kind.slug)}</code></td>'
        f"<td>{escape(kind.title)}</td></tr>"
        for kind in problem_kinds()
    )
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        "<p>Send your API key as <code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>; "
        '<a href="/openapi.json">openapi.json</a> is this page for programs.</p>'
        f"{groups}<h2>Problems</h2><table><tr><th>Status</th><th>Type</th><th>Title</th></tr>{problems}</table></html>"
    )


def _command(method: str, url: str, operation: dict[str, Any], parameters: Sequence[dict[str, Any]]) -> str:
    """A command for a shell that asks for an operation."""
    examples = {found["name"]: found for found in parameters if "example" in found}
    body = operation.get("requestBody", {}).get("content", {}).get(JSON_TYPE, {})
    parts = ["curl"]
    if method == "post" and "example" not in body:
        parts.append("-X POST")
    if operation.get("security") != []:
        parts.append('-H "Authorization: Bearer $KEY"')
    if body:
        parts.append(f"-H 'Content-Type: {JSON_TYPE}'")
    for name, found in examples.items():
        if found["in"] == "path":
            url = url.replace(f"{{{name}}}", found["example"])
        else:
            parts.append(f"-H '{name}: {found['example']}'")
    parts.append(quote(url))
    if "example" in body:
        parts.append(f"-d {quote(_json(body['example']))}")
    return " ".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any], command: str) -> str:
    parts = [
        f'<details><summary><b class="method">{method.upper()}</b> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>"
    ]
    body = operation.get("requestBody", {}).get("content", {}).get(JSON_TYPE)
    if body:
        parts.append(f"<p>Body</p><pre>{escape(_json(body['schema']))}</pre>")
    (answer,) = next(iter(operation["responses"].values()))["content"].values()
    parts.append(f"<p>Answer</p><pre>{escape(_json(answer['schema']))}</pre>")
    parts.append(f"<p>Try it</p><pre>{escape(command)}</pre></details>")
    return "".join(parts)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

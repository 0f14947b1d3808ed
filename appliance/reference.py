"""The reference of the command line, of both HTTP APIs and of the settings, from the program itself.

``python -m appliance.reference`` works it out and prints it as JSON; ``read_reference`` asks such a process, since the
parser and every module behind a verb are loaded for it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from inspect import getdoc
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.errors import NotReady
from storage.toml_text import toml_value

if TYPE_CHECKING:
    from appliance.schema import FeatureSchema

TIMEOUT_S = 120.0
WIDTH = 92
"""Letters of a line of a command's help."""
_OF_EVERY_VERB = "Every verb that reads"
"""How the part begins that ends the help of each."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A command, a call or a setting: how it is written, what it does in a sentence, all about it as plain text."""

    name: str
    summary: str
    text: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, each in the order in which its program lists it."""

    commands: tuple[Entry, ...]
    calls: tuple[Entry, ...]
    settings: tuple[Entry, ...]


def read_reference() -> Reference:
    """The reference of this release; takes seconds.

    Raises:
        NotReady: The process cannot be started, or ends without an answer.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "appliance.reference"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout, type=Reference)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as exc:
        raise NotReady(f"the reference could not be worked out ({exc}); 'appliance --help' has it too") from exc


def list_commands() -> tuple[Entry, ...]:
    """Every verb, and what it has below it."""
    from appliance.cli.main import VERBS, build_app  # noqa: PLC0415  (loads the parser)

    found: list[Entry] = []
    for name, _target, _group, text in VERBS:
        app = build_app(whole=name)
        found.append(Entry(name=f"appliance {name}", summary=text, text=_help(app, [name])))
        found += _below(app, app[name], [name])
    return tuple(found)


def _below(app: Any, parent: Any, words: list[str]) -> Iterator[Entry]:
    for name in parent:
        if name.startswith("-"):
            continue
        here = [*words, name]
        said = _help(app, here)
        paragraphs = said.split("\n\n")
        summary = " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""
        yield Entry(name=f"appliance {' '.join(here)}", summary=summary, text=said)
        yield from _below(app, parent[name], here)


def _help(app: Any, words: list[str]) -> str:
    from rich.console import Console  # noqa: PLC0415

    out = StringIO()
    app.help_print(words, console=Console(file=out, width=WIDTH, no_color=True, highlight=False, legacy_windows=False))
    return out.getvalue().partition(_OF_EVERY_VERB)[0].strip()


def list_settings() -> tuple[Entry, ...]:
    """Every setting, with what it is where nobody says otherwise."""
    from appliance.settings import Settings  # noqa: PLC0415

    found = []
    for name, field in Settings.model_fields.items():
        summary, usual = str(field.description), _as_toml(field.default)
        lines = (name, "", summary, "", f"  default {usual}", f"  environment APPLIANCE_{name.upper()}")
        found.append(Entry(name=name, summary=summary, text="\n".join(lines)))
    return tuple(found)


def _as_toml(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, Path):
        return toml_value(str(value))
    return toml_value(sorted(value) if isinstance(value, frozenset) else value)


def list_calls() -> tuple[Entry, ...]:
    """Every call of the control API and of the inference API, of whose models one stands for all."""
    from appliance.api.inference.openapi import document_of  # noqa: PLC0415

    return (*_calls(_control_document(), "/api"), *_calls(document_of([_any_model()]), ""))


def _any_model() -> FeatureSchema:
    from appliance.schema import Column, FeatureSchema, Kind, Task  # noqa: PLC0415

    return FeatureSchema(
        model="{model}", version=0, task=Task.BINARY, target="target", classes=("no", "yes"),
        columns=(Column(name="column", kind=Kind.NUMBER),),
    )  # fmt: skip


def _control_document() -> dict[str, Any]:
    from pathlib import Path  # noqa: PLC0415

    from appliance.api.control.app import create_control_app  # noqa: PLC0415  (loads Litestar)
    from appliance.api.control.doorkeeper import Doorkeeper  # noqa: PLC0415
    from appliance.api.control.sessions import Sessions  # noqa: PLC0415
    from appliance.house import open_appliance  # noqa: PLC0415
    from appliance.settings import Settings  # noqa: PLC0415

    with TemporaryDirectory() as folder:  # its routes alone are looked at
        appliance = open_appliance(Settings(state=Path(folder)), apart=True)
        doorkeeper = Doorkeeper(appliance.access, Sessions(Path(folder) / "sessions.json"))
        control = create_control_app(appliance, doorkeeper)
        document = dict(control.openapi_schema.to_schema())
    for route in control.routes:
        for handler in getattr(route, "route_handlers", ()):
            function = handler.fn
            while hasattr(function, "func"):  # it is wrapped to run in a thread, and the wrapper has words of its own
                function = function.func
            said = getdoc(function)
            for method in handler.http_methods:
                one = document["paths"].get(route.path_format, {}).get(method.lower())
                if one is not None:
                    one["description"] = said
    return document


def _calls(document: dict[str, Any], prefix: str) -> Iterator[Entry]:
    schemas = document.get("components", {}).get("schemas", {})
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            if not isinstance(one, dict) or "responses" not in one:
                continue
            description = str(one.get("description") or one.get("summary") or "")
            lines = [description, *_parameters(one), *_body(one, schemas), *_answers(one)]
            first = description.strip().split("\n", 1)[0]
            name = f"{method.upper()} {prefix}{path}"
            yield Entry(name=name, summary=first, text="\n".join([name, "", *(line for line in lines if line)]))


def _parameters(one: dict[str, Any]) -> Iterator[str]:
    for each in one.get("parameters", ()):
        need = "required" if each.get("required") else "optional"
        yield f"  {each.get('in')} {each.get('name')} ({need}) {each.get('description') or ''}".rstrip()


def _body(one: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        named = str(schema.get("$ref", "")).rsplit("/", 1)[-1]
        yield f"  body {kind} {named}".rstrip()
        schema = schemas.get(named, schema)
        for name, each in schema.get("properties", {}).items():
            need = "required" if name in schema.get("required", ()) else "optional"
            yield f"    {name} ({need}) {each.get('description') or ''}".rstrip()


def _answers(one: dict[str, Any]) -> Iterator[str]:
    for status, answer in one["responses"].items():
        yield f"  {status} {answer.get('description') or ''}".rstrip()


def main() -> None:
    """Work it out, and print it."""
    found = Reference(commands=list_commands(), calls=list_calls(), settings=list_settings())
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()

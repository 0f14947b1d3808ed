"""Finds texts of the dashboard's code that a person would read and no translator would get: literals outside ``_()``.

Three nets. What is handed to a component that draws text, or put into a table of labels, must be marked if it has a
word in it. Anything else that reads like a sentence, two words or more, must be marked wherever it stands; of markup,
what is between the tags and what is read out. And no mark stands in an f-string, or around one: Babel finds neither.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ui.texts import LOCALE

UI = LOCALE.parent
MARKS = {"_", "ngettext", "pgettext"}

DRAWN: dict[str, tuple[int | str, ...]] = {
    "text": (0,), "link": (0,), "button": (0,), "button_link": (0,), "panel": (0, 1, "title", "note"),
    "empty": (0, 1, "title", "why", "steps", "action"), "notice": (0, "message", "title"), "waiting_line": (0,),
    "text_field": (0, "label", "hint"), "choice": (0, 1), "native_choice": (0, 1), "native_slider": (0,),
    "toggle": (0, 1), "dialog": (0,), "tabs": (0,), "segmented": (0, "label"), "figure": (0, "label", "unit", "note"),
    "facts": (0,), "sentences": (0,), "badge": (1, "label"), "badge_link": (1,), "status_of": (1, "label"),
    "Status": ("label",),
    "Column": ("label",), "Cell": ("text", "note"), "Table": ("search",), "Chart": ("label",), "Line": ("name",),
    "Marker": ("label",), "lines": ("y_unit", "x_name"), "bars_over_time": ("name", "y_unit"),
    "counted_bars": ("name", "x_name", "y_unit"), "signed_bars": ("x_unit",), "compared_histogram": ("x_name",),
    "html": (0,), "sparkline_html": ("label",), "histogram_html": ("label",), "ProgressBar": (0,), "guest_link": (3,),
    "with_attributes": ("title", "aria_label", "placeholder", "hint"), "tell": (0,), "later": (0,), "dress": (0,),
    "page_title": (0,), "Page": ("title", "lead", "parents"), "window_line": ("what",), "checkbox": (0,), "input": (0,),
    "textarea": (0, "label"), "number": (0, "label"), "select": (1, "label"), "set_content": (0,),
    "notify": (0, "close_button"), "BadInput": (0,), "NotAllowed": (0,), "NotReady": (0,), "_refusal": (1,),
    "PlainTextResponse": (0,),
}  # fmt: skip
"""What shows which of its arguments to a person."""

NO_LANGUAGE: frozenset[tuple[str, str]] = frozenset({
    ("components/chart.py", "Roboto, system-ui, sans-serif"),
    ("components/markup.py", "%d %b %Y, %H:%M UTC"),  # as words.when writes it, for the browser to write it anew
    ("guest_door.py", "no session, or a page of another site"),  # ends a websocket; nobody sees it
    ("pages/dataset.py", "sha256 …"), ("pages/dataset_versions.py", "sha256 …"),
    ("pages/job.py", "deployed from its training"),  # kept in the history, as everything there in English
    ("pages/try_model.py", "2026-11-21T22:53:00Z"), ("shell.py", "MLOps appliance"),
    ("standstill.py", "<!doctype html>"),
})  # fmt: skip
"""Names, units, code and what is stored, by file."""
_NAMES = re.compile(r"(?:\{\w+\}|MLflow|Prefect|CSV|p\d\d|sha256|[Vv]\d*|\W|\d)+")
_CODE_FILES = {"app.py", "clicks.py", "memory.py", "programs.py", "texts.py"}
"""What they say goes to the log, or is a program, or a part of the appliance's sentences, which stay English."""
_QUIET_CALLS = {
    "props",
    "classes",
    "style",
    "box",
    "add_head_html",
    "warning",
    "exception",
    "cast",
    "route",
    "icon_html",
}
_QUIET_NAMES = {"cli", "rest", "classes", "Content-Security-Policy"}
_TAG = re.compile(r"</?[a-z][^<>]*>|</?[a-z][^<>]*$")
_HEARD = re.compile(r'(?:aria-label|title|placeholder|alt)="([^"{}]*)"')
_CODE = (
    "/", "curl ", "SELECT ", "value =>", "event =>", "default-src", "appliance ", "GET ", "POST ", "PUT ",
)  # fmt: skip
_SENTENCE = re.compile(r"[A-Za-z]{2,}[,:;.]? [a-z]{2,}")


def find_unmarked(source: str, file: str) -> list[str]:
    """``LINE: text`` of each literal that should be marked; ``file`` is the path below ``ui/``."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [one for call in calls for argument in _drawn(call) for one in _literals(argument)]
    found += _sentences(tree) if file not in _CODE_FILES else ()
    texts = {(one.lineno, one.col_offset): _words(one) for one in found}
    kept = {
        place: text
        for place, text in texts.items()
        if re.search("[A-Za-z]{2}", text) and not _NAMES.fullmatch(text) and (file, text.strip()) not in NO_LANGUAGE
    }
    lost = _lost(tree) if file != "texts.py" else ()
    kept |= {(one.lineno, one.col_offset): f"Babel does not find {ast.unparse(one)}" for one in lost}
    return [f"{line}: {text}" for (line, _column), text in sorted(kept.items())]


def _lost(tree: ast.AST) -> Iterator[ast.Call]:
    """Marks around what is no plain text, or inside an f-string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in MARKS:
            told = node.args if _name(node.func) == "_" else node.args[:2]
            if not all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in told):
                yield node
        elif isinstance(node, ast.JoinedStr):
            yield from (one for one in ast.walk(node) if isinstance(one, ast.Call) and _name(one.func) in MARKS)


def literals(tree: ast.AST) -> Iterator[str]:
    """Every unmarked text of a module, for whoever looks whether it is seen; docstrings and code are left out."""
    for node in _sentences(tree, everything=True):
        yield _words(node)


def _drawn(call: ast.Call) -> Iterator[ast.expr]:
    places = DRAWN.get(_name(call.func), ())
    for place in places:
        if isinstance(place, int) and place < len(call.args):
            yield call.args[place]
    yield from (one.value for one in call.keywords if one.arg in places)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _literals(node: ast.expr) -> Iterator[ast.Constant | ast.JoinedStr]:
    """The texts that an expression may become; another call's arguments are that call's."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            if not _words(node).startswith("/"):
                yield node
        case ast.IfExp(body=one, orelse=other):
            yield from (*_literals(one), *_literals(other))
        case ast.BoolOp(values=many) | ast.Tuple(elts=many) | ast.List(elts=many) | ast.Dict(values=many):
            for one in many:
                yield from _literals(one)
        case ast.BinOp(left=one, right=other):
            yield from (*_literals(one), *_literals(other))
        case ast.Call(func=ast.Attribute(value=inner, attr="format" | "join" | "strip")):
            yield from _literals(inner)
        case ast.Call(func=ast.Attribute(value=ast.Dict() as table, attr="get")):
            yield from _literals(table)


def _sentences(tree: ast.AST, *, everything: bool = False) -> Iterator[ast.Constant | ast.JoinedStr]:
    for child in ast.iter_child_nodes(tree):
        match child:
            case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
                continue
            case ast.Call(func=function) if _name(function) in MARKS | _QUIET_CALLS:
                if isinstance(function, ast.Attribute):
                    yield from _sentences(function, everything=everything)
            case ast.keyword(arg=str() as name) if name in _QUIET_NAMES:
                continue
            case ast.Constant(value=str()) | ast.JoinedStr():
                text = _words(child)
                if everything or (_SENTENCE.search(text) and not _is_code(text)):
                    yield child
                for part in child.values if isinstance(child, ast.JoinedStr) else ():
                    if isinstance(part, ast.FormattedValue):
                        yield from _sentences(part, everything=everything)
            case _:
                yield from _sentences(child, everything=everything)


def _is_code(text: str) -> bool:
    css = re.fullmatch(r"(?:muted|strong|small|grow|mono|line)[a-z -]*", text) is not None
    return css or text.startswith(_CODE) or "max_rejected_share" in text or "$parent.$emit" in text


def _words(node: ast.expr) -> str:
    """A literal without what is filled in, and of markup what a person sees or hears."""
    match node:
        case ast.JoinedStr(values=parts):
            text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        case ast.Constant(value=str() as text):
            pass
        case _:
            return ""
    if not _TAG.search(text):
        return text
    heard = [found[1] for found in _HEARD.finditer(text)]
    return " ".join((*heard, *_TAG.split(text))).strip()


def modules() -> list[Path]:
    """The dashboard's code."""
    return sorted(UI.rglob("*.py"))

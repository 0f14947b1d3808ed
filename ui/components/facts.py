"""Names and values in two columns, and sentences as a list."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui.element import Element

from ui.components.markup import box, text
from ui.words import plain


def facts(entries: Sequence[tuple[str, str]]) -> Element:
    """Names and values."""
    outer = box("facts", "dl")
    with outer:
        for name, value in entries:
            text(name, tag="dt")
            text(value, tag="dd")
    return outer


def sentences(entries: Sequence[str]) -> Element:
    """Sentences, one a bullet."""
    outer = box("reasons", "ul")
    with outer:
        for entry in entries:
            text(plain(entry), tag="li")
    return outer

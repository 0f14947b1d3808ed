"""Plain elements with escaped text: what a page is made of before it needs anything that moves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import TypeVar

from nicegui import ui as ng
from nicegui.element import Element

from ui.words import ago


def box(classes: str = "", tag: str = "div") -> Element:
    """An empty element to put others into."""
    return ng.element(tag).classes(classes)


_MOMENT = re.compile(r"\b\d{1,2} [A-Z][a-z]{2} \d{4}, \d{2}:\d{2} UTC\b")
"""As ``words.when`` writes it."""


def text(content: object, classes: str = "", tag: str = "div") -> Element:
    """A piece of text; whatever it holds is shown, never run. Moments turn into the viewer's time zone."""
    return ng.html(text_html(str(content)), sanitize=False, tag=tag).classes(classes)


def markup(content: str) -> Element:
    """Markup that a component made, with everything in it escaped."""
    return ng.html(content, sanitize=False)


def text_html(content: str) -> str:
    """A text as markup, its moments as ``<time>``: the browser shows them in its zone, and UTC on hover."""
    return _MOMENT.sub(_moment, escape(content))


def clock_html(moment: datetime) -> str:
    """A moment of a log line, to the second."""
    iso = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f'<time datetime="{iso}" data-clock>{moment.astimezone(UTC):%H:%M:%S}</time>'


def ago_html(moment: datetime | None) -> str:
    """How long ago, on which the browser counts; UTC on hover."""
    said = escape(ago(moment, now=datetime.now(UTC)))
    return f'<time datetime="{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" data-ago>{said}</time>' if moment else said


def filled_html(sentence: str, **parts: str) -> str:
    """A sentence whose places are filled with markup."""
    return text_html(sentence).format(**parts)


def _moment(found: re.Match[str]) -> str:
    try:
        at = datetime.strptime(found[0], "%d %b %Y, %H:%M UTC").replace(tzinfo=UTC)
    except ValueError:
        return found[0]  # somebody's own words, "31 Nov 2026, 24:00 UTC" say
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{found[0]}</time>'


Made = TypeVar("Made", bound=Element)


def with_attributes(element: Made, **attributes: str) -> Made:
    """The element with these attributes as they are; ``aria_label`` is aria-label.

    The text that ``props`` takes knows no escaping: an ``&`` or a quote in it would come out as another address.
    """
    element.props.update({name.replace("_", "-"): value for name, value in attributes.items()})
    return element


def icon_html(name: str, classes: str = "") -> str:
    """A Material icon as markup, hidden from screen readers: the text beside it says the same."""
    return f'<i class="icon {escape(classes)}" aria-hidden="true">{escape(name)}</i>'


def icon(name: str, classes: str = "") -> Element:
    """A Material icon from the font that NiceGUI ships."""
    return text(name, f"icon {classes}", "i").props("aria-hidden=true")


def link(content: str, href: str, classes: str = "") -> Element:
    """A link within the dashboard."""
    return with_attributes(text(content, classes, "a"), href=href)


def button_link(content: str, href: str, *, icon_name: str = "", primary: bool = False) -> Element:
    """A link that looks like a button: it leads somewhere, and opens in a new tab when asked to."""
    markup = (icon_html(icon_name) if icon_name else "") + f"<span>{escape(content)}</span>"
    kind = "btn-primary" if primary else "btn-plain"
    return with_attributes(ng.html(markup, sanitize=False, tag="a").classes(f"a-btn {kind}"), href=href)


def panel(title: str = "", note: str = "", *, tight: bool = False) -> Element:
    """A surface with a heading; what is built inside ``with`` goes below the heading."""
    surface = box("panel tight" if tight else "panel", "section")
    if title:
        with surface.mark(title), box("panel-head"):
            text(title, tag="h2")
            if note:
                text(note, "note")
    return surface

"""Links into MLflow and Prefect, which open in a tab of their own: they have no way back."""

from __future__ import annotations

from nicegui import ui as ng
from nicegui.element import Element

from appliance.settings import Settings
from ui.components.markup import icon, text, with_attributes
from ui.guests import list_guests, open_at
from ui.texts import _


def guest_links(settings: Settings) -> None:
    """One link to each of them, for the navigation."""
    for guest in list_guests(settings):
        _link(open_at(guest.name), guest.label)


def guest_link(settings: Settings, name: str, to: str, label: str) -> None:
    """A link to one of their pages, ``to`` begins with a slash; nothing where that one is not served."""
    if any(guest.name == name for guest in list_guests(settings)):
        _link(open_at(name, to), label).classes("line small")


def _link(address: str, label: str) -> Element:
    found = with_attributes(
        ng.element("a"),
        href=address,
        target="_blank",
        rel="noopener",
        aria_label=_("{label}, in a new tab").format(label=label),
    )
    with found:
        icon("open_in_new")
        text(label, tag="span")
    return found

"""The link to a version's model card: one page to read, to print and to send."""

from __future__ import annotations

from nicegui.element import Element

from ui.components.markup import button_link, with_attributes
from ui.texts import _


def card_link(model: str, version: int) -> Element:
    """It opens beside; the page may run and load nothing."""
    made = button_link(_("Model card"), f"/api/models/{model}/card.html?version={version}", icon_name="description")
    return with_attributes(made, target="_blank", rel="noopener")

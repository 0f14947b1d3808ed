"""What was done at once can be taken back at once: a bar that stays in sight until it is used, closed or replaced."""

from __future__ import annotations

from nicegui import ui as ng

from ui.components.form import Handler, button
from ui.components.markup import box, icon, text
from ui.texts import _

_MARK = "undo-bar"


def offer_undo(message: str, undo: Handler) -> None:
    """Say what was done and offer to take it back; ``undo`` is called once at most. The newest offer alone stands."""
    page = ng.context.client.content
    for one in [one for one in page if _MARK in one.classes]:
        one.delete()
    with page, box(_MARK).props("role=status") as bar:

        async def take_back() -> None:
            bar.set_visibility(False)
            await undo()

        async def close() -> None:
            bar.set_visibility(False)

        icon("check_circle")
        text(message, "grow")
        button(_("Undo"), take_back, icon_name="undo")
        button(_("Close"), close, kind="quiet")

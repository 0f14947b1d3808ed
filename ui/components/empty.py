"""Empty states: what this is, why it is empty, and the one thing to do about it."""

from __future__ import annotations

from nicegui.element import Element

from ui.components.markup import box, button_link, icon, text


def empty(
    title: str, why: str, *, icon_name: str, steps: tuple[str, ...] = (), action: tuple[str, str] | None = None
) -> Element:
    """An empty state.

    Args:
        title: What is missing.
        why: Why, and what will stand here.
        icon_name: A Material icon.
        steps: What to do first, in order.
        action: The label and the address of the button.
    """
    outer = box("empty")
    with outer:
        icon(icon_name, "big")
        text(title, tag="h2")
        text(why, tag="p")
        if steps:
            with box("steps", "ol"):
                for step in steps:
                    text(step, tag="li")
        if action:
            button_link(action[0], action[1], primary=True, icon_name="arrow_forward")
    return outer

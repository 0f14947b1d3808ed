"""Buttons, fields, dialogs and tabs in the dashboard's own dress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape

from nicegui import ui as ng
from nicegui.element import Element

from ui.components.markup import box, link, text, with_attributes
from ui.redraw import current
from ui.texts import _

Handler = Callable[[], Awaitable[None]]


def button(label: str, on_click: Handler, *, kind: str = "plain", icon_name: str | None = None) -> ng.button:
    """A button that cannot be pressed twice while it works; kind is primary, plain, quiet or danger."""

    async def work() -> None:
        made.props("loading")
        try:
            await on_click()
        finally:
            shown = current(made)  # it may have been drawn anew meanwhile
            if not shown.is_deleted:
                shown.props(remove="loading")

    made = ng.button(label, on_click=work, color=None, icon=icon_name)
    made.props("unelevated no-caps").classes(f"btn-{kind}")
    return made


def text_field(label: str, value: str = "", *, hint: str = "") -> ng.input:
    """A line of text."""
    field = ng.input(label, value=value).props("outlined dense").style("width: 100%")
    # Without the room that is kept for one line below, into which a longer hint would not fit.
    return with_attributes(field.props("hide-bottom-space"), hint=hint) if hint else field


def choice(label: str, options: dict[str, str], value: str | None) -> ng.select:
    """One of several; typing narrows a long list."""
    return (
        ng.select(options, label=label, value=value, with_input=len(options) > 12)
        .props("outlined dense options-dense")
        .style("width: 100%")
    )


def native_choice(
    label: str, options: dict[str, str], on_choice: Callable[[str], None], *, chosen: str = ""
) -> Element:
    """One of several as the browser's own field: light enough for one a column of a wide table.

    The first option is chosen where ``chosen`` names none.
    """
    with with_attributes(ng.element("select").classes("native-choice"), aria_label=label) as field:
        for value, name in options.items():
            option = with_attributes(text(name, tag="option"), value=value)
            if value == chosen:
                option.props("selected")
    field.on("change", lambda event: on_choice(str(event.args)), js_handler="event => emit(event.target.value)")
    return field


def native_radio(label: str, group: str, on_choice: Callable[[], None]) -> Element:
    """One of a group of which one may be chosen, as the browser's own field; a group stands in one dialog or page."""
    field = ng.element("input").classes("native-radio")
    with_attributes(field, type="radio", name=group, aria_label=label)
    field.on("change", on_choice)
    return field


def native_slider(label: str, places: int, place: int, on_place: Callable[[int], None]) -> Element:
    """A slider over the places 0 to ``places - 1`` as the browser's own field, which takes every key of a slider."""
    field = ng.element("input").classes("native-slider")
    with_attributes(field, type="range", min="0", max=str(places - 1), step="1", aria_label=label)
    # As an attribute alone: Vue puts a property `value` back whenever the page is drawn anew, while somebody slides.
    field.props["^value"] = str(place)
    field.on("input", lambda event: on_place(int(event.args)), js_handler="event => emit(event.target.value)")
    return field


def toggle(label: str, options: dict[str, str], value: str) -> ng.toggle:
    """One of a few, side by side."""
    made = ng.toggle(options, value=value).props(
        # No colour of Quasar's: its classes lie in a layer whose !important beats ours.
        "unelevated no-caps dense toggle-color=chosen toggle-text-color=chosen role=group"
    )
    return with_attributes(made.classes("toggle"), aria_label=label)


@contextmanager
def dialog(title: str, *, wide: bool = False) -> Iterator[ng.dialog]:
    """A dialog; what is built inside goes into it. It is the page's: no part that is drawn anew takes it away."""
    with (
        ng.context.client.content,
        with_attributes(ng.dialog(), aria_label=title) as window,
        ng.card().classes("dialog wide" if wide else "dialog"),
    ):
        text(title, tag="h2")
        yield window


def cancel_button(window: ng.dialog) -> ng.button:
    """The way out of a dialog that does nothing; stands last in it."""
    return ng.button(_("Cancel"), on_click=window.close, color=None).props("flat no-caps").classes("btn-quiet")


def tabs(entries: Sequence[tuple[str, str]], current: str, address: Callable[[str], str]) -> Element:
    """Tabs as links: each has an address of its own, so back, forward and bookmarks work."""
    row = with_attributes(box("tabs", "nav"), aria_label=_("Parts of this page"))
    with row:
        for key, label in entries:
            tab = link(label, address(key), "tab")
            if key == current:
                tab.props('aria-current="page"')
    return row


def segmented(
    entries: Sequence[tuple[str, str]], current: str, address: Callable[[str], str], *, label: str
) -> Element:
    """A few choices side by side, as links."""
    row = with_attributes(box("segmented", "nav"), aria_label=label)
    with row:
        for key, name in entries:
            entry = link(name, address(key))
            entry.props(f'aria-current="{str(key == current).lower()}"')
    return row


def figure(label: str, value: str, *, unit: str = "", note: str = "", small: bool = False) -> Element:
    """One figure under its name."""
    outer = box("figure")
    with outer:
        text(label, "label")
        markup = escape(value) + (f'<span class="unit">{escape(unit)}</span>' if unit else "")
        ng.html(markup, sanitize=False).classes("value s" if small else "value")
        if note:
            text(note, "note")
    return outer

"""Something to copy, and the bars that show how far something is."""

from __future__ import annotations

from html import escape

from nicegui import ui as ng
from nicegui.element import Element

from ui.components.markup import with_attributes
from ui.texts import _


def snippet(code: str) -> Element:
    """Code with a button that copies it; works without https too."""
    copy = escape(_("Copy"))
    return ng.html(
        f'<pre>{escape(code)}</pre><button type="button" class="copy" data-copy>{copy}</button>',
        sanitize=False,
    ).classes("snippet")


class ProgressBar:
    """A bar that moves without being drawn anew."""

    def __init__(self, label: str) -> None:
        self._bar = ng.element("div").classes("progress").props("role=progressbar aria-valuemin=0 aria-valuemax=100")
        with_attributes(self._bar, aria_label=label)
        with self._bar:
            self._fill = ng.element("i")
        self.show(0.0)

    def show(self, fraction: float) -> None:
        """Move to a fraction in [0, 1]."""
        percent = f"{min(max(fraction, 0.0), 1.0):.1%}"
        self._fill.style(f"width: {percent}")
        self._bar.props(f'aria-valuenow="{percent.rstrip("%")}"')

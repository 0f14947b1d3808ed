"""The sentence that says which window a page shows."""

from __future__ import annotations

from appliance.monitoring.spans import Window
from ui.components.markup import text
from ui.texts import _
from ui.words import when


def window_line(window: Window, *, what: str, newest: bool = True) -> None:
    """Say it; the window ends at the newest event, so that replays and quiet models are judged too, or where chosen."""
    said = _("{what} from {start} to {end}; the window ends at the newest there is.")
    if not newest:
        said = _("{what} from {start} to {end}.")
    text(said.format(what=what, start=when(window.start), end=when(window.end)), "muted small")

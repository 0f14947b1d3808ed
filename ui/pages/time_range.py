"""The time range that is chosen once for all pages, and how pages that have none of their own take it."""

from __future__ import annotations

from collections.abc import Callable

from appliance.errors import BadInput
from appliance.monitoring.spans import parse_span
from ui.components.form import segmented
from ui.components.markup import box
from ui.page import View
from ui.texts import _

USUAL = "usual"
"""Chosen to leave the range to each page again."""
WINDOWS = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d"), ("90d", "90 d"), ("365d", _("1 y")))


def chosen_range(view: View, usual: str) -> str:
    """The range of the address, else the one that was chosen before, else, or where that is none, ``usual``.

    Raises:
        BadInput: The address names no span; it is not kept.
    """
    given = view.query.get("window", "")
    if given and given != USUAL:
        parse_span(given)
    span = view.remembered("window", usual)
    try:
        return usual if span == USUAL else span if parse_span(span) else usual
    except BadInput:
        return usual  # it was kept when longer ones were taken


def choose_range(view: View, address: Callable[[str], str], *, usual: str) -> int | None:
    """The choice of a range on a page that shows all models or jobs.

    Args:
        view: The page.
        address: Of the page with a range.
        usual: What it is called when each part goes by its own range.

    Returns:
        Seconds; None: each part by its own range.
    """
    span = chosen_range(view, USUAL)
    entries: tuple[tuple[str, str], ...] = ((USUAL, usual), *WINDOWS)
    if span not in dict(entries):
        entries = (*entries, (span, span))
    with box("line"):
        segmented(entries, span, address, label=_("Time range"))
    return None if span == USUAL else parse_span(span)

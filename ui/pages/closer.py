"""From a point of a chart to what lies behind it: the same page over the point's own span of time, as address and link.

What a click on the chart opens stands as links in a table beside it, for keys and screen readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from nicegui import ui as ng

from appliance.errors import BadInput
from appliance.monitoring.spans import utc_text
from ui.components.markup import box, link, panel, text
from ui.components.table import Cell, Column, Row, Table
from ui.page import View
from ui.texts import _
from ui.words import seconds, when

LEAST_SERVICE_S = 600
"""Requests are counted by the minute; fewer than ten of them say little."""
LEAST_EVENTS_S = 3_600
"""Events are counted by the hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a chart.

    Attributes:
        at: Where it stands.
        figures: What the charts show there, in the order of the table's headings.
        address: What lies behind it; empty where there is nothing closer.
    """

    at: datetime
    figures: tuple[str, ...]
    address: str = ""


def chosen_until(view: View) -> datetime | None:
    """The end of the window that the address names; None: the newest there is.

    Raises:
        BadInput: It is no moment.
    """
    given = view.query.get("until", "")
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise BadInput(
            _("until = {given!r}: accepted: a moment such as 2026-11-21T22:00:00Z").format(given=given)
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def until_part(view: View) -> str:
    """The same as a part of an address."""
    given = view.query.get("until", "")
    return f"&until={quote(given)}" if given else ""


def closer(page: str, at: datetime, bucket_s: int, *, window_s: int, least_s: int) -> str:
    """The address of a page over the bucket that begins there; empty where that is no closer than the present window.

    Args:
        page: The address without window and end; it has a query.
        at: Where the bucket begins.
        bucket_s: Its length.
        window_s: Of the window that is shown.
        least_s: Of the window that is opened.
    """
    span_s = max(bucket_s, least_s)
    if span_s >= window_s:
        return ""
    middle = at + timedelta(seconds=bucket_s / 2)
    end = at + timedelta(seconds=bucket_s) if span_s == bucket_s else middle + timedelta(seconds=span_s / 2)
    return f"{page}&window={span_text(span_s)}&until={quote(utc_text(end.replace(microsecond=0)))}"


def span_text(span_s: int) -> str:
    """A span as addresses name it, to the minute: 90m, 24h, 7d."""
    for unit_s, unit in ((86_400, "d"), (3_600, "h")):
        if span_s % unit_s == 0:
            return f"{span_s // unit_s}{unit}"
    return f"{max(span_s // 60, 1)}m"


def opener(points: Sequence[Point]) -> Callable[[float], None]:
    """What a click on a chart of these points does, called with milliseconds since 1970: it opens the nearest one."""

    def open_nearest(place_ms: float) -> None:
        if points:
            nearest = min(points, key=lambda point: abs(point.at.timestamp() * 1000 - place_ms))
            if nearest.address:
                ng.navigate.to(nearest.address)

    return open_nearest


def show_points(points: Sequence[Point], headings: Sequence[str], *, name: str) -> None:
    """The points of the charts above as a table that can be unfolded; each leads where a click on it leads."""
    columns = (
        Column(name="at", label=_("When")),
        *(Column(name=f"f{i}", label=heading, numeric=True) for i, heading in enumerate(headings)),
    )
    rows = [
        Row(id=str(i), cells={
            "at": Cell(text=when(point.at), sort=point.at.timestamp(), href=point.address),
            **{f"f{j}": Cell(text=figure) for j, figure in enumerate(point.figures)},
        })
        for i, point in enumerate(points)
    ]  # fmt: skip
    with box("fold", "details"):
        text(_("The same as a table; each moment opens what lies behind it, as a click on a chart does"), tag="summary")
        with panel(tight=True):
            Table(columns, rows, name=name, per_page=10 if len(rows) > 10 else 0, search=_("Search moments"))


def show_end(view: View, window_s: int, *, newest: str) -> None:
    """Say that the window ends somewhere of choice, and lead back; nothing where it ends at the newest."""
    until = chosen_until(view)
    if until is None:
        return
    with box("line"):
        text(_("You look at {span} up to {when}.").format(span=seconds(window_s), when=when(until)), "strong grow")
        link(_("Back to the newest"), newest)

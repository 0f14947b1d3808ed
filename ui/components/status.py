"""Status as text, icon and colour together, so that none of the three is needed to read it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from nicegui import ui as ng
from nicegui.element import Element

from ui.components.markup import box, icon, icon_html, text, with_attributes
from ui.texts import _


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a badge says; ``tone`` is one of ok, warn, alarm, busy, idle."""

    label: str
    tone: str
    icon: str

    def html(self) -> str:
        """As markup, for a cell of a table."""
        return f'<span class="status {self.tone}">{icon_html(self.icon)}{escape(self.label)}</span>'


_KNOWN = {
    "ok": Status(label=_("OK"), tone="ok", icon="check_circle"),
    "warn": Status(label=_("Warning"), tone="warn", icon="error_outline"),
    "alarm": Status(label=_("Alarm"), tone="alarm", icon="report"),
    "not_enough_data": Status(label=_("Not enough data"), tone="idle", icon="hourglass_empty"),
    "scheduled": Status(label=_("Waiting to start"), tone="idle", icon="schedule"),
    "running": Status(label=_("Running"), tone="busy", icon="autorenew"),
    "cancelling": Status(label=_("Stopping"), tone="busy", icon="pending"),
    "completed": Status(label=_("Completed"), tone="ok", icon="check_circle"),
    "failed": Status(label=_("Failed"), tone="alarm", icon="cancel"),
    "crashed": Status(label=_("Crashed"), tone="alarm", icon="cancel"),
    "cancelled": Status(label=_("Cancelled"), tone="idle", icon="block"),
    "champion": Status(label=_("Champion"), tone="ok", icon="emoji_events"),
    "challenger": Status(label=_("Challenger"), tone="busy", icon="trending_up"),
    "serving": Status(label=_("Serving"), tone="ok", icon="check_circle"),
    "canary": Status(label=_("Canary"), tone="busy", icon="call_split"),
    "shadow": Status(label=_("Shadow"), tone="idle", icon="visibility"),
    "stopped": Status(label=_("Stopped"), tone="alarm", icon="cancel"),
    "starting": Status(label=_("Starting"), tone="busy", icon="pending"),
    "passed": Status(label=_("Passed"), tone="ok", icon="check_circle"),
    "not_passed": Status(label=_("Not passed"), tone="alarm", icon="cancel"),
    "beware": Status(label=_("Beware"), tone="warn", icon="error_outline"),
    "revoked": Status(label=_("Revoked"), tone="idle", icon="block"),
    "active": Status(label=_("Active"), tone="ok", icon="check_circle"),
    "waiting": Status(label=_("Waiting"), tone="busy", icon="schedule"),
    "sending": Status(label=_("Being sent"), tone="busy", icon="autorenew"),
    "sent": Status(label=_("Arrived"), tone="ok", icon="check_circle"),
    "skipped": Status(label=_("Not needed"), tone="idle", icon="remove_circle_outline"),
    "dead": Status(label=_("Given up"), tone="alarm", icon="cancel"),
    "open": Status(label=_("Open"), tone="alarm", icon="report"),
    "closed": Status(label=_("Closed"), tone="idle", icon="check"),
    "none": Status(label=_("None yet"), tone="idle", icon="remove_circle_outline"),
}


def status_of(name: str, label: str = "") -> Status:
    """The badge of a known state, under another label when one is given; an unknown state is shown as it is."""
    known = _KNOWN.get(name, Status(label=name.replace("_", " "), tone="idle", icon="help_outline"))
    return Status(label=label, tone=known.tone, icon=known.icon) if label else known


def badge(name: str, label: str = "") -> Element:
    """A badge on the page."""
    return ng.html(status_of(name, label).html(), sanitize=False, tag="span")


def badge_link(name: str, label: str, href: str) -> Element:
    """A badge that leads to what it speaks of."""
    return with_attributes(ng.html(status_of(name, label).html(), sanitize=False, tag="a"), href=href)


def waiting_line(message: str) -> Element:
    """Says that something is on its way."""
    outer = box("panel").props("role=status")
    with outer, box("line"):
        icon("hourglass_top", "muted")
        text(message, "muted")
    return outer


_NOTICE_ICONS = {"ok": "check_circle", "warn": "error_outline", "alarm": "report", "info": "info"}


def notice(message: str, *, tone: str = "info", title: str = "") -> Element:
    """A sentence that somebody should not overlook."""
    outer = box(f"notice {tone}").props("role=status")
    with outer:
        icon(_NOTICE_ICONS.get(tone, "info"))
        with box("body"):
            if title:
                text(title, "strong")
            text(message)
    return outer

"""A place to drop a file on, or to click for one; ``assets/dashboard.js`` sends it, shows how far it is, stops it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from nicegui import ui as ng

from appliance.api.control.uploads import ENDINGS
from appliance.errors import BadInput
from ui.components.markup import icon_html
from ui.page import log_refused, tell
from ui.texts import _
from ui.words import limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file that arrived: ``upload`` names it to the control API, ``name`` is the one it had."""

    upload: str
    name: str


def drop_zone(
    largest: int, on_sent: Callable[[Sent], Awaitable[None]], *, invitation: str = "", label: str = ""
) -> None:
    """Draw it.

    Args:
        largest: The most bytes that are taken.
        invitation: What it says; by default, to drop a file.
        label: What the field is called for a screen reader; by default, a file to add.
        on_sent: Called with each file that arrived; one that was refused is told as a message.
    """
    zone = ng.element("label").classes("drop")
    zone.props(f'data-url="/api/uploads" data-limit="{largest}" data-most="{limit(largest)}"')
    plain = [ending for ending in ENDINGS if ending.count(".") == 1]
    taken = _("{endings}, also .gz and .zst; up to {size}").format(endings=", ".join(plain), size=limit(largest))
    drop, stop, file = (
        escape(said)
        for said in (invitation or _("Drop a file here, or click to choose one"), _("Stop"), label or _("File to add"))
    )
    with zone:
        ng.html(
            # A label is for the first field in it, and a button is one: the file's comes first.
            f'<input type="file" accept="{",".join(ENDINGS)}" aria-label="{file}">'
            f'{icon_html("upload_file", "big")}<div class="grow">'
            f'<div class="strong drop-text">{drop}</div>'
            f'<div class="muted small">{escape(taken)}</div></div>'
            f'<button type="button" class="a-btn btn-plain stop">{stop}</button>'
            '<div class="progress"><i></i></div>',
            sanitize=False,
        ).style("display: contents")

    async def uploaded(event: Any) -> None:
        answer = event.args.get("detail") or {}
        if not answer.get("ok"):
            said = str(answer.get("detail", _("the upload failed")))
            tell(said if answer.get("id") else log_refused(BadInput(said)), wrong=True)  # the unexpected has an id
            return
        await on_sent(Sent(upload=str(answer["upload"]), name=str(answer["name"])))

    zone.on("uploaded", uploaded, args=["detail"])

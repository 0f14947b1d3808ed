"""A place to drop a file: it is sent to the control API with its progress, and can be stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from nicegui import ui as ng

from appliance.api.control.dataset_routes import ENDINGS
from ui.components.markup import icon_html
from ui.page import View, tell
from ui.texts import _


def drop_zone(view: View, prompt: str, *, label: str, on_upload: Callable[[str, str], Awaitable[None]]) -> None:
    """Draw it.

    Args:
        view: The page.
        prompt: What stands in it.
        label: What the field is called for a screen reader.
        on_upload: Called with the upload, as ``POST /api/uploads`` names it, and the file's own name.
    """
    limit = view.appliance.settings.max_upload_bytes
    zone = ng.element("label").classes("drop").props(f'data-url="/api/uploads" data-limit="{limit}"')
    taken = _("{endings}, also .gz and .zst; up to {size} GB").format(
        endings=", ".join(ENDINGS[:5]), size=f"{limit / 1e9:.1f}"
    )
    stop = escape(_("Stop"))
    with zone:
        ng.html(
            f'{icon_html("upload_file", "big")}<div class="grow">'
            f'<div class="strong drop-text">{escape(prompt)}</div>'
            f'<div class="muted small">{escape(taken)}</div></div>'
            f'<button type="button" class="a-btn btn-plain stop">{stop}</button>'
            '<div class="progress"><i></i></div>'
            f'<input type="file" accept="{",".join(ENDINGS)}" aria-label="{escape(label)}">',
            sanitize=False,
        ).style("display: contents")

    async def uploaded(event: Any) -> None:
        answer = event.args.get("detail") or {}
        if not answer.get("ok"):
            tell(str(answer.get("detail", _("the upload failed"))), wrong=True)
            return
        await on_upload(str(answer["upload"]), str(answer["name"]))

    zone.on("uploaded", uploaded, args=["detail"])

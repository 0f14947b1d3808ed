"""The looks in which pages are photographed, and how a page of one look becomes a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext

Scheme = Literal["light", "dark"]

LOOKS: dict[str, tuple[int, int, Scheme]] = {
    "desktop-light": (1280, 860, "light"),
    "desktop-dark": (1280, 860, "dark"),
    "phone-light": (360, 740, "light"),
    "phone-dark": (360, 740, "dark"),
    "wide-dark": (2560, 1300, "dark"),
}
"""Width and height in CSS pixels, and the colours that the browser asks for."""


@contextmanager
def in_look(browser: Browser, look: str, cookies: Path) -> Iterator[BrowserContext]:
    """A logged-in browser in one of the looks."""
    width, height, scheme = LOOKS[look]
    context = browser.new_context(
        storage_state=cookies, viewport={"width": width, "height": height}, color_scheme=scheme
    )
    yield context
    context.close()

"""The appliance of the session, and Debian's Chromium to look at it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.world import ARGUMENTS, World, first_login, open_world

PATIENCE_MS = 120_000
"""Where a test says none. Playwright's own, 5 and 30 s, tell how busy a host is and not what a page does."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    assert executable, "install Debian's chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        opened = browser.new_context

        def open_patient(**options: Any) -> BrowserContext:
            context = opened(**options)
            context.set_default_timeout(PATIENCE_MS)
            return context

        browser.new_context = open_patient  # type: ignore[method-assign]
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def state_of_login(world: World, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of an admin, who went through the first login in the browser."""
    return first_login(world, chromium, tmp_path_factory.mktemp("login") / "state.json")


@dataclass(slots=True)
class Watched:
    """A tab, and everything it asked for and complained about."""

    page: Page
    requests: list[str]
    complaints: list[str]


@contextlib.contextmanager
def watched_tab(context: BrowserContext) -> Iterator[Watched]:
    """A tab under observation."""
    page = context.new_page()
    watched = Watched(page=page, requests=[], complaints=[])
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("pageerror", lambda error: watched.complaints.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            watched.complaints.append(f"{message.text} {message.location.get('url', '')}")
            if message.type in {"error", "warning"}
            else None
        ),
    )
    yield watched
    page.close()


@pytest.fixture
def tab(world: World, chromium: Browser, state_of_login: Path) -> Iterator[Page]:
    """A logged-in admin's tab."""
    context = chromium.new_context(storage_state=state_of_login, viewport={"width": 1280, "height": 860})
    yield context.new_page()
    context.close()

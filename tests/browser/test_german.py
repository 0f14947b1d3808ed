"""The shipped German where the page and the browser put texts together: messages of an alert, and how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_language import log_in, speaking
from tests.browser.world import World, ids_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000


@pytest.fixture
def german(world: World, chromium: Browser) -> Iterator[Page]:
    """A tab of a German dashboard on the world's state."""
    with speaking(world, "de") as dashboard:
        context = chromium.new_context(base_url=dashboard.url, viewport={"width": 1280, "height": 860})
        page = context.new_page()
        page.goto("/login")
        log_in(page)
        yield page
        context.close()


def test_messages_and_times_are_german(world: World, german: Page) -> None:
    german.goto(f"/alerts/{ids_of(world)['drift']}")
    messages = german.locator(".table", has=german.get_by_role("columnheader", name="Zustellung")).last
    expect(messages).to_contain_text("sich geöffnet hat")
    expect(messages).not_to_contain_text("opened")
    german.goto("/")
    moment = german.locator(".glance time[data-ago]").first
    expect(moment).to_be_visible(timeout=PATIENCE_MS)
    at = datetime.fromisoformat(moment.get_attribute("datetime") or "")
    german.clock.set_fixed_time(at + timedelta(hours=9))
    expect(moment).to_have_text("vor 9 h", timeout=PATIENCE_MS)

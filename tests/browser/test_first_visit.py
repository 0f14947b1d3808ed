"""The first visit: one's own password, a check of the host, and the demo with one click."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from appliance.jobs import DEMO_MODEL, JobKind
from tests.browser.conftest import watched_tab
from tests.browser.test_pages import settle
from tests.browser.way import wait_for_jobs
from tests.browser.world import World, first_login, open_world
from tests.ui.dashboard import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

PATIENCE_MS = 120_000
DEMO_MS = 1_500_000
"""A job comes after everything else that the host has to do."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("fresh"), wait_for_jobs) as world:
        yield world


def test_the_first_visit_checks_the_host_and_loads_the_demo(fresh: World, chromium: Browser, tmp_path: Path) -> None:
    login = first_login(fresh, chromium, tmp_path / "login.json")
    context = chromium.new_context(storage_state=login, viewport={"width": 1280, "height": 860})
    with watched_tab(context) as watched:
        page = watched.page
        page.goto(fresh.url)
        settle(page)
        checks = page.locator(".panel", has=page.get_by_role("heading", name="Check of this host"))
        expect(checks).to_be_visible(timeout=PATIENCE_MS)
        checks.locator("summary").click()
        expect(checks.locator(".check", has_text="libgomp.so.1 is there")).to_be_visible()
        # Neither systemd nor the supervisor started the parts, and the check says what to do about that.
        expect(checks.locator(".check", has_text="runner").first).to_contain_text("appliance logs runner")
        expect(page.get_by_role("heading", name="Bring your data")).to_be_visible()
        page.get_by_role("button", name="Load the demo").click()
        page.wait_for_url("**/jobs/*", timeout=PATIENCE_MS)
        job = page.url
        expect(page.get_by_text("Demo of bike-demand, asked for by admin")).to_be_visible(timeout=PATIENCE_MS)
        page.goto(fresh.url)  # it goes on meanwhile, and a second one is not begun
        again = page.request.post(f"{fresh.url}/api/demo", data={})
        assert again.status == 409, again.text()
        page.goto(job)
        expect(page.locator(".log")).to_contain_text("Replaying 2012", timeout=DEMO_MS)
        expect(page.locator(".page .status", has_text="Completed")).to_be_visible(timeout=DEMO_MS)
        expect(page.locator(".notice")).to_contain_text("the demo is loaded, in", timeout=PATIENCE_MS)
        page.get_by_role("link", name="See how it does").click()
        page.wait_for_url(f"**/monitoring/{DEMO_MODEL}")
        page.goto(fresh.url)
        settle(page)
        expect(page.get_by_role("link", name=DEMO_MODEL).first).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_role("heading", name="Bring your data")).not_to_be_visible()
        assert watched.complaints == []
    context.close()
    model = fresh.appliance.models.get(DEMO_MODEL)
    assert (model.latest, model.deployed is not None) == (2, True)
    second = fresh.appliance.jobs.wait(fresh.appliance.jobs.start_demo(who="test"), timeout_s=600)
    assert (second.kind, second.message) == (JobKind.DEMO, "the demo was loaded before")


def test_a_viewer_is_shown_no_way_to_begin(fresh: World, chromium: Browser) -> None:
    access = fresh.appliance.access
    access.create_user("vera", "viewer", "given out once", who="test")
    access.set_password("vera", PASSWORD, who="vera")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(fresh.url)
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{fresh.url}/")
    settle(page)
    assert page.get_by_role("button", name="Load the demo").count() == 0
    assert page.request.post(f"{fresh.url}/api/demo", data={}).status == 403
    page.goto(f"{fresh.url}/doctor")
    expect(page.locator(".check").first).to_be_visible(timeout=PATIENCE_MS)
    context.close()

"""The help: topics, a search as one types, links from every page, and a reference made of the program itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import GATE, PAGES, is_ours, settle
from tests.browser.world import MODEL, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000


def test_the_search_answers_as_one_types(tab: Page, world: World) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(world.url)
    tab.get_by_role("navigation", name="Pages").get_by_role("link", name="Help", exact=True).click()
    tab.wait_for_url("**/help")
    field = tab.get_by_label("Search the help")
    field.press_sequentially("noise floor")
    expect(tab.locator(".help-hit").first).to_contain_text("Drift", timeout=PATIENCE_MS)
    field.fill("E009")
    hit = tab.locator(".help-hit").get_by_role("link", name="Codes of the installer")
    expect(hit).to_be_visible(timeout=PATIENCE_MS)
    hit.click()
    tab.wait_for_url("**/help/troubleshooting#*")
    heading = tab.get_by_role("heading", name="Codes of the installer")
    expect(heading).to_be_in_viewport(timeout=PATIENCE_MS)
    expect(tab.get_by_role("cell", name="E009")).to_be_visible()
    assert [url for url in asked if not is_ours(url)] == []


def test_nothing_found_is_said(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/help?find=xyzzy")
    expect(tab.get_by_text("Nothing in the help has all of these words")).to_be_visible(timeout=PATIENCE_MS)


def test_the_reference_is_found_and_opened(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/help/cli")
    expect(tab.locator("details#appliance-backup-create")).to_be_visible(timeout=PATIENCE_MS)
    tab.goto(f"{world.url}/help?find=wait-s detach")
    hit = tab.locator(".help-hit").get_by_role("link", name="appliance up", exact=True)
    hit.click(timeout=PATIENCE_MS)
    tab.wait_for_url("**/help/cli#appliance-up")
    expect(tab.locator("details#appliance-up pre")).to_contain_text("--detach", timeout=PATIENCE_MS)
    tab.goto(f"{world.url}/help/rest#post-api-datasets")
    expect(tab.locator("details#post-api-datasets pre")).to_contain_text("Add a snapshot", timeout=PATIENCE_MS)


@pytest.mark.parametrize(
    ("address", "title"),
    [("/", "Your first model"), ("/data/bikes", "Data"), (f"/models/{MODEL}/try", "Sending data"),
     (f"/monitoring/{MODEL}", "Monitoring"), ("/alerts", "Alerts"), ("/settings", "Users")],
)  # fmt: skip
def test_a_page_leads_to_the_topic_that_fits(tab: Page, world: World, address: str, title: str) -> None:
    tab.goto(world.url + address)
    settle(tab)
    tab.get_by_role("link", name=f"Help: {title}").click()
    tab.wait_for_url("**/help/*")
    expect(tab.locator(".page h2").first).to_contain_text(title, timeout=PATIENCE_MS)


def test_every_page_has_a_way_to_the_help(tab: Page, world: World) -> None:
    for name, address in PAGES.items():
        if "{" in address or name in GATE or address.startswith("/help"):
            continue
        tab.goto(world.url + address)
        expect(tab.locator(".page-head .help-link")).to_have_count(1)


def test_a_topic_that_is_not_there(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/help/nothing")
    expect(tab.get_by_text("there is no such topic")).to_be_visible(timeout=PATIENCE_MS)

"""A page that follows what happens elsewhere leaves alone what somebody does on it meanwhile."""

from __future__ import annotations

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.model_spec import Threshold
from tests.browser.test_pages import settle
from tests.browser.world import SECOND, World
from tests.ui.dashboard import PASSWORD
from ui.words import number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
HERE = "document.activeElement.getAttribute('aria-label')"


def test_a_search_goes_on_while_rows_come(tab: Page, world: World) -> None:
    access = world.appliance.access
    for number_ in range(12):
        access.create_key(f"search-{number_}", "read", who="test")
    tab.goto(f"{world.url}/settings")
    settle(tab)
    rows = tab.locator(".table tbody tr")
    tab.get_by_role("columnheader", name="Key").click()
    tab.get_by_role("columnheader", name="Key").click()  # from the last to the first
    search = tab.get_by_label("Search keys")
    search.press_sequentially("search-1")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("search-11")
    access.create_key("search-100", "read", who="test")
    expect(rows).to_have_count(4, timeout=PATIENCE_MS)
    assert [row.inner_text().split()[0] for row in rows.all()] == ["search-11", "search-100", "search-10", "search-1"]
    tab.wait_for_function(f"{HERE} === 'Search keys'")
    tab.keyboard.type("00")  # where the cursor was
    expect(search).to_have_value("search-100")
    expect(rows).to_have_count(1)


def test_the_keyboard_stays_on_a_button_of_a_table(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_key("held", "read", who="test")
    tab.goto(f"{world.url}/settings")
    settle(tab)
    tab.get_by_role("row", name="held").get_by_role("button", name="Revoke").focus()
    access.create_key("held-not", "read", who="test")
    expect(tab.get_by_role("row", name="held-not")).to_be_visible(timeout=PATIENCE_MS)
    tab.wait_for_function("document.activeElement.innerText === 'Revoke'")
    assert tab.evaluate("document.activeElement.closest('tr').innerText").startswith("held\t")


def test_a_dialog_stays_and_does_what_it_says(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_user("vera", "viewer", "given out once 12", who="test")
    tab.goto(f"{world.url}/settings?tab=users")
    settle(tab)
    tab.get_by_role("row", name="vera").get_by_role("button", name="Remove").click()
    asked = tab.get_by_role("dialog", name="Remove vera")
    asked.get_by_label("Name").press_sequentially("ver")
    access.create_user("otto", "viewer", "given out once 12", who="test")
    expect(tab.locator("td", has_text="otto")).to_have_count(1, timeout=PATIENCE_MS)
    expect(asked).to_be_visible()
    tab.keyboard.type("a")
    asked.get_by_role("button", name="Remove the user").click()
    expect(asked).to_be_hidden()
    expect(tab.locator("td", has_text="vera")).to_have_count(0, timeout=PATIENCE_MS)
    assert "vera" not in {one.name for one in access.list_users()}


def test_the_dialog_of_a_button_that_is_drawn_anew_stays(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/alerts?tab=channels")
    settle(tab)
    channels = world.appliance.channels
    channels.add("first", "json://127.0.0.1:9/", who="test", least="warn")
    tab.get_by_role("row", name="first").get_by_role("button", name="Remove").click(timeout=PATIENCE_MS)
    asked = tab.get_by_role("dialog", name="Remove the channel first")
    expect(asked).to_be_visible()
    channels.add("second", "json://127.0.0.1:9/", who="test", least="warn")
    expect(tab.locator("td", has_text="second")).to_have_count(1, timeout=PATIENCE_MS)
    expect(asked).to_be_visible()
    asked.get_by_role("button", name="Remove the channel").click()
    expect(tab.locator("td", has_text="first")).to_have_count(0, timeout=PATIENCE_MS)
    channels.remove("second", who="test")


def logged_in(world: World, chromium: Browser, name: str) -> Page:
    """The audit, open in a browser of its own, for a new admin who sees what happens."""
    access = world.appliance.access
    access.create_user(name, "admin", PASSWORD, who="test")
    access.set_password(name, PASSWORD, who=name)
    page = chromium.new_context().new_page()
    page.goto(f"{world.url}/audit")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{world.url}/audit")
    settle(page)
    access.record("test", "seen", f"by-{name}")
    expect(page.locator("td", has_text=f"by-{name}")).to_have_count(1, timeout=PATIENCE_MS)
    return page


def test_a_page_left_open_ends_with_the_session_the_user_or_the_role(world: World, chromium: Browser) -> None:
    access = world.appliance.access
    left, removed, lesser = (logged_in(world, chromium, name) for name in ("lea", "rea", "tea"))
    elsewhere = left.context.new_page()
    elsewhere.goto(world.url)
    elsewhere.get_by_role("button", name="Log out").click()
    elsewhere.wait_for_url("**/login**")
    access.delete_user("rea", who="test")
    access.set_role("tea", "viewer", who="test")
    for page in (left, removed):
        page.wait_for_url(f"{world.url}/login?next=/audit", timeout=PATIENCE_MS)
    expect(lesser.locator(".notice")).to_contain_text("needs the role admin", timeout=PATIENCE_MS)
    access.record("test", "unseen", "by-nobody")
    for page in (left, removed, lesser):
        expect(page.locator("td")).to_have_count(0)
        page.context.close()
    for name in ("lea", "tea"):
        access.delete_user(name, who="test")


def test_the_slider_stays_where_it_was_put(tab: Page, world: World) -> None:
    appliance = world.appliance
    card = appliance.models.card(SECOND)
    assert card.evaluation is not None
    tab.goto(f"{world.url}/models/{SECOND}")
    settle(tab)
    slider = tab.get_by_role("slider", name="Threshold")
    slider.focus()
    served = [one.threshold for one in card.evaluation.cuts].index(card.threshold)
    for _ in range(3):
        tab.keyboard.press("ArrowLeft")
    here = tab.locator("section", has=tab.get_by_role("heading", name="Threshold", exact=True))
    wanted = card.evaluation.cuts[served - 3]
    expect(here.locator(".figure").first).to_contain_text(number(wanted.threshold))
    spec = appliance.models.get(SECOND).spec
    appliance.models.apply(msgspec.structs.replace(spec, holdout=0.3), who="test")
    expect(tab.locator("dd", has_text="30.0 %")).to_be_visible(timeout=PATIENCE_MS)
    expect(here.locator(".figure").first).to_contain_text(number(wanted.threshold))
    tab.wait_for_function(f"{HERE} === 'Threshold'")
    tab.keyboard.press("ArrowLeft")
    wanted = card.evaluation.cuts[served - 4]
    expect(here.locator(".figure").first).to_contain_text(number(wanted.threshold))
    tab.get_by_role("button", name="Use it from the next training on").click()
    expect(tab.locator(".q-notification").first).to_contain_text("is declared", timeout=PATIENCE_MS)
    assert appliance.models.get(SECOND).spec.threshold == Threshold(goal="fixed", at=round(wanted.threshold, 4))
    appliance.models.apply(spec, who="test")

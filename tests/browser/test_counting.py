"""What the browser does by itself: it counts how long ago something was, and a tab opened hidden asks nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from appliance.monitoring.alerts import Alert
from tests.browser.test_pages import settle
from tests.browser.world import MODEL, World, let_pages_look, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000


def test_how_long_ago_is_counted_on(tab: Page, world: World) -> None:
    tab.goto(world.url)
    tab.wait_for_selector(".glance time[data-ago]")
    settle(tab)
    glance = tab.locator(".glance", has=tab.get_by_role("link", name=MODEL, exact=True))
    newest, trained = glance.locator("time[data-ago]").all()
    for moment, sentence in ((newest, "the newest {}"), (trained, "trained {}")):
        at = datetime.fromisoformat(moment.get_attribute("datetime") or "")
        assert moment.get_attribute("title") == f"{at:%Y-%m-%d %H:%M:%S} UTC"
        for age, said in ((timedelta(minutes=20), "20 min ago"), (timedelta(hours=9), "9 h ago")):
            tab.clock.set_fixed_time(at + age)
            expect(moment).to_have_text(said, timeout=PATIENCE_MS)
            expect(glance).to_contain_text(sentence.format(said))


def test_a_tab_that_was_opened_hidden_asks_nothing(tab: Page, world: World) -> None:
    tab.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    tab.goto(f"{world.url}/settings")
    settle(tab)
    let_pages_look(world, tab.context, "made-behind", "made-behind-it")
    assert tab.get_by_text("made-behind").count() == 0
    tab.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(tab.get_by_text("made-behind").first).to_be_visible(timeout=PATIENCE_MS)


def test_the_menu_on_a_phone_says_whether_it_is_open(tab: Page, world: World) -> None:
    tab.set_viewport_size({"width": 360, "height": 740})
    tab.goto(world.url)
    settle(tab)
    menu = tab.get_by_role("button", name="Menu")
    expect(menu).to_have_attribute("aria-expanded", "false")
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(tab.locator(f"#{menu.get_attribute('aria-controls')}")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(menu).to_have_attribute("aria-expanded", "false")
    expect(menu).to_be_focused()


def test_the_number_of_open_alerts_is_kept_up_to_date(tab: Page, world: World) -> None:
    monitoring = world.appliance.monitoring

    def waiting() -> list[Alert]:
        return [one for one in monitoring.alerts(open_only=True) if one.acknowledged_by is None]

    before = waiting()
    assert len(before) > 1
    tab.goto(f"{world.url}/data/bikes")
    settle(tab)
    count = tab.get_by_role("navigation", name="Pages").locator(".count")
    wait_until(lambda: count.inner_text() == str(len(waiting())), "their number")  # others may open meanwhile
    monitoring.acknowledge(next(one.id for one in before if one.subject == "prediction"), who="test")
    wait_until(lambda: count.inner_text() == str(len(waiting())), "their number without the one that was seen")

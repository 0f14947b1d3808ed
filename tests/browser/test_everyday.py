"""The look of every day: the viewer's time zone, one time range, deployments on charts, quiet hidden tabs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.test_pages import PAGES, is_ours, settle
from tests.browser.world import MODEL, World, ids_of, let_pages_look

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000


def test_times_are_in_the_viewers_zone_and_utc_on_hover(world: World, chromium: Browser, state_of_login: Path) -> None:
    context = chromium.new_context(storage_state=state_of_login, timezone_id="Asia/Kolkata")
    page = context.new_page()
    job = world.appliance.jobs.list(1)[0]
    page.goto(f"{world.url}/jobs/{job.id}")
    settle(page)
    moment = page.locator(".page time").first
    expect(moment).to_contain_text("GMT+5:30")
    assert moment.get_attribute("title") == f"{job.created_at:%Y-%m-%d %H:%M}:00 UTC"
    page.goto(f"{world.url}/models")
    settle(page)
    expect(page.locator("td time").first).to_contain_text("GMT+5:30")
    assert not re.search(r"\d UTC", page.locator(".page").inner_text())
    context.close()


def test_the_time_range_is_kept_from_page_to_page(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service")
    settle(tab)
    ranges = tab.get_by_role("navigation", name="Time range")
    ranges.get_by_role("link", name="7 d").click()
    tab.wait_for_url(f"**/monitoring/{MODEL}?tab=service&window=7d")
    settle(tab)
    expect(ranges.locator("[aria-current=true]")).to_have_text("7 d")
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=quality")
    settle(tab)
    expect(ranges.locator("[aria-current=true]")).to_have_text("7 d")
    tab.go_back()
    settle(tab)
    expect(ranges.locator("[aria-current=true]")).to_have_text("7 d")
    tab.goto(f"{world.url}/monitoring/{MODEL}?window=soon")
    expect(tab.locator(".notice.alarm")).to_contain_text("accepted: a number with m, h or d")
    expect(tab.locator(".notice.alarm")).to_contain_text(re.compile(r"\(error [0-9a-f]{8}\)"))
    tab.goto(f"{world.url}/monitoring/{MODEL}?window=30d")
    settle(tab)


def test_deployments_are_marked_on_every_chart_over_time(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service&window=24h")
    settle(tab)
    charts = tab.locator(".chart")
    expect(charts).to_have_count(3)
    for chart in charts.all():
        expect(chart.locator("svg text", has_text=re.compile("^v1$"))).to_have_count(1)
        expect(chart.locator("svg text", has_text="local time")).to_have_count(1)


def test_hovering_a_chart_tells_value_and_unit(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=drift&window=30d")
    settle(tab)
    chart = tab.locator(".chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(chart).to_contain_text(re.compile(r"[0-9.]+ % of rows"))


def test_a_hidden_tab_asks_nothing_until_it_is_seen_again(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/settings")
    settle(tab)
    hide = "h => { Object.defineProperty(document, 'hidden', {value: h, configurable: true}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    tab.evaluate(hide, True)
    let_pages_look(world, tab.context, "made-while-hidden", "made-after-it")
    assert tab.get_by_text("made-while-hidden").count() == 0
    tab.evaluate(hide, False)
    expect(tab.get_by_text("made-while-hidden").first).to_be_visible(timeout=PATIENCE_MS)
    world.appliance.access.revoke_key("made-while-hidden", who="test")


def test_every_page_loads_with_every_other_host_cut_off(world: World, chromium: Browser, state_of_login: Path) -> None:
    context = chromium.new_context(storage_state=state_of_login)
    blocked: list[str] = []
    failed: list[str] = []
    page = context.new_page()

    def block(route: Route) -> None:
        blocked.append(route.request.url)
        route.abort()

    page.route(lambda url: not is_ours(url), block)
    page.on("requestfailed", lambda request: failed.append(request.url))
    ids = ids_of(world)
    for address in PAGES.values():
        answer = page.goto(world.url + address.format(**ids))
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "*" not in policy
        settle(page)
    assert blocked == []
    assert [url for url in failed if "_nicegui_ws" not in url] == []  # the socket of the page that was left
    page.goto(world.url)
    settle(page)
    outside = "fetch('http://127.0.0.2:9/').then(() => 'sent', error => String(error))"
    assert "sent" not in page.evaluate(outside)
    context.close()


def test_no_link_is_mangled(tab: Page, world: World) -> None:
    ids = ids_of(world)
    for address in PAGES.values():
        tab.goto(world.url + address.format(**ids))
        settle(tab)
        links = tab.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href') || '')")
        assert [link for link in links if "&amp;" in link or "&#" in link] == [], address

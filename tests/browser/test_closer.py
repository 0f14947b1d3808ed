"""From a point of a chart to what lies behind it, by mouse and by keys; an alert's windows; one time range for all."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_pages import settle
from tests.browser.world import MODEL, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

PATIENCE_MS = 120_000


def open_page(tab: Page, world: World, address: str) -> None:
    tab.goto(world.url + address)
    settle(tab)


def click_middle(chart: Locator) -> None:
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.6})


def by_keys(tab: Page) -> str:
    """Where the table's first moment leads, reached without a mouse."""
    fold = tab.locator("details.fold").first
    fold.locator("summary").focus()
    tab.keyboard.press("Enter")
    expect(fold.locator("tbody tr").first).to_be_visible(timeout=PATIENCE_MS)
    return str(fold.locator("tbody a").first.get_attribute("href"))


def test_a_click_on_the_traffic_opens_that_moment(tab: Page, world: World) -> None:
    open_page(tab, world, f"/monitoring/{MODEL}?tab=service&window=24h")
    behind = by_keys(tab)
    assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
    assert re.fullmatch(rf"/monitoring/{MODEL}\?tab=service&window=\w+&until=[\w%-]+", behind)
    chart = tab.get_by_role("img", name=f"Requests to {MODEL} over time")
    click_middle(chart)
    tab.wait_for_url(re.compile(r"until="), timeout=PATIENCE_MS)
    settle(tab)
    expect(tab.locator(".page")).to_contain_text("You look at")
    expect(tab.locator(".page")).to_contain_text("Requests")
    assert tab.url.removeprefix(world.url) == behind
    tab.get_by_role("link", name="Back to the newest").click()
    tab.wait_for_url(f"**/monitoring/{MODEL}?tab=service")
    settle(tab)
    # The closer look was of that page alone: the range that was chosen before stays.
    expect(tab.get_by_role("navigation", name="Time range").locator("[aria-current=true]")).to_have_text("24 h")
    tab.go_back()
    settle(tab)
    expect(tab.locator(".page")).to_contain_text("You look at")


def test_a_click_on_the_quality_opens_that_day_and_a_legend_does_not(tab: Page, world: World) -> None:
    open_page(tab, world, f"/monitoring/{MODEL}?tab=quality&window=90d&until=2011-12-12T00:00:00Z")
    chart = tab.get_by_role("img", name=re.compile("over time beside training and baseline"))
    chart.click(position={"x": 20, "y": 8})
    tab.wait_for_timeout(500)
    assert "window=90d" in tab.url
    click_middle(chart)
    tab.wait_for_url(re.compile(r"tab=quality&metric=\w+&window=1d&until="), timeout=PATIENCE_MS)
    settle(tab)
    expect(tab.locator(".page")).to_contain_text("You look at 24 h up to")


def test_a_click_on_a_columns_bar_shows_its_histograms(tab: Page, world: World) -> None:
    open_page(tab, world, f"/monitoring/{MODEL}?tab=drift&window=30d&until=2011-12-12T00:00:00Z")
    chart = tab.get_by_role("img", name=re.compile("^PSI of the columns that moved most"))
    report = world.appliance.monitoring.drift(MODEL, 30 * 86_400, until=datetime(2011, 12, 12, tzinfo=UTC))
    most = sorted(report.columns, key=lambda one: -(one.psi or 0.0))
    bar = chart.locator("svg text", has_text=re.compile(f"^{most[1].name}$")).bounding_box()
    box = chart.bounding_box()
    assert bar is not None
    assert box is not None
    chart.click(position={"x": box["width"] * 0.5, "y": bar["y"] + bar["height"] / 2 - box["y"]})
    tab.wait_for_url(re.compile(rf"until=.*&column={most[1].name}$"), timeout=PATIENCE_MS)
    settle(tab)
    expect(tab.get_by_role("heading", name=f"{most[1].name}: the training against this window")).to_be_visible()


def test_a_wrong_moment_in_the_address_is_refused(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service&until=soon")
    expect(tab.locator(".notice.alarm")).to_contain_text("accepted: a moment such as")


def test_the_sparkline_leads_to_the_models_service(tab: Page, world: World) -> None:
    open_page(tab, world, "/")
    tab.get_by_role("link", name=re.compile("requests in the last")).first.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/monitoring/{MODEL}?tab=service")


def test_an_alerts_histograms_move_in_time_and_its_trend_opens_drift(tab: Page, world: World) -> None:
    alert = next(one.id for one in world.appliance.monitoring.alerts() if one.subject == "drift")
    open_page(tab, world, f"/alerts/{alert}")
    slider = tab.get_by_role("slider", name="Window of the histograms")
    expect(slider).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_text("The window that opened the alert")).to_be_visible()
    picture = tab.locator("section").filter(has_text="the training against the judged window").first.locator("svg")
    before = picture.inner_html()
    slider.focus()
    for _ in range(4):
        tab.keyboard.press("ArrowLeft")
    expect(tab.get_by_text("The window 4 days before")).to_be_visible(timeout=PATIENCE_MS)
    expect(picture).not_to_have_js_property("innerHTML", before, timeout=PATIENCE_MS)
    tab.keyboard.press("End")
    expect(tab.get_by_text("The window that opened the alert")).to_be_visible(timeout=PATIENCE_MS)
    behind = by_keys(tab)
    assert behind.startswith(f"/monitoring/{MODEL}?tab=drift&column=")
    click_middle(tab.get_by_role("img", name=re.compile("^PSI of .* day by day")))
    tab.wait_for_url(re.compile(r"/monitoring/.*tab=drift&column=.*&window=30d&until="), timeout=PATIENCE_MS)
    settle(tab)
    expect(tab.locator(".page")).to_contain_text("You look at")


def test_one_time_range_holds_for_overview_monitoring_and_jobs(tab: Page, world: World) -> None:
    open_page(tab, world, "/monitoring")
    tab.get_by_role("navigation", name="Time range").get_by_role("link", name="7 d").click()
    tab.wait_for_url("**/monitoring?window=7d")
    settle(tab)
    expect(tab.get_by_role("columnheader", name="Requests in 7 d")).to_be_visible(timeout=PATIENCE_MS)
    for address, told in (("/", "requests over the last 7 d of traffic"), ("/jobs", "Training")):
        open_page(tab, world, address)
        expect(tab.get_by_role("navigation", name="Time range").locator("[aria-current=true]")).to_have_text("7 d")
        expect(tab.locator(".page")).to_contain_text(told, timeout=PATIENCE_MS)
    tab.get_by_role("navigation", name="Time range").get_by_role("link", name="The newest").click()
    tab.wait_for_url("**/jobs?window=usual")
    open_page(tab, world, "/")
    expect(tab.locator(".page")).to_contain_text("requests over the last day of traffic", timeout=PATIENCE_MS)

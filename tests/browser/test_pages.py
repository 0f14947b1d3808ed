"""Every page, light and dark, narrow and wide: it loads from this host alone, complains of nothing and fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import watched_tab
from tests.browser.looks import LOOKS, in_look
from tests.browser.world import ARTIFACTS, MODEL, SECOND, World, ids_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
"""For what a child works out, on a busy host."""

PAGES = {
    "overview": "/",
    "data": "/data",
    "dataset-columns": "/data/bikes",
    "dataset-rows": "/data/bikes?tab=rows",
    "dataset-versions": "/data/bikes?tab=versions",
    "dataset-rules": "/data/bikes?tab=rules",
    "dataset-new-rows": "/data/bikes?tab=feed",
    "dataset-sql": "/data/bikes?tab=sql",
    "models": "/models",
    "new-model-dataset": "/models/new",
    "new-model-target": "/models/new?dataset=bikes",
    "new-model-train": "/models/new?dataset=bikes&target=cnt",
    "model": f"/models/{MODEL}",
    "model-threshold-fairness-canary": f"/models/{SECOND}",
    "try": f"/models/{MODEL}/try",
    "deployments": "/deployments",
    "monitoring": "/monitoring",
    "monitoring-service": f"/monitoring/{MODEL}?tab=service",
    "monitoring-drift": f"/monitoring/{MODEL}?tab=drift",
    "monitoring-data-quality": f"/monitoring/{MODEL}?tab=rows",
    "monitoring-quality": f"/monitoring/{MODEL}?tab=quality",
    "monitoring-fairness": f"/monitoring/{SECOND}?tab=fairness",
    "monitoring-canary": f"/monitoring/{SECOND}?tab=service",
    "jobs": "/jobs",
    "job": "/jobs/{job}",
    "job-gate": "/jobs/{red_job}",
    "alerts": "/alerts",
    "alert-drift": "/alerts/{drift}",
    "alert-prediction": "/alerts/{prediction}",
    "alert-data-quality": "/alerts/{data_quality}",
    "alert-quality": "/alerts/{quality}",
    "alert-channels": "/alerts?tab=channels",
    "alert-messages": "/alerts?tab=messages",
    "settings-keys": "/settings",
    "settings-users": "/settings?tab=users",
    "settings-retention": "/settings?tab=retention",
    "settings-limits": "/settings?tab=limits",
    "settings-backup": "/settings?tab=backup",
    "audit": "/audit",
    "settings-about": "/settings?tab=about",
    "doctor": "/doctor",
    "help": "/help",
    "help-topic": "/help/monitoring",
    "help-commands": "/help/cli",
    "model-declaration": f"/models/{MODEL}/declaration",
    "password": "/password",
    "login": "/login",
}
GATE = {"password", "login"}
"""Stand outside the dashboard's frame."""


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_in_this_look(world: World, chromium: Browser, state_of_login: Path, look: str) -> None:
    assert photograph(world, chromium, state_of_login, look, ARTIFACTS) == []


def photograph(
    world: World, browser: Browser, cookies: Path, look: str, out: Path, *, pages: Sequence[str] = tuple(PAGES)
) -> list[str]:
    """Visit pages in a look and keep a picture of each below ``out``; what is wrong with them, one sentence each."""
    folder = out / look
    folder.mkdir(parents=True, exist_ok=True)
    ids = ids_of(world)
    width, problems = LOOKS[look][0], []
    with in_look(browser, look, cookies) as context:
        for name in pages:
            with watched_tab(context) as watched:
                watched.page.goto(world.url + PAGES[name].format(**ids))
                wait_for_parts(watched.page)
                watched.page.screenshot(path=folder / f"{name}.png", full_page=True)
                problems += [f"{name}: asked {url}" for url in watched.requests if not is_ours(url)]
                problems += [f"{name}: {complaint}" for complaint in watched.complaints]
                if watched.page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                    problems.append(f"{name}: scrolls sideways at {width} px")
                problems += [f"{name}: {told}" for told in refusals(watched.page)]
    return problems


def is_ours(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"data", "blob"} or parts.hostname == "127.0.0.1"


def settle(page: Page) -> None:
    """Wait for a page that is there, with all its parts; one that cannot be shown is none."""
    wait_for_parts(page)
    assert refusals(page) == [], page.url


def refusals(page: Page) -> list[str]:
    """What the page says that it, or a part of it, cannot show."""
    return page.locator(".notice", has_text="This cannot be shown").all_inner_texts()


def wait_for_parts(page: Page) -> None:
    """Wait for the heading, for the parts that come later, and for the charts."""
    page.wait_for_selector("h1")
    page.wait_for_function("!document.body.innerText.includes('this takes a few seconds')", timeout=PATIENCE_MS)
    page.wait_for_function(
        "[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg') || !c.offsetParent)"
    )
    page.wait_for_timeout(250)


def test_each_page_says_what_does_the_same(tab: Page, world: World) -> None:
    ids = ids_of(world)
    for name, address in PAGES.items():
        if name in GATE:
            continue
        tab.goto(world.url + address.format(**ids))
        settle(tab)
        assert tab.locator(".same code").count() >= 1, name


def test_a_page_says_that_it_is_left(tab: Page, world: World) -> None:
    """Else the server keeps it for ten seconds, in case its connection is only lost."""
    told: list[str] = []
    tab.on("websocket", lambda socket: socket.on("framesent", lambda frame: told.append(str(frame))))
    tab.goto(world.url + "/models")
    settle(tab)
    listener = tab.evaluate("Object.values(mounted_app.elements).flatMap(one => one.events ?? [])"
                            ".find(one => one.type === 'pageLeft').listener_id")  # fmt: skip
    # As the browser does; frames that are sent while a page goes away are not shown here.
    for persisted, times in (("true", 0), ("false", 1)):
        tab.evaluate(f"dispatchEvent(new PageTransitionEvent('pagehide', {{persisted: {persisted}}}))")
        tab.wait_for_timeout(500)
        for _ in range(PATIENCE_MS // 100):
            if len([frame for frame in told if listener in frame]) == times:
                break
            tab.wait_for_timeout(100)
        assert len([frame for frame in told if listener in frame]) == times
    tab.goto(world.url + "/jobs")
    tab.go_back()
    settle(tab)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Models")


def test_every_table_is_had_as_csv_and_a_long_one_is_searched(tab: Page, world: World) -> None:
    for name in ("overview", "data", "dataset-columns", "dataset-versions", "model", "monitoring", "monitoring-drift",
                 "jobs", "alerts", "settings-keys", "settings-users", "audit", "deployments"):  # fmt: skip
        tab.goto(world.url + PAGES[name])
        settle(tab)
        for table in tab.locator(".table").all():
            tools = table.locator("xpath=preceding-sibling::*[1][contains(@class, 'table-tools')]")
            assert tools.get_by_role("button", name="CSV").count() == 1, name
            if table.locator("tbody tr").count() > 8:
                assert tools.locator("input[type=search]").count() == 1, name


def test_the_versions_of_a_model_fit_beside_the_navigation(tab: Page, world: World) -> None:
    tab.goto(world.url + PAGES["model"])
    settle(tab)
    panel = tab.locator(".panel", has=tab.get_by_role("heading", name="Versions"))
    assert panel.locator(".q-table__middle").evaluate("area => area.scrollWidth <= area.clientWidth")
    with tab.expect_download() as saved:
        panel.get_by_role("button", name="CSV").click()
    assert saved.value.path().read_text(encoding="utf-8").splitlines()[0].endswith("Trained,Rows,Seconds")


def test_status_is_text_and_icon(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=drift")
    settle(tab)
    badges = tab.locator(".status").all()
    assert badges
    for badge in badges:
        assert badge.locator(".icon").count() == 1
        assert len(badge.inner_text().strip()) > len(badge.locator(".icon").inner_text().strip())


def test_charts_have_units_and_follow_the_theme(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service")
    settle(tab)
    words = " ".join(tab.locator(".chart svg text").all_text_contents())
    assert "ms" in words.split()
    assert "requests" in words.split()
    before = tab.evaluate("getComputedStyle(document.querySelector('.chart svg text')).fill")
    tab.evaluate("Quasar.Dark.set(true)")
    assert tab.evaluate("getComputedStyle(document.querySelector('.chart svg text')).fill") != before


def test_the_theme_is_kept(tab: Page, world: World) -> None:
    tab.goto(world.url)
    with tab.expect_navigation():
        tab.get_by_role("button", name="Dark appearance").click()
    tab.goto(f"{world.url}/models")
    tab.wait_for_function("document.body.classList.contains('body--dark')")
    with tab.expect_navigation():
        tab.get_by_role("button", name="System appearance").click()


def test_the_menu_on_a_phone(world: World, chromium: Browser, state_of_login: Path) -> None:
    context = chromium.new_context(storage_state=state_of_login, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(world.url)
    settle(page)
    models = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models")
    expect(models).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    models.click()
    page.wait_for_url("**/models")
    context.close()

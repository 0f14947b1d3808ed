"""Everybody can use it: axe finds nothing grave in light or dark, and the keyboard reaches and shows all."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import axe_source, grave_violations
from tests.browser.test_pages import PAGES, settle
from tests.browser.world import MODEL, World, ids_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_grave(world: World, chromium: Browser, state_of_login: Path, scheme: str) -> None:
    ids = ids_of(world)
    context = chromium.new_context(
        storage_state=state_of_login, viewport={"width": 1280, "height": 860}, color_scheme=scheme,  # type: ignore[arg-type]
    )  # fmt: skip
    page, source, problems = context.new_page(), axe_source(), []
    for name, address in PAGES.items():
        page.goto(world.url + address.format(**ids))
        settle(page)
        problems += [f"{name}: {one}" for one in grave_violations(page, source)]
    page.goto(f"{world.url}/models/{MODEL}/try")
    settle(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_text("Logged")).to_be_visible()
    problems += [f"answer: {one}" for one in grave_violations(page, source)]
    page.goto(f"{world.url}/data/bikes?tab=rules")
    settle(page)
    page.get_by_role("button", name="Declare rules").click()
    expect(page.locator(".q-dialog")).to_be_visible()
    page.wait_for_timeout(500)  # what fades in has no contrast yet
    problems += [f"dialog: {one}" for one in grave_violations(page, source)]
    context.clear_cookies()
    page.goto(f"{world.url}/login")
    problems += [f"login: {one}" for one in grave_violations(page, source)]
    context.close()
    assert problems == []


def test_axe_is_not_blind(tab: Page, world: World) -> None:
    tab.goto(world.url)
    settle(tab)
    assert grave_violations(tab, axe_source()) == []
    tab.evaluate("document.querySelector('main').append(new Image())")
    assert any("image-alt" in one for one in grave_violations(tab, axe_source()))


@pytest.mark.parametrize("address", ["/", "/data/bikes", f"/models/{MODEL}", f"/models/{MODEL}/try", "/settings"])
def test_whatever_the_keyboard_reaches_is_seen(tab: Page, world: World, address: str) -> None:
    tab.goto(world.url + address)
    settle(tab)
    reached, unseen = [], []
    for _ in range(120):
        tab.keyboard.press("Tab")
        what, shown = tab.evaluate(
            """() => {
                const one = document.activeElement;
                const styles = [one, one.closest('.q-field'), one.closest('.drop'), one.closest('.q-checkbox')]
                    .filter(Boolean).map(e => getComputedStyle(e));
                const ring = styles.some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)
                    || getComputedStyle(one).boxShadow.includes('4px');
                const field = one.closest('.q-field--focused, .q-field--highlighted, .q-checkbox, .native');
                return [one.tagName + ' ' + (one.getAttribute('aria-label') || one.innerText || one.className),
                        ring || !!field];
            }"""
        )
        if what.startswith("BODY"):
            break
        reached.append(what)
        if not shown:
            unseen.append(what)
    assert unseen == []
    assert reached[0].startswith("A Skip to the content")
    assert any(what.startswith("A") and what.endswith("Models") for what in reached)


def test_a_table_is_sorted_by_the_keyboard(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/data/bikes")
    settle(tab)
    heading = tab.get_by_role("columnheader", name="Column")
    heading.focus()
    tab.keyboard.press("Enter")
    names = sorted(column.name for column in world.appliance.datasets.show("bikes").columns)
    first = tab.locator(".q-table tbody tr td:first-child").first
    expect(first).to_have_text(names[0])
    tab.keyboard.press("Enter")
    expect(first).to_have_text(names[-1])

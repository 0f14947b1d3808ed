"""Dialogs and the buttons above a page: they say what will happen, lead back out, and change with what serves."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.jobs import JobState
from appliance.model_spec import ModelSpec
from tests.browser.looks import in_look
from tests.browser.test_pages import settle
from tests.browser.world import CHANNEL, PENGUINS, World, ids_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MODEL = "beaks"
COVERED = """() => [...document.querySelectorAll('.q-dialog .q-field__messages')].filter(hint => {
  const below = hint.closest('.q-field').nextElementSibling.getBoundingClientRect();
  return hint.getBoundingClientRect().bottom > below.top + 1;
}).map(hint => hint.innerText)"""
"""Hints that reach into what stands below their field."""

CONTRAST = """() => {
  const of = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const style = getComputedStyle(document.querySelector('.q-notification'));
  const [dark, bright] = [of(style.color), of(style.backgroundColor)].sort((one, other) => one - other);
  return (bright + 0.05) / (dark + 0.05);
}"""
"""Of a message that floats in, as WCAG 2 reckons it; from 4.5 on it is read."""


def train(world: World) -> None:
    job = world.appliance.jobs.wait(world.appliance.jobs.start_training(MODEL, who="test"), timeout_s=900)
    assert job.state is JobState.COMPLETED, job.message


@pytest.fixture(scope="module")
def untried(world: World) -> str:
    """A model of which one version is there, and none has served."""
    world.appliance.datasets.add("beaks", str(PENGUINS), who="test")
    world.appliance.models.create(ModelSpec(name=MODEL, dataset="beaks", target="species", rounds=20), who="test")
    train(world)
    return MODEL


def test_the_buttons_of_a_model_come_with_what_serves_and_roll_back_says_what_it_does(
    tab: Page, world: World, untried: str
) -> None:
    tab.goto(f"{world.url}/models/{untried}")
    settle(tab)
    expect(tab.get_by_role("link", name="Try it")).to_have_count(0)
    tab.get_by_role("button", name="Deploy", exact=True).click()
    tab.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    expect(tab.get_by_role("link", name="Try it")).to_be_visible()  # without the page being loaded again
    expect(tab.get_by_role("button", name="Roll back")).to_have_count(0)  # nothing served before it
    train(world)
    world.appliance.deployments.start_canary(untried, 10, 2, who="test")
    tab.get_by_role("button", name="Roll back").click()
    asked = tab.get_by_role("dialog")
    expect(asked).to_contain_text("The canary, version 2, ends")
    asked.get_by_role("button", name="Cancel").click()
    expect(asked).to_have_count(0)
    world.appliance.deployments.promote(untried, who="test")
    tab.get_by_role("button", name="Roll back").click()
    expect(asked).to_contain_text("Version 1 serves again in place of version 2")
    asked.get_by_role("button", name="Roll back").click()
    expect(tab.locator(".q-notification", has_text="version 1 answers every request")).to_be_visible()
    assert world.appliance.models.get(untried).deployed == 1


def test_every_dialog_that_asks_has_a_way_out(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_key("way-out", "read", who="test")
    access.create_user("ines", "viewer", "given out once 12", who="test")
    for address, row, label in (
        ("/settings", "way-out", "Revoke"), ("/settings?tab=users", "ines", "Change role"),
        ("/settings?tab=users", "ines", "Remove"), ("/alerts?tab=channels", CHANNEL, "Remove"),
        (f"/alerts/{ids_of(world)['drift']}", "", "Snooze"),
    ):  # fmt: skip
        tab.goto(world.url + address)
        settle(tab)
        place = tab.get_by_role("row", name=row) if row else tab
        place.get_by_role("button", name=label, exact=True).click()
        asked = tab.get_by_role("dialog")
        asked.get_by_role("button", name="Cancel").click()
        expect(asked).to_have_count(0)
    assert {one.name for one in access.list_keys() if one.revoked_at is None} >= {"way-out"}
    assert {one.name for one in access.list_users()} >= {"ines"}
    assert CHANNEL in {one.name for one in world.appliance.channels.list()}
    access.delete_user("ines", who="test")


@pytest.mark.parametrize(
    ("address", "row", "label"),
    [
        ("/settings", "keyboard", "Revoke"), ("/settings?tab=users", "kim", "New password"),
        ("/data/bikes?tab=feed", "", "Watch a folder"),
    ],
)  # fmt: skip
def test_after_a_dialog_the_focus_is_where_it_was(tab: Page, world: World, address: str, row: str, label: str) -> None:
    access = world.appliance.access
    if "kim" not in {one.name for one in access.list_users()}:
        access.create_user("kim", "viewer", "given out once 12", who="test")
        access.create_key("keyboard", "read", who="test")
    tab.goto(world.url + address)
    settle(tab)
    opener = (tab.get_by_role("row", name=row) if row else tab).get_by_role("button", name=label)
    opener.focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("dialog")).to_be_visible()
    expect(opener).not_to_be_focused()
    for _ in range(8):
        tab.keyboard.press("Tab")  # round it, and round again
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_hint_of_two_lines_covers_nothing(world: World, chromium: Browser, state_of_login: Path) -> None:
    with in_look(chromium, "phone-dark", state_of_login) as context:
        page = context.new_page()
        page.goto(f"{world.url}/data/bikes?tab=feed")
        settle(page)
        for label in ("Refresh by a schedule", "Watch a folder"):
            page.get_by_role("button", name=label).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            page.wait_for_timeout(500)  # it grows while it opens
            assert page.evaluate(COVERED) == [], label
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("look", ["phone-light", "phone-dark"])
def test_a_message_that_floats_in_is_read(world: World, chromium: Browser, state_of_login: Path, look: str) -> None:
    with in_look(chromium, look, state_of_login) as context:
        page = context.new_page()
        page.goto(f"{world.url}/alerts?tab=channels")
        settle(page)
        page.get_by_role("button", name="Add the channel").click()  # without a name
        expect(page.locator(".q-notification.bg-negative")).to_be_visible()
        assert page.evaluate(CONTRAST) >= 4.5, "refused"
        page.get_by_role("button", name="Close").click()
        expect(page.locator(".q-notification")).to_have_count(0)
        page.goto(f"{world.url}/audit")
        page.get_by_role("button", name="Verify the chain").click()
        expect(page.locator(".q-notification.bg-positive")).to_be_visible()
        assert page.evaluate(CONTRAST) >= 4.5, "done"


@pytest.mark.parametrize(
    ("address", "row", "buttons"),
    [
        ("/alerts", "Open", ("Acknowledge",)), ("/settings", "seen", ("Revoke",)),
        ("/settings?tab=users", "ines", ("Change role", "New password", "Remove")),
    ],
)  # fmt: skip
def test_a_button_of_a_table_is_in_sight_on_a_phone_with_what_it_is_about(
    world: World, chromium: Browser, state_of_login: Path, address: str, row: str, buttons: tuple[str, ...]
) -> None:
    access = world.appliance.access
    access.create_key(f"seen-{len(access.list_keys())}", "read", who="test")
    if "ines" not in {one.name for one in access.list_users()}:
        access.create_user("ines", "viewer", "given out once 12", who="test")
    with in_look(chromium, "phone-dark", state_of_login) as context:
        page = context.new_page()
        page.goto(world.url + address)
        settle(page)
        found = page.get_by_role("row").filter(has_text=row, has=page.get_by_role("button", name=buttons[0])).first
        for part in (*found.get_by_role("cell").all(), *(found.get_by_role("button", name=one) for one in buttons)):
            box = part.bounding_box()
            assert box is not None
            assert box["x"] >= 0, part.inner_text()
            assert box["x"] + box["width"] <= 360, part.inner_text()
        assert found.evaluate("row => row.scrollHeight <= row.clientHeight + 1")  # else it reaches into the next one
    access.delete_user("ines", who="test")


@pytest.mark.parametrize("address", ["/", "/settings", "/alerts?tab=messages", "/data/bikes"])
def test_every_tab_and_choice_is_in_sight_on_a_phone(
    world: World, chromium: Browser, state_of_login: Path, address: str
) -> None:
    with in_look(chromium, "phone-dark", state_of_login) as context:
        page = context.new_page()
        page.goto(world.url + address)
        settle(page)
        for entry in page.locator(".page .tabs a, .page .segmented a").all():
            box = entry.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 360, entry.inner_text()
        assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


@pytest.mark.parametrize(
    ("address", "choice"),
    [("/models/new?dataset=bikes&target=cnt", ".toggle"), ("/alerts?tab=messages", ".page .segmented")],
)
def test_a_choice_is_as_wide_as_what_there_is_to_choose(tab: Page, world: World, address: str, choice: str) -> None:
    tab.goto(world.url + address)
    settle(tab)
    last, whole = tab.locator(f"{choice} > *").last.bounding_box(), tab.locator(choice).first.bounding_box()
    assert last is not None
    assert whole is not None
    assert whole["x"] + whole["width"] - last["x"] - last["width"] < 4, "an empty frame behind the last one"

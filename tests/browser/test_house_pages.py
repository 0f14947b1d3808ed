"""The pages of the appliance as a whole: what serves where, who did what, what is kept, and the backups."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.errors import NotAllowed
from tests.browser.looks import in_look
from tests.browser.test_pages import settle
from tests.browser.world import MODEL, SECOND, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 600_000


def open_page(tab: Page, world: World, address: str) -> None:
    tab.goto(world.url + address)
    settle(tab)


def test_a_backup_is_made_and_proved_from_the_page(tab: Page, world: World) -> None:
    before = len(world.appliance.backups.list())
    open_page(tab, world, "/settings?tab=backup")
    tab.get_by_role("button", name="Back up now").click()
    expect(tab.get_by_text("is made and proved")).to_be_visible(timeout=PATIENCE_MS)
    made = world.appliance.backups.list()
    assert len(made) == before + 1
    assert made[0].notes.verified_at
    row = tab.get_by_role("row").filter(has_text=made[0].name)
    expect(row).to_contain_text("Good")


def test_what_would_go_is_shown_and_stays(tab: Page, world: World) -> None:
    old = world.settings.layout.tmp / "left-behind"
    old.write_text("x" * 1000)
    long_ago = time.time() - 3 * 86_400
    os.utime(old, (long_ago, long_ago))
    open_page(tab, world, "/settings?tab=retention")
    row = tab.get_by_role("row").filter(has_text="left-behind")
    expect(row).to_contain_text("left in tmp for more than a day", timeout=PATIENCE_MS)
    expect(tab.locator(".page")).to_contain_text("400 days (history_days)")
    assert old.exists()
    old.unlink()


def test_limits_name_their_settings_and_notifications_lead_to_the_channels(tab: Page, world: World) -> None:
    open_page(tab, world, "/settings?tab=limits")
    expect(tab.locator(".page")).to_contain_text("100,000 (max_rows)")
    tab.get_by_role("navigation", name="Parts of this page").get_by_role("link", name="Notifications").click()
    tab.wait_for_url("**/alerts?tab=channels")


def test_the_audit_is_searched_whole_and_every_entry_has_an_address(tab: Page, world: World) -> None:
    open_page(tab, world, "/audit")
    tab.get_by_role("searchbox", name="Search all entries").fill("MODEL.apply")
    tab.get_by_role("button", name="Search", exact=True).click()
    tab.wait_for_url("**/audit?q=MODEL.apply")
    settle(tab)
    rows = tab.locator("tbody tr")
    expect(rows.filter(has_text=MODEL).first).to_be_visible()
    assert all("model.apply" in text for text in rows.all_inner_texts())
    number = rows.filter(has_text=MODEL).first.locator("td").first.inner_text()
    rows.filter(has_text=MODEL).first.get_by_role("link", name=number, exact=True).click()
    tab.wait_for_url(f"**/audit?entry={number}")
    settle(tab)
    expect(tab.get_by_role("heading", name=f"Entry {number}")).to_be_visible()
    expect(rows).to_have_count(3)
    open_page(tab, world, "/audit?q=nobody-ever-did-this")
    expect(tab.locator(".page")).to_contain_text("No entry has nobody-ever-did-this")
    tab.goto(f"{world.url}/settings?tab=audit")
    tab.wait_for_url("**/audit")


def test_a_training_in_the_audit_leads_to_its_job(tab: Page, world: World) -> None:
    open_page(tab, world, "/audit?q=job.train")
    tab.locator("tbody tr").filter(has_text="job.train").first.get_by_role("link", name=re.compile("^job ")).click()
    tab.wait_for_url("**/jobs/*")
    expect(tab.get_by_role("heading", name="Job", exact=True)).to_be_visible()


def test_deployments_of_all_models_stand_on_one_page_and_undo_is_there(tab: Page, world: World) -> None:
    open_page(tab, world, "/deployments")
    serving = tab.get_by_role("row").filter(has_text=MODEL).first
    serves = world.appliance.models.get(MODEL).deployed
    expect(serving).to_contain_text(f"Version {serves}")
    expect(tab.get_by_role("heading", name="What served when")).to_be_visible()
    past = tab.locator("section").filter(has_text="What served when").get_by_role("row")
    expect(past.filter(has_text=MODEL).first).to_contain_text("now")


def test_the_dialog_about_a_role_begins_with_the_one_that_the_user_has(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_user("mona.lee@lab", "operator", "given out once 12", who="test")
    open_page(tab, world, "/settings?tab=users")
    tab.get_by_role("row", name="mona.lee@lab").get_by_role("button", name="Change role").click()
    asked = tab.get_by_role("dialog", name="Role of mona.lee@lab")
    expect(asked).to_contain_text("operator: adds data, trains, deploys")
    asked.get_by_role("button", name="Change the role").click()
    expect(asked).to_be_hidden()
    assert {one.name: one.role for one in access.list_users()}["mona.lee@lab"] == "operator"
    row = tab.get_by_role("row", name="mona.lee@lab")
    row.get_by_role("button", name="Change role").click()
    asked.get_by_label("Role").click()
    tab.get_by_role("option", name="admin").click()
    asked.get_by_role("button", name="Change the role").click()
    expect(row).to_contain_text("admin")
    access.delete_user("mona.lee@lab", who="test")


def test_a_user_who_lost_the_password_gets_another_from_an_admin(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_user("nina", "viewer", "given out once 12", who="test")
    access.set_password("nina", "her own of twelve", who="nina")
    open_page(tab, world, "/settings?tab=users")
    row = tab.get_by_role("row", name="nina")
    expect(row).to_contain_text("own")
    row.get_by_role("button", name="New password").click()
    asked = tab.get_by_role("dialog", name="New password for nina")
    asked.get_by_role("button", name="Give a new password").click()
    expect(asked).to_contain_text("Password of nina")
    given = asked.locator(".snippet pre").inner_text()
    asked.get_by_role("button", name="Close").click()
    expect(asked).to_be_hidden()
    expect(row).to_contain_text("given out, not replaced yet")
    assert access.login("nina", given).must_change
    with pytest.raises(NotAllowed, match="is wrong"):
        access.login("nina", "her own of twelve")
    mine = tab.get_by_role("row", name="admin (you)")
    expect(mine.get_by_role("button")).to_have_count(0)  # one's own is changed with the present one
    access.delete_user("nina", who="test")


def test_fairness_says_why_it_is_empty_and_what_to_do(tab: Page, world: World) -> None:
    open_page(tab, world, f"/monitoring/{MODEL}?tab=fairness")
    expect(tab.locator(".empty")).to_contain_text("Fairness needs a model with two classes")
    tab.locator(".empty").get_by_role("link", name="To the version").click()
    tab.wait_for_url(f"**/models/{MODEL}")


def test_the_model_card_opens_from_the_model_and_may_run_nothing(tab: Page, world: World) -> None:
    open_page(tab, world, f"/models/{MODEL}")
    with tab.context.expect_page() as opened:
        tab.get_by_role("link", name="Model card").click()
    card = opened.value
    card.wait_for_load_state()
    expect(card.get_by_role("heading", level=1)).to_contain_text(f"{MODEL}, version")
    answer = tab.context.request.get(card.url)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert card.evaluate("window.origin") == "null"
    assert httpx.get(card.url).status_code == 401


def test_the_model_card_fits_on_a_phone(world: World, chromium: Browser, state_of_login: Path) -> None:
    with in_look(chromium, "phone-light", state_of_login) as context:
        card = context.new_page()
        for model in (MODEL, SECOND):
            card.goto(f"{world.url}/api/models/{model}/card.html")
            assert card.evaluate("document.documentElement.scrollWidth <= innerWidth"), model


def test_a_printed_model_card_is_dark_on_white_and_whole(world: World, chromium: Browser, state_of_login: Path) -> None:
    with in_look(chromium, "desktop-dark", state_of_login) as context:
        card = context.new_page()
        card.set_viewport_size({"width": 794, "height": 1123})  # A4
        card.goto(f"{world.url}/api/models/{MODEL}/card.html")
        card.emulate_media(media="print")
        assert card.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        cut = "[...document.querySelectorAll('pre')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert card.evaluate(cut) == 0, "a call runs out of the paper"

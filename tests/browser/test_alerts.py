"""The alerts as somebody woken at night works with them: the page of one, seen, quiet; a channel and its test."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.world import MODEL, World
from tests.monitoring.receivers import http_receiver

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def alert_of(world: World, subject: str) -> int:
    return next(one.id for one in world.appliance.monitoring.alerts() if one.subject == subject)


def test_an_alert_is_read_seen_and_kept_quiet(world: World, tab: Page) -> None:
    alert = alert_of(world, "drift")
    tab.goto(f"{world.url}/alerts")
    tab.get_by_role("link", name=MODEL).first.click()
    tab.wait_for_url(re.compile(r".*/alerts/\d+"))
    tab.goto(f"{world.url}/alerts/{alert}")
    expect(tab.get_by_role("heading", name="What to do")).to_be_visible()
    expect(tab.get_by_text("how it came")).to_be_visible()
    tab.get_by_role("button", name="Acknowledge").click()
    expect(tab.get_by_text("Noted that you have seen it")).to_be_visible()
    assert world.appliance.monitoring.alert(alert).alert.acknowledged_by == "admin"
    expect(tab.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(tab.get_by_role("button", name="Seen")).to_be_disabled()  # the others stand where they stood
    tab.get_by_role("button", name="Snooze").click()
    tab.get_by_role("dialog").get_by_role("button", name="Snooze").click()
    expect(tab.get_by_text("Quiet for eight hours")).to_be_visible()
    assert world.appliance.monitoring.alert(alert).snoozed_until is not None


def test_an_alert_that_is_not_there_says_so(world: World, tab: Page) -> None:
    tab.goto(f"{world.url}/alerts/999999")
    expect(tab.get_by_text("there is no alert 999999")).to_be_visible()


def test_a_channel_is_added_tested_and_what_it_did_not_take_is_tried_again(world: World, tab: Page) -> None:
    with http_receiver() as hook:
        tab.goto(f"{world.url}/alerts?tab=channels")
        tab.get_by_label("Name").fill("night")
        tab.get_by_label("Address").fill(hook.url)
        tab.get_by_role("button", name="Add the channel").click()
        expect(tab.get_by_text("Copy it now")).to_be_visible()
        night = tab.get_by_role("row", name="night")
        night.get_by_role("button", name="Send a test").click()
        expect(tab.get_by_text("The test message was taken by night")).to_be_visible()
        assert len(hook.received) == 1
        assert hook.url not in tab.content()
    night.get_by_role("button", name="Send a test").click()
    expect(tab.get_by_text("did not arrive at night")).to_be_visible()
    tab.goto(f"{world.url}/alerts?tab=messages&only=dead")
    expect(tab.get_by_text("Given up").last).to_be_visible()
    tab.goto(f"{world.url}/alerts?tab=channels")
    night.get_by_role("button", name="Remove").click()
    tab.get_by_role("button", name="Remove the channel").click()
    expect(night).to_have_count(0)

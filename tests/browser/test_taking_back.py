"""What is done at once is offered to be taken back at once; what cannot be is asked about before."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import axe_source, grave_violations
from tests.browser.test_pages import settle
from tests.browser.world import SECOND, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
RULES = "[columns.amount]\nmin = 0\n"


def test_rules_that_were_taken_away_come_back(tab: Page, world: World, tmp_path: Path) -> None:
    datasets, source = world.appliance.datasets, tmp_path / "taken.csv"
    source.write_text("country,amount\nDE,1\nFR,2\n")
    datasets.add("taken", str(source), who="test")
    datasets.declare_rules("taken", RULES, who="test")
    before = datasets.rules("taken")
    tab.goto(f"{world.url}/data/taken?tab=rules")
    settle(tab)
    tab.get_by_role("button", name="Take the rules away").click()
    offer = tab.locator(".undo-bar")
    expect(offer).to_contain_text("The rules of taken were taken away", timeout=PATIENCE_MS)
    expect(tab.get_by_role("button", name="Declare rules")).to_be_visible()
    assert datasets.rules("taken") is None
    assert grave_violations(tab, axe_source()) == []
    offer.get_by_role("button", name="Undo").click()
    expect(tab.get_by_role("row", name="amount is at least 0")).to_be_visible(timeout=PATIENCE_MS)
    expect(offer).to_be_hidden()
    assert datasets.rules("taken") == before


def test_a_key_is_revoked_after_a_question(tab: Page, world: World) -> None:
    access = world.appliance.access
    access.create_key("doomed", "read", who="test")
    tab.goto(f"{world.url}/settings")
    settle(tab)
    row = tab.get_by_role("row", name="doomed")
    row.get_by_role("button", name="Revoke").click()
    asked = tab.get_by_role("dialog", name="Revoke the key doomed")
    expect(asked).to_be_visible()
    tab.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    assert next(one for one in access.list_keys() if one.name == "doomed").revoked_at is None
    row.get_by_role("button", name="Revoke").click()
    tab.get_by_role("button", name="Revoke the key").click()
    expect(row).to_contain_text("Revoked", timeout=PATIENCE_MS)
    assert next(one for one in access.list_keys() if one.name == "doomed").revoked_at is not None


def test_a_promotion_is_taken_back_to_the_trial_that_it_was(tab: Page, world: World) -> None:
    deployments = world.appliance.deployments

    def standing() -> list[tuple[str, int, int | None]]:
        current = (one for one in deployments.current() if one.model == SECOND)
        return sorted((one.role, one.version, one.percent) for one in current)

    before = standing()
    assert before == [("canary", 2, 20), ("champion", 1, None)]
    tab.goto(f"{world.url}/models/{SECOND}")
    settle(tab)
    tab.get_by_role("button", name="Promote").click()
    offer = tab.locator(".undo-bar")
    expect(offer).to_contain_text("version 2 answers every request", timeout=PATIENCE_MS)
    assert standing() == [("champion", 2, None)]
    offer.get_by_role("button", name="Undo").click()
    expect(tab.locator(".q-notification").first).to_contain_text("is on trial again", timeout=PATIENCE_MS)
    assert standing() == before

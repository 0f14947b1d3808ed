"""The users' page: what was done stands there, and a role is changed from what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from appliance.access import Role
from appliance.house import open_appliance, prepare_state
from appliance.settings import Settings
from tests.browser.test_pages import settle
from tests.browser.world import World, first_login
from tests.ui.dashboard import serve_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PATIENCE_MS = 60_000


def test_the_dialog_of_a_role_begins_with_the_present_one(chromium: Browser, tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    with serve_dashboard(settings.state) as dashboard:
        told = settings.model_copy(update={"ui_port": dashboard.port})
        world = World(appliance=open_appliance(told), settings=told, dashboard_pid=dashboard.process.pid)
        access = world.appliance.access
        access.create_user("otto", "operator", "given out 12", who="test")
        login = first_login(world, chromium, tmp_path / "login.json")
        with chromium.new_context(storage_state=login) as context:
            page = context.new_page()
            page.goto(f"{world.url}/settings?tab=users")
            settle(page)
            row = page.get_by_role("row").filter(has_text="otto")
            row.get_by_text("Change role").click()
            window = page.get_by_role("dialog", name="Role of otto")
            expect(window).to_contain_text("operator: adds data, trains, deploys")
            window.get_by_role("button", name="Change the role").click()
            expect(window).not_to_be_visible()
            assert {one.name: one.role for one in access.list_users()}["otto"] is Role.OPERATOR
            row.get_by_text("Change role").click()
            window.get_by_label("Role").click()
            page.get_by_role("option", name="admin").click()
            window.get_by_role("button", name="Change the role").click()
            expect(row).to_contain_text("admin", timeout=PATIENCE_MS)

"""The drift panel beside a broken column: the others' verdicts, and what is wrong with the broken one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from appliance.house import open_appliance, prepare_state
from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.drift import TOO_LARGE
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from tests.browser.conftest import watched_tab
from tests.browser.world import World, first_login
from tests.monitoring.test_against import register
from tests.monitoring.traffic import START_US, Traffic, encoded_rows, publish, regression_schema, training_frame
from tests.ui.dashboard import serve_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_drift_panel_shows_the_others_and_says_what_is_wrong(chromium: Browser, tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    publish(settings, regression_schema(), training_frame())
    register(settings)
    declared = dump_spec(ModelSpec(name="rent", dataset="rides", target="count"))
    settings.layout.specs.joinpath("rent.toml").write_text(declared)
    rows = encoded_rows(np.random.default_rng(0), 500)
    rows[:, 0] = 1.7e308
    rows[:, 1] = 3.0
    with closing(Watch(settings.layout)) as watch:
        traffic = Traffic(settings)
        traffic.predict(rows, event_us=START_US, outputs=[40.0] * len(rows))
        traffic.close()
        watch_once(watch)
    with serve_dashboard(settings.state) as dashboard:
        told = settings.model_copy(update={"ui_port": dashboard.port})
        world = World(appliance=open_appliance(told), settings=told, dashboard_pid=dashboard.process.pid)
        context = chromium.new_context(storage_state=first_login(world, chromium, tmp_path / "login.json"))
        with watched_tab(context) as tab:
            for column in ("temp", "season", "holiday"):
                tab.page.goto(f"{world.url}/monitoring/rent?tab=drift&column={column}")
                panel = tab.page.get_by_role("table")
                expect(panel.get_by_role("row").filter(has_text="temp")).to_contain_text(TOO_LARGE)
                expect(panel.get_by_role("row").filter(has_text="season")).to_contain_text("season moved: the share of")
                expect(panel.get_by_role("row").filter(has_text="holiday")).to_contain_text("has not moved")
                expect(
                    tab.page.get_by_role("heading", name=f"{column}: the training against this window")
                ).to_be_visible()
            assert not tab.complaints
        context.close()

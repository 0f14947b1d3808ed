"""The page of a running training: how long it still takes, and Stop."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from appliance.jobs import JobState
from appliance.model_spec import ModelSpec
from appliance.schema import Task
from tests.browser.test_pages import settle
from tests.browser.world import World, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

PATIENCE_MS = 600_000
ENDLESS = ModelSpec(
    name="endless", dataset="bikes", target="cnt", task=Task.REGRESSION, time="ts", rounds=100_000,
    early_stopping=10_000, params={"learning_rate": 0.001},
)  # fmt: skip


def test_a_running_training_says_what_is_left_and_stops_when_told(tab: Page, world: World) -> None:
    world.appliance.models.apply(ENDLESS, who="test")
    job_id = world.appliance.jobs.start_training(ENDLESS.name, who="test")
    tab.goto(f"{world.url}/jobs/{job_id}")
    settle(tab)
    said = tab.locator(".page")
    expect(said).to_contain_text(re.compile(r"about .* left for the fits"), timeout=PATIENCE_MS)
    tab.reload()
    expect(said).to_contain_text(re.compile(r"about .* left for the fits"), timeout=PATIENCE_MS)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_text("The job is told to stop")).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_text("It was stopped; nothing of it was kept.")).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_role("button", name="Stop")).to_be_hidden()
    expect(said).not_to_contain_text("left for the fits")
    wait_until(lambda: world.appliance.jobs.get(job_id).state is JobState.CANCELLED, "the job to be stopped")
    assert world.appliance.models.versions(ENDLESS.name) == ()
    tab.get_by_role("button", name="Try again").click()
    expect(tab.get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE_MS)
    second = tab.url.rpartition("/")[2]
    assert second != job_id
    assert world.appliance.jobs.get(second).model == ENDLESS.name
    world.appliance.jobs.cancel(second, who="test")


def test_a_training_is_estimated_before_it_starts_by_budget_and_columns(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/models/new?dataset=bikes&target=cnt")
    takes = tab.get_by_text("This training takes")
    expect(takes).to_contain_text("by what trainings took on this host", timeout=PATIENCE_MS)
    quick = takes.inner_text()
    tab.get_by_role("group", name="How long to search").get_by_role("button", name="Better").click()
    expect(takes).not_to_have_text(quick)

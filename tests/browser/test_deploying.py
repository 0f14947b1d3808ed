"""Versions that should not serve, in the browser: a gate that is red and why, a damaged bundle; and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from appliance.jobs import JobState
from appliance.model_spec import ModelSpec
from storage.bundles import bundle_path
from tests.browser.test_pages import settle
from tests.browser.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

PATIENCE_MS = 180_000
MODEL = "kinds"
PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"


def train(world: World) -> str:
    job = world.appliance.jobs.wait(world.appliance.jobs.start_training(MODEL, who="test"), timeout_s=900)
    assert job.state is JobState.COMPLETED, job.message
    return job.id


@pytest.fixture(scope="module")
def second_job(world: World) -> str:
    """A model whose first version serves, and the job of a second one, which is no better: it is the same."""
    world.appliance.datasets.add("kinds", str(PENGUINS), who="test")
    spec = ModelSpec(name=MODEL, dataset="kinds", target="species", deploy="auto", rounds=20)
    world.appliance.models.create(spec, who="test")
    train(world)
    return train(world)


def test_a_gate_that_is_red_says_why_and_nothing_changes(tab: Page, world: World, second_job: str) -> None:
    tab.goto(f"{world.url}/jobs/{second_job}")
    settle(tab)
    gate = tab.locator(".page .status", has_text="Gate not passed")
    expect(gate).to_be_visible(timeout=PATIENCE_MS)
    expect(gate.locator(".icon")).to_have_count(1)
    reason = tab.locator(".page li", has_text="is not better than")
    expect(reason).to_contain_text("of champion version 1 on the same holdout")
    red, green = tab.locator(".gates li").all()
    for line, tone, said in ((red, "alarm", "Not passed"), (green, "ok", "Passed")):
        expect(line.locator(f".status.{tone} .icon")).to_have_count(1)
        expect(line.locator(".status")).to_contain_text(said)
    expect(green).to_contain_text("of the dummy that knows no column")
    assert world.appliance.models.get(MODEL).deployed == 1
    expect(tab.get_by_role("link", name="Try it")).to_have_count(0)
    tab.goto(f"{world.url}/models/{MODEL}?version=2")
    settle(tab)
    expect(tab.locator(".page .status", has_text="Gate not passed").first).to_be_visible()
    expect(tab.locator(".page li", has_text="is not better than")).to_be_visible()


@pytest.mark.usefixtures("second_job")
def test_a_rollback_is_offered_while_there_is_something_to_take_back(tab: Page, world: World) -> None:
    """On the model's page at once, without a look at it anew; nowhere where the first version serves."""
    deployments = world.appliance.deployments
    tab.goto(f"{world.url}/models/{MODEL}/try")
    settle(tab)
    expect(tab.get_by_role("button", name="Predict")).to_be_visible()
    expect(tab.get_by_role("button", name="Roll back")).to_have_count(0)
    tab.goto(f"{world.url}/models/{MODEL}")
    settle(tab)
    expect(tab.get_by_role("button", name="Train", exact=True)).to_be_visible()
    expect(tab.get_by_role("button", name="Roll back")).to_have_count(0)
    deployments.start_canary(MODEL, 10, 2, who="test")
    expect(tab.get_by_role("button", name="Roll back")).to_be_visible(timeout=PATIENCE_MS)
    deployments.end(MODEL, "canary", who="test")
    expect(tab.get_by_role("button", name="Roll back")).to_have_count(0, timeout=PATIENCE_MS)


def test_a_person_deploys_it_all_the_same_and_takes_it_back(tab: Page, world: World, second_job: str) -> None:
    tab.goto(f"{world.url}/jobs/{second_job}")
    settle(tab)
    tab.get_by_role("button", name="Deploy version 2").click()
    tab.wait_for_url(f"**/models/{MODEL}/try", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == 2
    tab.get_by_role("button", name="Roll back").click()
    tab.get_by_label("Why").fill("the gate was right")
    tab.locator(".q-dialog").get_by_role("button", name="Roll back").click()
    expect(tab.locator(".q-notification").first).to_contain_text("version 1 answers every request", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == 1
    tab.goto(f"{world.url}/models/{MODEL}")
    settle(tab)
    expect(tab.get_by_text("the gate was right")).to_be_visible()


@pytest.mark.usefixtures("second_job")
def test_the_page_of_all_deployments_says_what_serves_and_takes_it_back(tab: Page, world: World) -> None:
    world.appliance.deployments.deploy(MODEL, 2, who="test", reason="to be taken back")
    tab.goto(f"{world.url}/deployments")
    settle(tab)
    serving = tab.locator("section", has_text="What serves now").get_by_role("row").filter(has_text=MODEL)
    expect(serving).to_contain_text("Version 2", timeout=PATIENCE_MS)
    expect(serving).to_contain_text("version 1")
    expect(serving).to_contain_text("to be taken back")
    serving.get_by_role("button", name="Undo").click()
    tab.locator(".q-dialog").get_by_role("button", name="Roll back").click()
    expect(tab.locator(".q-notification").first).to_contain_text("version 1 answers every request", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == 1
    expect(serving).to_contain_text("Version 1", timeout=PATIENCE_MS)
    expect(serving.get_by_role("button", name="Undo")).to_have_count(0)
    past = tab.locator("section", has_text="What served when").get_by_role("row").filter(has_text="to be taken back")
    expect(past.get_by_role("link", name="2", exact=True)).to_have_attribute("href", f"/models/{MODEL}?version=2")


@pytest.mark.usefixtures("second_job")
def test_a_damaged_version_is_refused_with_the_reason(tab: Page, world: World, tmp_path: Path) -> None:
    folder = bundle_path(world.settings.layout, MODEL, 2)
    shutil.copy(folder / "model.txt", tmp_path)
    with (folder / "model.txt").open("a") as file:
        file.write("one line too many\n")
    try:
        tab.goto(f"{world.url}/models/{MODEL}")
        settle(tab)
        tab.get_by_role("row", name="2 ").get_by_role("button", name="Deploy").click()
        tab.locator(".q-dialog").get_by_role("button", name="Deploy").click()
        said = tab.locator(".q-notification").first
        expect(said).to_contain_text("model.txt", timeout=PATIENCE_MS)
        assert "Traceback" not in said.inner_text()
        assert world.appliance.models.get(MODEL).deployed == 1
    finally:
        shutil.copy(tmp_path / "model.txt", folder)

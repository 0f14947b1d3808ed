"""An appliance that nobody has used yet: from a file on the first page to an answered prediction in a few clicks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_pages import settle
from tests.browser.way import PATIENCE_MS, bike_csv, count_clicks, drop, wait_for_jobs, walk
from tests.browser.world import World, first_login, open_world, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MOST_CLICKS = 5


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Nothing is in it."""
    with open_world(tmp_path_factory.mktemp("fresh"), wait_for_jobs) as world:
        yield world


@pytest.fixture(scope="module")
def login(fresh: World, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_login(fresh, chromium, tmp_path_factory.mktemp("login") / "state.json")


@pytest.fixture
def tab(chromium: Browser, login: Path) -> Iterator[Page]:
    context = chromium.new_context(storage_state=login, viewport={"width": 1280, "height": 860})
    count_clicks(context)
    yield context.new_page()
    context.close()


def test_from_a_dropped_file_to_a_prediction_in_five_clicks(tab: Page, fresh: World, tmp_path: Path) -> None:
    way = walk(tab, fresh.url, bike_csv(tmp_path))
    assert way.clicks <= MOST_CLICKS
    assert 0 < way.answer < 2000
    (model,) = fresh.appliance.models.list()
    assert model.dataset == "bike-sharing"
    assert model.deployed == 1
    assert "registered" in model.spec.exclude
    tab.get_by_role("link", name=model.name).first.click()
    expect(tab.get_by_text("by itself when the gate is passed")).to_be_visible(timeout=PATIENCE_MS)


def test_what_was_decided_is_changed(tab: Page, fresh: World) -> None:
    (model,) = fresh.appliance.models.list()
    tab.goto(f"{fresh.url}/models/{model.name}")
    settle(tab)
    tab.get_by_role("link", name="Change it").click()
    expect(tab.get_by_role("heading", name=f"Change {model.name}")).to_be_visible()
    box = tab.get_by_role("checkbox", name="windspeed", exact=True)
    expect(box).to_be_checked(timeout=PATIENCE_MS)
    expect(tab.get_by_role("checkbox", name="registered", exact=True)).not_to_be_checked()
    box.click()
    tab.get_by_role("button", name="Save without training").click()
    tab.wait_for_url(f"**/models/{model.name}", timeout=PATIENCE_MS)
    changed = fresh.appliance.models.get(model.name).spec
    assert set(changed.exclude) - set(model.spec.exclude) == {"windspeed"}
    assert (changed.deploy, changed.time, changed.holdout) == (model.spec.deploy, model.spec.time, model.spec.holdout)
    expect(tab.get_by_text("windspeed").first).to_be_visible()


def test_a_target_is_asked_for_and_what_cannot_be_learned_is_said(tab: Page, fresh: World, tmp_path: Path) -> None:
    file = tmp_path / "still.csv"
    file.write_text("a,b\n" + "\n".join(f"{i},7" for i in range(300)) + "\n")
    tab.goto(f"{fresh.url}/data")
    settle(tab)
    drop(tab, file)
    expect(tab.get_by_label("Predict b", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    tab.get_by_role("button", name="Train and deploy").click()
    expect(tab.locator(".q-notification").first).to_contain_text("Choose the column to predict")
    tab.get_by_label("Predict b", exact=True).click()
    tab.get_by_role("button", name="Train and deploy").click()
    expect(tab.get_by_text("no model was made of them")).to_be_visible(timeout=PATIENCE_MS)
    assert "still" in {one.dataset for one in fresh.appliance.datasets.list()}
    tab.get_by_role("link", name="Another target").click()
    tab.wait_for_url("**/models/new?dataset=still")


def test_a_file_on_its_way_says_how_far_it_is_and_is_stopped(tab: Page, fresh: World, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("a,b\n" + "1234567,7654321\n" * 400_000)
    tab.goto(f"{fresh.url}/data")
    settle(tab)
    slow = tab.context.new_cdp_session(tab)
    slow.send("Network.enable")
    slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 50_000},
    )
    drop(tab, file)
    said = tab.locator(".drop .drop-text")
    expect(said).to_contain_text("long.csv: ", timeout=PATIENCE_MS)
    expect(said).to_contain_text("of 6.4 MB sent")
    tab.wait_for_function("parseFloat(document.querySelector('.drop .progress > i').style.width) > 0")
    tab.locator(".drop").get_by_role("button", name="Stop").click()
    expect(said).to_contain_text("Upload stopped; nothing was kept")
    expect(tab.locator(".q-dialog")).to_have_count(0)
    wait_until(lambda: not list(fresh.settings.layout.tmp.glob("upload-*/long.csv")), "the end of what was sent")
    assert "long" not in {one.dataset for one in fresh.appliance.datasets.list()}


def test_a_click_where_files_are_dropped_opens_the_choice_of_files(tab: Page, fresh: World) -> None:
    tab.goto(f"{fresh.url}/data")
    settle(tab)
    with tab.expect_file_chooser() as chooser:
        tab.locator(".drop .drop-text").click()
    assert chooser.value.element.get_attribute("aria-label") == "File to add"


def test_another_version_needs_no_name(tab: Page, fresh: World, tmp_path: Path) -> None:
    tab.goto(f"{fresh.url}/data/still")
    settle(tab)
    tab.get_by_role("link", name="Add a version").click()
    expect(tab.locator(".drop")).to_contain_text("the next version of still")
    file = tmp_path / "other-name.csv"
    file.write_text("a,b\n" + "\n".join(f"{i},{i}" for i in range(300)) + "\n")
    drop(tab, file)
    expect(tab.get_by_label("Dataset name")).to_have_value("still", timeout=PATIENCE_MS)
    expect(tab.get_by_text("New version with these rows alone")).to_be_visible()
    tab.get_by_role("button", name="Save").click()
    tab.wait_for_url("**/data/still", timeout=PATIENCE_MS)
    assert fresh.appliance.datasets.show("still").version == 2

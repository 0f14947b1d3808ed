"""From a file to an answered prediction in a handful of clicks, as somebody does who has never seen it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.test_pages import settle
from tests.browser.world import MODEL, World
from tests.ui.dashboard import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"
PATIENCE_MS = 180_000


def test_from_a_file_to_a_prediction(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", PENGUINS)  # 1: the drop
    tab.get_by_role("button", name="Save").click()  # 2
    tab.wait_for_url("**/data/penguins", timeout=PATIENCE_MS)
    expect(tab.get_by_role("row", name="bill_length_mm")).to_be_visible()
    tab.get_by_role("link", name="Create a model").click()  # 3
    tab.get_by_role("link", name="species").click()  # 4
    expect(tab.get_by_text("What was found out")).to_be_visible(timeout=PATIENCE_MS)
    tab.get_by_role("button", name="Train", exact=True).click()  # 5
    tab.wait_for_url("**/jobs/*", timeout=PATIENCE_MS)
    job = tab.url
    tab.goto(f"{world.url}/jobs")  # leaving and coming back loses nothing
    expect(tab.get_by_role("link", name="Training").first).to_be_visible()
    tab.goto(job)
    expect(tab.locator(".page .status", has_text="Completed")).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_text("Gate passed")).to_be_visible()
    expect(tab.locator(".log")).to_contain_text("fitting")
    expect(tab.locator(".chart svg path").first).to_be_attached()
    tab.get_by_role("button", name="Deploy version 1").click()  # 6
    tab.wait_for_url("**/models/penguins-species/try", timeout=PATIENCE_MS)
    expect(tab.locator(".snippet pre").first).to_contain_text(
        f"{world.settings.api_url}/models/penguins-species/predict"
    )
    tab.get_by_role("button", name="Predict").click()  # 7
    answer = tab.locator(".answer .value")
    expect(answer).to_be_visible(timeout=PATIENCE_MS)
    assert answer.inner_text() in {"Adelie", "Gentoo", "Chinstrap"}
    expect(tab.get_by_text("Logged")).to_be_visible()
    expect(tab.locator(".bar")).to_have_count(3)
    expect(tab.locator(".chart svg text").nth(3)).to_be_attached()


def test_an_answer_follows_the_row(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/models/{MODEL}/try")
    settle(tab)
    answers = []
    for hour in ("3", "17"):
        tab.get_by_label("hour").fill(hour)
        expect(tab.locator(".snippet pre").first).to_contain_text(f'"hour": {hour}')
        tab.get_by_role("button", name="Predict").click()
        expect(tab.locator(".chart svg text", has_text=f"hour = {hour}")).to_be_visible(timeout=PATIENCE_MS)
        answers.append(float(tab.locator(".answer .value").inner_text().replace(",", "")))
    assert answers[0] < answers[1]


def test_a_file_that_is_no_table_is_refused_in_words(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/data")
    settle(tab)
    broken = FilePayload(name="broken.parquet", mimeType="application/octet-stream", buffer=b"no parquet at all")
    tab.set_input_files(".drop input", broken)
    tab.get_by_role("button", name="Save").click()
    said = tab.locator(".q-notification").first
    expect(said).to_be_visible(timeout=PATIENCE_MS)
    assert "broken.parquet" in said.inner_text()
    assert "Traceback" not in said.inner_text()
    assert "broken" not in {one.dataset for one in world.appliance.datasets.list()}


def test_a_file_of_another_kind_is_refused_at_once(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/data")
    settle(tab)
    picture = FilePayload(name="cat.png", mimeType="image/png", buffer=b"x")
    tab.set_input_files(".drop input", picture)
    expect(tab.locator(".q-notification").first).to_contain_text("accepted: .csv", timeout=PATIENCE_MS)


def test_a_key_is_shown_once_and_revoked(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/settings")
    settle(tab)
    tab.get_by_label("What it is for").fill("mobile-app")
    tab.get_by_role("button", name="Create the key").click()
    shown = tab.locator(".snippet pre").first
    expect(shown).to_be_visible(timeout=PATIENCE_MS)
    key = shown.inner_text().strip()
    assert key.startswith("apk_")
    assert world.appliance.access.check_key(key) is not None
    tab.reload()
    settle(tab)
    assert key not in tab.content()
    tab.get_by_role("row", name="mobile-app").get_by_role("button", name="Revoke").click()
    tab.get_by_role("button", name="Revoke the key").click()
    expect(tab.get_by_role("row", name="mobile-app")).to_contain_text("Revoked", timeout=PATIENCE_MS)
    assert world.appliance.access.check_key(key) is None


def test_a_viewer_looks_and_touches_nothing(world: World, chromium: Browser, state_of_login: Path) -> None:
    access = world.appliance.access
    access.create_user("vera", "viewer", "given out once", who="test")
    access.set_password("vera", PASSWORD, who="vera")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{world.url}/models/{MODEL}")
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**/models/{MODEL}")
    settle(page)
    for name in ("Train", "Roll back", "Deploy", "Retrain on labels"):
        assert page.get_by_role("button", name=name, exact=True).count() == 0, name
    page.goto(f"{world.url}/data")
    settle(page)
    assert page.locator(".drop").count() == 0
    page.goto(f"{world.url}/models/new")
    expect(page.locator(".notice")).to_contain_text("needs the role operator")
    assert page.request.post(f"{world.url}/api/models/{MODEL}/train", data={}).status == 403
    page.goto(f"{world.url}/settings?tab=users")
    assert page.get_by_role("button", name="Add the user").count() == 0
    context.close()


def test_an_open_page_does_nothing_after_the_session_ended(
    world: World, chromium: Browser, state_of_login: Path
) -> None:
    access = world.appliance.access
    access.create_user("olga", "admin", "given out once", who="test")
    access.set_password("olga", PASSWORD, who="olga")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{world.url}/settings")
    page.get_by_label("User name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/settings")
    settle(page)
    access.delete_user("olga", who="test")
    page.get_by_label("What it is for").fill("too-late")
    page.get_by_role("button", name="Create the key").click()
    expect(page.locator(".q-notification").first).to_contain_text("session has ended", timeout=PATIENCE_MS)
    assert "too-late" not in {key.name for key in access.list_keys()}
    context.close()


def test_deploying_and_rolling_back(tab: Page, world: World) -> None:
    job = world.appliance.jobs.start_training(MODEL, who="test", version=1)
    world.appliance.jobs.wait(job, timeout_s=240)
    tab.goto(f"{world.url}/models/{MODEL}")
    settle(tab)
    serving = world.appliance.models.get(MODEL).deployed
    other = 1 if serving == 2 else 2
    tab.get_by_role("button", name="Deploy", exact=True).first.click()
    tab.get_by_label("Why").fill("trying the buttons")
    tab.locator(".q-dialog").get_by_role("button", name="Deploy").click()
    expect(tab.locator(".q-notification").first).to_contain_text("Serves now", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == other
    assert world.appliance.deployments.history(MODEL)[0].reason == "trying the buttons"
    tab.reload()
    settle(tab)
    tab.get_by_role("button", name="Roll back").click()
    tab.locator(".q-dialog").get_by_role("button", name="Roll back").click()
    expect(tab.locator(".q-notification").first).to_contain_text("answers every request", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == serving

    tab.reload()
    settle(tab)
    tab.get_by_role("button", name="Deploy", exact=True).first.click()
    dialog = tab.locator(".q-dialog")
    dialog.get_by_label("Whom it answers").click()
    tab.get_by_text("A share of the requests (canary)").click()
    dialog.get_by_label("Share of the requests, %").fill("25")
    dialog.get_by_role("button", name="Deploy").click()
    expect(tab.locator(".q-notification").first).to_contain_text("Answers 25 %", timeout=PATIENCE_MS)
    (canary,) = [one for one in world.appliance.deployments.current() if (one.role, one.model) == ("canary", MODEL)]
    assert (canary.model, canary.version, canary.percent) == (MODEL, other, 25)
    tab.reload()
    settle(tab)
    expect(tab.get_by_text(f"Version {other} is on trial")).to_be_visible()
    tab.get_by_role("button", name="Promote").click()
    expect(tab.locator(".undo-bar")).to_contain_text("answers every request", timeout=PATIENCE_MS)
    assert world.appliance.models.get(MODEL).deployed == other
    world.appliance.deployments.rollback(MODEL, who="test")
    assert world.appliance.models.get(MODEL).deployed == serving

"""MLflow and Prefect behind the dashboard's login: one click away, theirs and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.jobs import JobKind
from tests.browser.conftest import Watched, watched_tab
from tests.browser.test_pages import is_ours
from tests.browser.world import ARTIFACTS, MODEL, World
from tests.ui.dashboard import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

STARTS_MS = 180_000
"""MLflow starts when its first visitor comes."""

THEIR_OWN = ("/mlflow/users/current", "/favicon.ico")
"""What they ask themselves for in vain, door or not: MLflow's UI asks for accounts where there are none, Prefect's page
names an icon that is not in its wheel."""


@pytest.fixture
def watched(world: World, chromium: Browser, state_of_login: Path) -> Iterator[Watched]:
    """An admin's tab under observation."""
    context = chromium.new_context(storage_state=state_of_login, viewport={"width": 1280, "height": 860})
    with watched_tab(context) as tab:
        yield tab
    context.close()


def open_from_the_navigation(watched: Watched, name: str) -> None:
    """What the one click does, in the tab that is watched."""
    link = watched.page.get_by_role("link", name=f"{name}, in a new tab")
    assert link.get_attribute("target") == "_blank"
    link.evaluate("link => link.removeAttribute('target')")
    link.click()


def complaints(watched: Watched) -> list[str]:
    foreign = [f"asked {url}" for url in watched.requests if not is_ours(url)]
    return [*foreign, *(one for one in watched.complaints if not one.endswith(THEIR_OWN))]


def test_mlflow_shows_the_runs_one_click_away(world: World, watched: Watched) -> None:
    watched.page.goto(world.url)
    open_from_the_navigation(watched, "MLflow")
    experiment = watched.page.get_by_role("link", name=MODEL, exact=True).first
    experiment.wait_for(timeout=STARTS_MS)
    watched.page.screenshot(path=ARTIFACTS / "guest-mlflow.png")
    assert watched.page.url.startswith(f"http://127.0.0.1:{world.settings.ui_mlflow_port}/")
    run = world.appliance.models.card(MODEL).run_id
    watched.page.goto(f"{world.url}/open/mlflow?to=/%23/runs/{run}")
    watched.page.get_by_text("rmse").first.wait_for(timeout=STARTS_MS)
    watched.page.screenshot(path=ARTIFACTS / "guest-mlflow-run.png")
    assert complaints(watched) == []


def test_prefect_shows_the_runs_one_click_away(world: World, watched: Watched) -> None:
    watched.page.goto(world.url)
    open_from_the_navigation(watched, "Prefect")
    watched.page.get_by_text("Flow Runs").first.wait_for()
    assert watched.page.url.startswith(f"http://127.0.0.1:{world.settings.ui_prefect_port}/")
    watched.page.goto(f"{world.url}/open/prefect?to=/runs")
    watched.page.get_by_text(f"train {MODEL}").first.wait_for()
    watched.page.screenshot(path=ARTIFACTS / "guest-prefect.png")
    assert complaints(watched) == []


def test_a_job_and_a_model_lead_to_their_run(world: World, tab: Page) -> None:
    trainings = (one for one in world.appliance.jobs.list() if (one.kind, one.model) == (JobKind.TRAIN, MODEL))
    job = next(trainings)
    tab.goto(f"{world.url}/jobs/{job.id}")
    with tab.expect_popup() as opened:
        tab.get_by_role("link", name="In Prefect").click()
    opened.value.wait_for_url(f"**/runs/flow-run/{job.id}")
    opened.value.get_by_text(f"train {MODEL}").first.wait_for()
    run = world.appliance.models.card(MODEL).run_id
    tab.goto(f"{world.url}/models/{MODEL}")
    with tab.expect_popup() as opened:
        tab.get_by_role("link", name="This run in MLflow").click()
    opened.value.wait_for_url(f"**/runs/{run}", timeout=STARTS_MS)


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_logged_out_one_logs_in_first_and_comes_back(world: World, chromium: Browser, name: str) -> None:
    port = {"mlflow": world.settings.ui_mlflow_port, "prefect": world.settings.ui_prefect_port}[name]
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_url(f"{world.url}/login?**")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"http://127.0.0.1:{port}/**", timeout=STARTS_MS)
    # MLflow's, once it has drawn itself, names its page before.
    expect(page).to_have_title(re.compile("(^| )MLflow$" if name == "mlflow" else "^Prefect Server$"))
    context.close()

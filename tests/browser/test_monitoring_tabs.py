"""What the tabs of Monitoring tell beside the charts: load, type errors, quality by class, labels still coming."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from appliance.house import Appliance, open_appliance, prepare_state
from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.watch import Watch, watch_once
from appliance.processes.ledger import Ledger, ProcessEntry, write_ledger
from appliance.processes.procfs import find_start
from appliance.settings import Settings
from tests.browser.axe import axe_source, grave_violations
from tests.browser.conftest import Watched, watched_tab
from tests.browser.looks import LOOKS, in_look
from tests.browser.test_pages import settle
from tests.browser.world import ARTIFACTS, MODEL, SECOND, World, first_login
from tests.monitoring import test_class_quality as birds
from tests.monitoring.test_against import register
from tests.monitoring.test_data_quality import refuse_for
from tests.monitoring.traffic import (
    DAY_US,
    START,
    START_US,
    Traffic,
    encoded_rows,
    publish,
    regression_schema,
    training_frame,
)
from tests.ui.dashboard import serve_dashboard
from ui.words import NONE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
house, truth, outputs = birds.house, birds.truth, birds.outputs
"""A model of three classes, trained, asked and labelled."""


def panel(page: Page, title: str) -> Locator:
    return page.locator("section.panel", has=page.get_by_role("heading", name=title, exact=True))


@pytest.fixture
def supervised(world: World) -> Iterator[World]:
    """The world as a supervisor's: it says which of its processes are which."""
    pids = world.pids
    entries = []
    for name, module in (("api", "appliance.api.inference.process"), ("ui", "ui.app"), ("runner", "flows.runner")):
        started = find_start(pids[module])
        assert started is not None
        entries.append(
            ProcessEntry(name=name, state="running", pid=pids[module], started=started, since="2026-03-01T00:00:00Z")
        )
    write_ledger(world.settings.layout, Ledger(pid=entries[0].pid, started=entries[0].started, processes=(*entries,)))
    yield world
    (world.settings.layout.run / "supervisor.json").unlink()


@contextmanager
def opened(settings: Settings, chromium: Browser, folder: Path, model: str) -> Iterator[tuple[str, Watched]]:
    """The dashboard of a state of its own, and a logged-in tab; its tab Quality is then looked at in every look."""
    with serve_dashboard(settings.state) as dashboard:
        told = settings.model_copy(update={"ui_port": dashboard.port})
        world = World(appliance=open_appliance(told), settings=told, dashboard_pid=dashboard.process.pid)
        login = first_login(world, chromium, folder / "login.json")
        context = chromium.new_context(storage_state=login, viewport={"width": 1280, "height": 860})
        with watched_tab(context) as tab:
            yield f"{world.url}/monitoring/{model}", tab
            assert not tab.complaints
        context.close()
        for look in LOOKS:
            with in_look(chromium, look, login) as seen:
                page = seen.new_page()
                page.goto(f"{world.url}/monitoring/{model}?tab=quality&window=30d")
                look_at(page, look, f"own-{model}")


def look_at(page: Page, look: str, name: str) -> None:
    """A picture of the page, which neither scrolls sideways nor has what axe calls grave."""
    settle(page)
    folder = ARTIFACTS / look
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"), f"{name} in {look}"
    assert grave_violations(page, axe_source()) == [], f"{name} in {look}"


def test_the_service_tab_shows_the_load_and_how_near_its_limits_are(tab: Page, supervised: World) -> None:
    tab.goto(f"{supervised.url}/monitoring/{MODEL}?tab=service")
    settle(tab)
    load = panel(tab, "Load now")
    for name, told in (
        ("Requests in work", r"of at most [\d,]+ at once; \d of \d workers busy"),
        ("Requests waiting for a shadow", r"of at most [\d,]+; \d+ for this model"),
        ("Disk used", r"[\d.]+ %.*[\d.]+ [GT]B of [\d.]+ [GT]B"),
        ("Watch loop is behind by", r"\d (B|MB).*Watches.*last looked"),  # 0 B once the runner has counted everything
    ):  # fmt: skip
        shown = load.locator(".figure", has_text=name)
        expect(shown).to_contain_text(re.compile(told, re.DOTALL))
        expect(shown.locator(".status .icon")).to_have_count(1)
    rows = panel(tab, "Processes").get_by_role("row")
    for part in ("Inference API", "Dashboard and control API", "Runner and watch loop"):
        # The second look is that of the timer: only then is there a span over which processor time can be told.
        expect(rows.filter(has_text=part)).to_contain_text(re.compile(r"\d %.*[\d.]+ MB"), timeout=PATIENCE_MS)
    expect(rows.filter(has_text="Orchestrator")).to_contain_text("Stopped")


def test_a_load_that_is_not_known_is_a_dash_with_its_reason(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service")  # nothing says here which process is the API
    settle(tab)
    shown = panel(tab, "Load now").locator(".figure", has_text="Requests in work")
    expect(shown).to_contain_text(NONE)
    expect(shown).to_contain_text("the inference API does not run, or sleeps")
    expect(shown.locator(".status")).to_have_count(0)
    expect(panel(tab, "Processes").get_by_role("row").filter(has_text="Inference API")).to_contain_text("Stopped")
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=service&window=24h&until=2026-03-02T00:00:00Z")
    settle(tab)
    expect(panel(tab, "Load now")).to_have_count(0)  # it is of now


@pytest.mark.parametrize("look", LOOKS)
def test_the_tabs_in_every_look(supervised: World, chromium: Browser, state_of_login: Path, look: str) -> None:
    with in_look(chromium, look, state_of_login) as context:
        page = context.new_page()
        for name in ("service", "rows", "quality"):
            page.goto(f"{supervised.url}/monitoring/{MODEL}?tab={name}")
            if look.startswith("desktop"):
                settle(page)
                cut = "areas => areas.filter(area => area.scrollWidth > area.clientWidth).length"
                assert page.locator(".q-table__middle:visible").evaluate_all(cut) == 0, f"a table of {name} is cut"
            look_at(page, look, f"tab-{name}")


@pytest.mark.parametrize("model", [MODEL, SECOND])
def test_all_of_the_versions_can_be_seen(
    supervised: World, chromium: Browser, state_of_login: Path, model: str
) -> None:
    with in_look(chromium, "desktop-light", state_of_login) as context:
        page = context.new_page()
        page.goto(f"{supervised.url}/models/{model}")
        settle(page)
        area = panel(page, "Versions").locator(".q-table__middle")
        assert area.evaluate("area => area.scrollWidth <= area.clientWidth")


@pytest.fixture
def rent(tmp_path: Path) -> Settings:
    """Four days, of whose predictions all, all, half and a tenth have labels; and requests of another type."""
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    register(settings)
    declared = dump_spec(ModelSpec(name="rent", dataset="rides", target="count"))
    settings.layout.specs.joinpath("rent.toml").write_text(declared)
    publish(settings, regression_schema(), training_frame())
    traffic, rows = Traffic(settings), encoded_rows(np.random.default_rng(0), 100)
    for day, labelled in enumerate((100, 100, 50, 10)):
        at = START_US + day * DAY_US
        token = traffic.predict(rows, event_us=at)
        for row in range(labelled):
            traffic.label(f"{token}.{row}", float(rows[row, 0]) * 2 + day + 1, label_us=at, at_us=at)
    refuse_for(traffic, "temp", 12, at_us=START_US + 3 * DAY_US, mistyped=9)
    traffic.close()
    with closing(Watch(settings.layout)) as watch:
        assert watch_once(watch).faults == 0
    return settings


def test_type_errors_stand_by_column_and_labels_still_coming_apart(
    rent: Settings, chromium: Browser, tmp_path: Path
) -> None:
    with opened(rent, chromium, tmp_path, "rent") as (url, tab):
        page = tab.page
        page.goto(f"{url}?tab=rows&window=30d")
        settle(page)
        expect(page.get_by_text("9 with a value of another type, the others without one")).to_be_visible()
        table = panel(page, "Columns").get_by_role("table")
        for column, told in (("temp", "12 9 of another type"), ("season", "0")):
            expect(table.locator(f"[data-cell='{column} refused']")).to_have_text(
                re.compile(told.replace(" ", r"\s*", 1)), use_inner_text=True
            )
        with page.expect_download() as saved:
            panel(page, "Columns").get_by_role("button", name="CSV").click()
        lines = list(csv.DictReader(saved.value.path().read_text(encoding="utf-8").splitlines()))
        assert {one["Column"]: float(one["Of another type"]) for one in lines} == {"temp": 9, "season": 0, "holiday": 0}
        page.goto(f"{url}?tab=quality&window=30d")
        settle(page)
        chart = page.get_by_role("img", name=re.compile("over time beside training and baseline"))
        expect(chart.locator("svg text", has_text="labels still coming, may turn")).to_have_count(1)
        # The training's line, and what may turn.
        expect(chart.locator("svg path[stroke-dasharray]").nth(1)).to_be_attached()
        box = chart.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)
        expect(chart).to_contain_text(re.compile(r"labels still coming, may turn\s*[\d.]+"))
        fold = page.locator("details.fold")
        fold.locator("summary").click()
        for day, told in ((1, "settled"), (2, "still coming"), (3, "still coming")):
            moment = f"{START + timedelta(days=day):%Y-%m-%d}"
            row = fold.get_by_role("row").filter(has=page.locator(f"time[datetime^='{moment}']"))
            expect(row).to_contain_text(told)


def test_quality_by_class_stands_beside_the_training(house: Appliance, chromium: Browser, tmp_path: Path) -> None:
    found = house.monitoring.quality("birds")
    with opened(house.settings, chromium, tmp_path, "birds") as (url, tab):
        tab.page.goto(f"{url}?tab=quality&window=30d")
        settle(tab.page)
        rows = panel(tab.page, "Quality by class").get_by_role("row")
        expect(rows).to_have_count(4)
        first = rows.filter(has_text="Adelie")
        now, low, high = found.classes[0].now, *found.classes[0].intervals["recall"]
        expect(first).to_contain_text(str(now.rows))
        expect(first).to_contain_text(f"{now.recall:.1%}".replace("%", " %"))
        expect(first).to_contain_text(f"{low:.1%} to {high:.1%}".replace("%", " %"))
        expect(first).to_contain_text("training")
        expect(rows.filter(has_text="Gentoo")).to_contain_text(NONE)  # nothing was answered so
        tab.page.goto(f"{url}?tab=quality&window=1h&until=2020-01-01T00:00:00Z")  # long before the first label
        settle(tab.page)
        expect(tab.page.locator("pre")).to_contain_text('"label": "Adelie"')


def test_of_too_few_rows_nothing_is_said(rent: Settings, chromium: Browser, tmp_path: Path) -> None:
    traffic = Traffic(rent)
    traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US + 9 * DAY_US)
    traffic.close()
    with closing(Watch(rent.layout)) as watch:
        assert watch_once(watch).faults == 0
    with opened(rent, chromium, tmp_path, "rent") as (url, tab):
        tab.page.goto(f"{url}?tab=drift&window=1h")
        settle(tab.page)
        expect(tab.page.get_by_text("Too few rows to tell whether the inputs are still")).to_be_visible()
        expect(tab.page.locator(".figure", has_text="Columns that drifted")).to_contain_text(NONE)
        expect(tab.page.get_by_text("1 row is not enough to tell; 50 are needed").first).to_be_visible()


def test_a_category_has_no_distance_and_so_no_unit_of_one(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/monitoring/{MODEL}?tab=drift&window=30d&column=season")
    settle(tab)
    expect(tab.locator(".facts")).to_contain_text("(base 2, 0 to 1)")
    expect(tab.locator(".facts")).not_to_contain_text("standard deviations")

"""Monitoring's tabs on a state of their own: drift beside a broken column, and how alike groups are treated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, expect

from appliance.events import PredictionEvent
from appliance.house import open_appliance, prepare_state
from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.drift import TOO_LARGE
from appliance.monitoring.reference import dump_reference, fit_reference, with_groups
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage.bundles import Manifest, publish_bundle
from tests.browser.conftest import Watched, watched_tab
from tests.browser.world import World, first_login
from tests.monitoring.test_against import register
from tests.monitoring.traffic import (
    START_US,
    Traffic,
    encoded_rows,
    publish,
    regression_schema,
    token_at,
    training_frame,
)
from tests.ui.dashboard import serve_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A state with the declared model ``rent`` and nothing else."""
    made = Settings(state=tmp_path / "state")
    prepare_state(made)
    register(made)
    declared = dump_spec(ModelSpec(name="rent", dataset="rides", target="count"))
    made.layout.specs.joinpath("rent.toml").write_text(declared)
    return made


@contextmanager
def opened(settings: Settings, chromium: Browser, folder: Path) -> Iterator[tuple[str, Watched]]:
    """The dashboard of what was counted, and a logged-in tab."""
    with closing(Watch(settings.layout)) as watch:
        assert watch_once(watch).faults == 0
    with serve_dashboard(settings.state) as dashboard:
        told = settings.model_copy(update={"ui_port": dashboard.port})
        world = World(appliance=open_appliance(told), settings=told, dashboard_pid=dashboard.process.pid)
        context = chromium.new_context(storage_state=first_login(world, chromium, folder / "login.json"))
        with watched_tab(context) as tab:
            yield f"{world.url}/monitoring/rent", tab
            assert not tab.complaints
        context.close()


def test_the_drift_panel_shows_the_others_and_says_what_is_wrong(
    settings: Settings, chromium: Browser, tmp_path: Path
) -> None:
    publish(settings, regression_schema(), training_frame())
    rows = encoded_rows(np.random.default_rng(0), 500)
    rows[:, 0] = 1.7e308
    rows[:, 1] = 3.0
    traffic = Traffic(settings)
    traffic.predict(rows, event_us=START_US, outputs=[40.0] * len(rows))
    traffic.close()
    with opened(settings, chromium, tmp_path) as (url, tab):
        for column in ("temp", "season", "holiday"):
            tab.page.goto(f"{url}?tab=drift&column={column}")
            lines = tab.page.get_by_role("table").get_by_role("row")
            expect(lines.filter(has_text="temp")).to_contain_text(TOO_LARGE)
            expect(lines.filter(has_text="season")).to_contain_text("season moved: the share of")
            expect(lines.filter(has_text="holiday")).to_contain_text("has not moved")
            expect(tab.page.get_by_role("heading", name=f"{column}: the training against this window")).to_be_visible()


def test_the_fairness_tab_shows_the_groups_of_a_protected_column(
    settings: Settings, chromium: Browser, tmp_path: Path
) -> None:
    schema = FeatureSchema(
        model="rent", version=1, task=Task.BINARY, target="count", classes=("no", "yes"),
        columns=(Column(name="x", kind=Kind.NUMBER),),
        protected=(Column(name="origin", kind=Kind.CATEGORY, levels=("north", "south")),),
    )  # fmt: skip
    score = np.linspace(0.01, 0.99, 600)
    labels = pl.Series(["yes" if one > 0.5 else "no" for one in score])
    frame = pl.DataFrame({"x": score})
    reference = fit_reference(frame, schema, outputs=score, labels=labels, quality={"auc": 1.0})
    reference = with_groups(reference, schema, [(np.arange(600) % 2).astype(np.float64)], ("origin",))
    manifest = Manifest(
        model="rent", version=1, task="binary", created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)
    # All of the north get the positive answer, of the south every third; the last 20 rows were sent without an origin.
    groups = [(row, 1, "north" if row % 3 else "south") for row in range(600)]
    answers = [0.9 if (row % 3 and row % 9) or row % 9 == 0 else 0.1 for row in range(620)]
    event = PredictionEvent(
        id=token_at(START_US, 1),
        t=START_US,
        at=START_US,
        m="rent",
        v=1,
        n=620,
        x=[0.5] * 620,
        y=answers,
        us=1,
        u=groups,
    )
    traffic = Traffic(settings)
    traffic.write("predictions", msgspec.json.encode(event))
    for row in range(620):
        traffic.label(f"{event.id}.{row}", "yes" if row % 2 else "no", label_us=START_US, at_us=START_US)
    traffic.close()
    with opened(settings, chromium, tmp_path) as (url, tab):
        tab.page.goto(f"{url}?tab=fairness&window=30d")
        expect(tab.page.get_by_role("heading", name="Fairness by origin")).to_be_visible()
        expect(tab.page.get_by_text("north gets the positive answer in 100.0%, south in 33.5%")).to_be_visible()
        expect(tab.page.get_by_text("Of 20 labelled predictions the group is not known.")).to_be_visible()
        lines = tab.page.get_by_role("table").get_by_role("row")
        expect(lines.filter(has_text="south")).to_contain_text("33.5 %")
        expect(lines.filter(has_text="north")).to_contain_text("400")

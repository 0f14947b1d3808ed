"""Declaring a model by hand: leaks that are asked about, kinds, the search's effort, and the threshold of a version."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from appliance.model_spec import Threshold
from appliance.schema import Kind
from tests.browser.axe import axe_source, grave_violations
from tests.browser.test_pages import settle
from tests.browser.world import SECOND, World
from ui.words import number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 180_000


def test_what_is_said_on_the_page_is_what_is_declared(tab: Page, world: World) -> None:
    source = str(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet")
    world.appliance.datasets.add("rides", source, query="SELECT * EXCLUDE (dteday) FROM source LIMIT 4000", who="test")
    tab.goto(f"{world.url}/models/new?dataset=rides&target=cnt")
    expect(tab.get_by_text("Is this known when you predict?")).to_be_visible(timeout=PATIENCE_MS)
    asked = tab.get_by_role("group", name="Is registered known when you predict?")
    asked.get_by_role("button", name="No, leave it out").click()
    expect(tab.get_by_role("checkbox", name="registered")).not_to_be_checked()
    tab.get_by_label("How hour is read").select_option(label="category")
    tab.get_by_role("group", name="How long to search").get_by_role("button", name="Better").click()
    tab.get_by_label("What versions are compared by").click()
    tab.get_by_role("option", name="MAE").click()
    assert grave_violations(tab, axe_source()) == []
    tab.get_by_role("button", name="Save without training").click()
    tab.wait_for_url("**/models/rides-cnt", timeout=PATIENCE_MS)
    spec = world.appliance.models.get("rides-cnt").spec
    assert "registered" in spec.exclude
    assert spec.columns == {"hour": Kind.CATEGORY}
    assert (spec.budget, spec.metric) == ("better", "mae")


def test_the_matrix_follows_the_threshold_and_the_threshold_is_declared(tab: Page, world: World) -> None:
    appliance = world.appliance
    spec = appliance.models.get(SECOND).spec
    evaluation = appliance.models.card(SECOND).evaluation
    assert evaluation is not None
    tab.goto(f"{world.url}/models/{SECOND}")
    settle(tab)
    for title in ("ROC", "Precision and recall", "Calibration", "Fairness by island"):
        expect(tab.get_by_role("heading", name=title, exact=True)).to_be_visible()
    tab.get_by_role("slider", name="Threshold").focus()
    served = [one.threshold for one in evaluation.cuts].index(appliance.models.card(SECOND).threshold)
    here = tab.locator("section", has=tab.get_by_role("heading", name="Threshold", exact=True))
    for presses, place in ((1, served - 1), (11, served - 12)):  # the page is drawn anew between them
        for _ in range(presses):
            tab.keyboard.press("ArrowLeft")
        cut = evaluation.cuts[place]
        expect(here.locator(".figure").first).to_contain_text(number(cut.threshold))
    (negative, positive) = here.locator("tbody tr").all()
    expect(negative).to_contain_text(f"{cut.true_negative}right{cut.false_positive}", use_inner_text=False)
    expect(positive).to_contain_text(f"{cut.false_negative}")
    expect(positive).to_contain_text(f"{cut.true_positive}right")
    assert grave_violations(tab, axe_source()) == []
    tab.get_by_role("button", name="Use it from the next training on").click()
    expect(tab.locator(".q-notification").first).to_contain_text("is declared", timeout=PATIENCE_MS)
    declared = appliance.models.get(SECOND).spec.threshold
    assert declared == Threshold(goal="fixed", at=round(cut.threshold, 4))
    appliance.models.apply(spec, who="test")

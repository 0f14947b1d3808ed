"""The short way as a person walks it: a file dropped on the first page, and clicks to an answered prediction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import httpx
import polars as pl
from playwright.sync_api import BrowserContext, Page, expect

from appliance.house import Appliance
from appliance.orchestrator import DEPLOYMENT
from tests.browser.test_pages import settle
from tests.browser.world import wait_until

PATIENCE_MS = 180_000
_COUNT = """addEventListener('click', event => {
  if (event.isTrusted) sessionStorage.setItem('clicks', 1 + Number(sessionStorage.getItem('clicks')));
}, true);"""
_DROP = """([text, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, {type: 'text/csv'}));
  return data;
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How it went: seconds and clicks from the drop to the answer, and what was answered."""

    seconds: float
    clicks: int
    answer: float


def wait_for_jobs(appliance: Appliance) -> None:
    """Until a job can be asked for; otherwise nothing is put into the appliance."""
    address = f"{appliance.settings.orchestrator_url}/deployments/name/train/{DEPLOYMENT}"
    wait_until(lambda: httpx.get(address).is_success, "the runner")


def bike_csv(folder: Path) -> Path:
    """All rows of the demo as somebody has them on a laptop: 17,379, with what is known only afterwards."""
    file = folder / "bike-sharing.csv"
    pl.read_parquet(str(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet")).write_csv(file)
    return file


def count_clicks(context: BrowserContext) -> None:
    """Count, in every page that is opened from now on, what was clicked and not what a script clicks."""
    context.add_init_script(_COUNT)


def clicks(page: Page) -> int:
    """So many by now."""
    return int(page.evaluate("Number(sessionStorage.getItem('clicks'))"))


def drop(page: Page, file: Path) -> None:
    """Drop a file where files are dropped, by the event that a browser sends."""
    data = page.evaluate_handle(_DROP, [file.read_text(encoding="utf-8"), file.name])
    for event in ("dragover", "drop"):
        page.dispatch_event(".drop", event, {"dataTransfer": data})


def walk(page: Page, url: str, file: Path) -> Walk:
    """From the first page to a prediction; ``count_clicks`` was asked for before."""
    page.goto(url)
    settle(page)
    expect(page.locator(".drop")).to_be_visible()
    before, began = clicks(page), time.monotonic()
    drop(page, file)
    page.get_by_label("Predict cnt", exact=True).click(timeout=PATIENCE_MS)  # 1
    page.get_by_role("button", name="Train and deploy").click()  # 2
    page.get_by_role("button", name="No: leave out, and train").click(timeout=PATIENCE_MS)  # 3: asked of suspects
    page.wait_for_url("**/jobs/*", timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Declaration")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Try it").click(timeout=PATIENCE_MS)  # 4
    page.get_by_role("button", name="Predict", exact=True).click(timeout=PATIENCE_MS)  # 5
    answer = page.locator(".answer .value")
    expect(answer).to_be_visible(timeout=PATIENCE_MS)
    seconds = time.monotonic() - began
    return Walk(seconds=seconds, clicks=clicks(page) - before, answer=float(answer.inner_text().replace(",", "")))

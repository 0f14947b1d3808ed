"""A file dropped on the page Try it comes back with predictions; one that lacks a column is refused at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import settle
from tests.browser.world import MODEL, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

PATIENCE_MS = 600_000
ROWS = 700
"""More than one request of the batch program."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    bikes = pl.read_parquet(str(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet")).head(ROWS)
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    bikes.select(list(world.appliance.models.card(MODEL).columns)).write_csv(file)
    return file


def open_page(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/models/{MODEL}/try")
    settle(tab)


def test_a_dropped_file_is_scored_and_downloaded(tab: Page, world: World, rows: Path, tmp_path: Path) -> None:
    open_page(tab, world)
    tab.locator(".drop input[type=file]").set_input_files(rows)
    download = tab.get_by_role("link", name="Download rows.predictions.csv")
    expect(download).to_be_visible(timeout=PATIENCE_MS)
    with tab.expect_download() as got:
        download.click()
    got.value.save_as(tmp_path / "got.csv")
    found = pl.read_csv(tmp_path / "got.csv")
    assert found.columns == [*pl.read_csv(rows).columns, "prediction"]
    assert len(found) == ROWS
    assert found["prediction"].null_count() == 0
    left = [file.name for folder in world.settings.layout.tmp.glob("scored-*") for file in folder.iterdir()]
    assert "rows.csv" not in left
    job = world.appliance.jobs.list(1)[0]
    tab.goto(f"{world.url}/jobs/{job.id}")
    settle(tab)
    expect(tab.get_by_role("link", name="Download rows.predictions.csv")).to_be_visible()


def test_a_missing_column_is_said_without_a_job(tab: Page, world: World, rows: Path, tmp_path: Path) -> None:
    before = world.appliance.jobs.list(1)[0].id
    waiting = set(world.settings.layout.tmp.glob("upload-*"))
    pl.read_csv(rows).drop("temp").write_csv(tmp_path / "short.csv")
    open_page(tab, world)
    tab.locator(".drop input[type=file]").set_input_files(tmp_path / "short.csv")
    refused = tab.locator(".notice.alarm")
    expect(refused).to_contain_text("short.csv cannot be scored", timeout=PATIENCE_MS)
    expect(refused).to_contain_text("lacks the column(s) temp")
    assert world.appliance.jobs.list(1)[0].id == before
    assert set(world.settings.layout.tmp.glob("upload-*")) <= waiting


def test_the_batch_programs_run_when_pasted(tab: Page, world: World, rows: Path) -> None:
    open_page(tab, world)
    tab.get_by_role("group", name="Language").get_by_role("button", name="Batch").click()
    tab.get_by_role("button", name="Fill in a new key").click()
    shown = tab.locator(".snippet pre").first
    expect(shown).to_contain_text("Bearer apk_", timeout=PATIENCE_MS)
    expect(tab.get_by_role("group", name="Dialect")).to_be_hidden()
    done = subprocess.run(
        [sys.executable, "-c", shown.inner_text()], cwd=rows.parent, capture_output=True, text=True, check=True,
        timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"predictions": ROWS}
    asked = pl.read_csv(rows.parent / "predictions.csv")
    (rows.parent / "predictions.csv").unlink()
    key = world.appliance.access.create_key("batch-job", "admin", who="test").key
    by_job = tab.locator(".snippet pre").last.inner_text()
    subprocess.run(["bash", "-ec", by_job], cwd=rows.parent, check=True, timeout=240, env={**os.environ, "KEY": key})
    scored = pl.read_csv(rows.parent / "predictions.csv")
    assert scored["prediction"].to_list() == pytest.approx(asked["prediction"].to_list())

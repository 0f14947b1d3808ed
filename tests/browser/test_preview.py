"""A dropped file before it is saved: its columns in figures, with what is suspicious, and its first rows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_pages import settle
from tests.browser.way import drop
from tests.browser.world import World, wait_until
from tests.storage.workbooks import write_workbook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 180_000


def test_each_column_stands_in_figures_beside_its_first_rows(tab: Page, world: World, tmp_path: Path) -> None:
    waiting = set(world.settings.layout.tmp.glob("upload-*"))
    file = tmp_path / "parcels.csv"
    rows = [f"P{i},{'' if i % 4 == 0 else i % 7},same" for i in range(400)]
    file.write_text("\n".join(["number,weight,kind", *rows]) + "\n")
    tab.goto(f"{world.url}/data")
    settle(tab)
    drop(tab, file)
    preview = tab.locator(".preview")
    expect(preview).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_text("3 columns, 400 rows.")).to_be_visible()
    weight = preview.get_by_role("row", name="Predict weight")
    assert [cell.strip() for cell in weight.locator("td.num").all_inner_texts()] == ["25.0 %", "7"]
    assert weight.locator(".hist i").count() > 1
    expect(preview.get_by_role("row", name="Predict kind")).to_contain_text("it tells a model next to nothing")
    expect(preview.get_by_role("row", name="Predict number")).to_contain_text("like an id; exclude it")
    shown = tab.locator(".first-rows tbody tr")
    expect(shown).to_have_count(100)
    expect(shown.first).to_contain_text("P0")
    tab.get_by_role("button", name="Cancel").click()
    # Those of others, who want them no more either, may go meanwhile.
    wait_until(lambda: set(world.settings.layout.tmp.glob("upload-*")) <= waiting, "the end of a file nobody wants")
    expect(preview).not_to_be_visible()


def test_of_a_long_file_it_is_said_how_much_was_looked_at(tab: Page, world: World, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(50_001)))
    tab.goto(f"{world.url}/data")
    settle(tab)
    drop(tab, file)
    expect(tab.get_by_text("the figures are of the first 50,000 rows, the file has more")).to_be_visible(
        timeout=PATIENCE_MS
    )


def test_a_refused_name_leaves_the_dialog_and_the_file(tab: Page, world: World, tmp_path: Path) -> None:
    waiting = set(world.settings.layout.tmp.glob("upload-*"))
    _drop_rows(tab, world, tmp_path / "crates.csv")
    tab.get_by_label("Dataset name").fill("Crates of 2026")
    tab.get_by_role("button", name="Save", exact=True).click()
    told = tab.locator(".q-notification").first
    expect(told).to_contain_text("'Crates of 2026' cannot name a dataset", timeout=PATIENCE_MS)
    assert _colour(told.get_by_role("button", name="Close")) == _colour(told), "read as well as the message"
    tab.get_by_label("Dataset name").fill("crates")
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url("**/data/crates", timeout=PATIENCE_MS)
    assert set(world.settings.layout.tmp.glob("upload-*")) == waiting


def test_escape_forgets_the_file_as_cancel_does(tab: Page, world: World, tmp_path: Path) -> None:
    waiting = set(world.settings.layout.tmp.glob("upload-*"))
    _drop_rows(tab, world, tmp_path / "boxes.csv")
    tab.mouse.click(3, 3)  # beside the dialog, by mistake
    tab.get_by_label("Dataset name").press("Escape")
    expect(tab.locator(".preview")).not_to_be_visible()
    wait_until(lambda: set(world.settings.layout.tmp.glob("upload-*")) == waiting, "the file to go")


def test_another_sheet_of_a_workbook_is_looked_at_and_saved(tab: Page, world: World, tmp_path: Path) -> None:
    book = write_workbook(
        tmp_path / "shops.xlsx",
        {"Cover": [], "Sales": [["shop", "n"], ["Rome", 1], ["Oslo", 2]], "Staff": [["name", "age"], ["Ada", 36]]},
    )
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", book)
    preview = tab.locator(".preview")
    expect(preview.get_by_role("row", name="Predict shop")).to_be_visible(timeout=PATIENCE_MS)
    tab.get_by_label("Sheet").click()
    tab.get_by_role("option", name="Cover").click()
    expect(tab.get_by_role("dialog")).to_contain_text("'Cover' is empty")
    tab.get_by_label("Sheet").click()
    tab.get_by_role("option", name="Staff").click()
    expect(preview.get_by_role("row", name="Predict name")).to_be_visible(timeout=PATIENCE_MS)
    expect(preview.get_by_role("row", name="Predict shop")).to_have_count(0)
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url("**/data/shops", timeout=PATIENCE_MS)
    saved = world.appliance.datasets.show("shops")
    assert (saved.sheet, [column.name for column in saved.columns]) == ("Staff", ["name", "age"])


def test_numbers_that_only_a_text_holds_are_saved_as_text(tab: Page, world: World, tmp_path: Path) -> None:
    file, ids = tmp_path / "tickets.parquet", [2**63 + row for row in range(50)]
    pl.DataFrame({"ticket": pl.Series(ids, dtype=pl.UInt64), "n": range(50)}).write_parquet(file)
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", file)
    expect(tab.get_by_label("Read ticket as")).to_have_value("string", timeout=PATIENCE_MS)
    expect(tab.get_by_text("Kept as text, since a number cannot hold so many digits exactly: ticket.")).to_be_visible()
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url("**/data/tickets", timeout=PATIENCE_MS)
    assert world.appliance.datasets.preview("tickets")["ticket"].to_list() == [str(one) for one in ids]


def _drop_rows(tab: Page, world: World, file: Path) -> None:
    """A file of a hundred rows, up to its preview."""
    file.write_text("number,weight\n" + "".join(f"{i},{i % 7}\n" for i in range(100)))
    tab.goto(f"{world.url}/data")
    settle(tab)
    drop(tab, file)
    expect(tab.locator(".preview")).to_be_visible(timeout=PATIENCE_MS)


def _colour(place: Locator) -> str:
    return str(place.evaluate("one => getComputedStyle(one).color"))

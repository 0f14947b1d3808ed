"""What a dataset's page shows and does: rules and rejected rows, what changed, what brings new rows."""

from __future__ import annotations

import random
import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from appliance.intake import Intake
from storage.ingest import alone
from tests.browser.test_pages import settle
from tests.browser.world import World, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
TAKEN_IN_S = 600.0
"""The runner looks every few seconds, a file must have settled, and what takes it in comes after everything else."""
RULES = '[columns.country]\nvalues = ["DE", "FR"]\n[columns.amount]\nrequired = true\n'


@pytest.fixture(scope="module")
def orders(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two versions, of which the second has moved; each had three rows rejected."""
    file = tmp_path_factory.mktemp("orders") / "orders.csv"
    datasets = world.appliance.datasets
    datasets.declare_rules("orders", RULES, who="test")
    for mean in (50, 70):
        rolled = random.Random(mean)
        rows = [f"{rolled.choice(['DE', 'FR'])},{rolled.gauss(mean, 10):.2f}" for _ in range(400)]
        file.write_text("\n".join(["country,amount", "XX,1", "DE,", "YY,2", *rows]))
        datasets.take_in("orders", Intake(source=str(file), prepare="SELECT * FROM source"), who="test")
    return file


def test_rejected_rows_are_shown_with_their_reasons(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders")
    expect(tab.locator(".facts")).to_contain_text("SELECT * FROM source")
    tab.get_by_role("link", name="Show them").click()
    expect(tab.get_by_text("country: XX is none of DE, FR")).to_be_visible()
    expect(tab.get_by_text("amount: missing")).to_be_visible()
    expect(tab.locator(".grid-html tbody tr")).to_have_count(3)
    expect(tab.get_by_role("row", name="country is one of DE, FR")).to_be_visible()


def test_rules_are_changed_on_the_page(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders?tab=rules")
    settle(tab)
    tab.get_by_role("button", name="Change the rules").click()
    field = tab.get_by_role("textbox", name="Rules")
    field.fill("[columns.amount]\nmin = 9\nmax = 1\n")
    tab.get_by_role("button", name="Declare", exact=True).click()
    expect(tab.locator(".q-notification").first).to_contain_text("no value could be right", timeout=PATIENCE_MS)
    field.fill("[columns.amount]\nmin = 0\n")
    tab.get_by_role("button", name="Declare", exact=True).click()
    expect(tab.get_by_role("row", name="amount is at least 0")).to_be_visible(timeout=PATIENCE_MS)
    rules = world.appliance.datasets.rules("orders")
    assert rules is not None
    assert list(rules.columns) == ["amount"]
    assert rules.columns["amount"].min == 0


def test_two_versions_side_by_side(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders?tab=versions")
    expect(tab.get_by_text("From version 1 to version 2")).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.get_by_text("Distributions: Alarm")).to_be_visible()
    moved = tab.get_by_role("row", name="amount").filter(has_text="Alarm")
    expect(moved).to_contain_text("amount moved")
    tab.goto(f"{world.url}/data/orders?tab=versions&old=2&new=1")
    expect(tab.get_by_text("From version 2 to version 1")).to_be_visible(timeout=PATIENCE_MS)
    tab.goto(f"{world.url}/data/orders?tab=versions&old=7&new=1")
    expect(tab.locator(".notice.alarm")).to_contain_text("7", timeout=PATIENCE_MS)


def test_a_table_is_had_as_csv(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders")
    settle(tab)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("Column,Type,Missing,Distinct")
    assert [line.split(",")[0] for line in lines[1:]] == ["country", "amount"]


def test_a_schedule_is_declared_shown_and_stopped(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders?tab=feed")
    settle(tab)
    tab.get_by_role("button", name="Refresh by a schedule").click()
    tab.get_by_role("textbox", name="Schedule").fill("61 * * * *")
    tab.get_by_role("button", name="Declare").click()
    expect(tab.locator(".q-notification").first).to_contain_text("the schedule is wrong", timeout=PATIENCE_MS)
    tab.get_by_role("textbox", name="Schedule").fill("30 4 * * *")
    tab.get_by_role("button", name="Declare").click()
    expect(tab.get_by_text("Refreshed by a schedule")).to_be_visible(timeout=PATIENCE_MS)
    assert [one.feed.schedule for one in world.appliance.feeds.list() if one.dataset == "orders"] == ["30 4 * * *"]
    orders.write_text(f"{orders.read_text()}\nDE,55.5")
    tab.get_by_role("button", name="Refresh now").click()
    expect(tab.get_by_text("From version 2 to version 3")).to_be_visible(timeout=PATIENCE_MS)
    tab.goto(f"{world.url}/data/orders?tab=feed")
    settle(tab)
    tab.get_by_role("button", name="Stop it").click()
    expect(tab.get_by_text("Nothing brings new rows by itself")).to_be_visible(timeout=PATIENCE_MS)
    assert "orders" not in {one.dataset for one in world.appliance.feeds.list()}


def test_a_folder_is_watched_from_the_page_and_a_file_that_changed_is_read_again(
    tab: Page, world: World, orders: Path, tmp_path: Path
) -> None:
    tab.goto(f"{world.url}/data/orders?tab=feed")
    settle(tab)
    tab.get_by_role("button", name="Watch a folder").click()
    folder = tab.get_by_role("textbox", name="Folder on the appliance's host")
    for wrong, says in (("inbox", "whole path"), (str(tmp_path / "nowhere"), "nowhere")):
        folder.fill(wrong)
        tab.get_by_role("button", name="Declare").click()
        expect(tab.locator(".q-notification", has_text=says).first).to_be_visible(timeout=PATIENCE_MS)
    folder.fill(str(tmp_path))
    tab.get_by_role("checkbox", name="Take a file's rows again").click()
    tab.get_by_role("button", name="Declare").click()
    expect(tab.get_by_text("are taken in again")).to_be_visible(timeout=PATIENCE_MS)
    assert [one.feed.again for one in world.appliance.feeds.list() if one.dataset == "orders"] == [True]
    had = world.appliance.datasets.show("orders").rows
    for amounts in ((51.5, 52.5), (53.5,)):
        (tmp_path / "day.csv").write_text("country,amount\n" + "".join(f"DE,{amount}\n" for amount in amounts))
        had += len(amounts)
        wait_until(partial(has_rows, world, had), f"{had} rows", timeout_s=TAKEN_IN_S)
    tab.get_by_role("button", name="Stop it").click()
    expect(tab.get_by_text("Nothing brings new rows by itself")).to_be_visible(timeout=PATIENCE_MS)


def test_of_a_file_that_was_sent_nothing_is_offered_that_would_be_refused(
    tab: Page, world: World, tmp_path: Path
) -> None:
    """It is not kept, so there is nothing to read again."""
    file = tmp_path / "apricots.csv"
    file.write_text("a,b\n1,2\n2,3\n")
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", str(file))
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url("**/data/apricots", timeout=PATIENCE_MS)
    tab.goto(f"{world.url}/data/apricots?tab=feed")
    expect(tab.get_by_text("came from an uploaded file")).to_be_visible()
    expect(tab.get_by_role("button", name="Watch a folder")).to_be_visible()
    expect(tab.get_by_role("button", name="Refresh")).to_have_count(0)


def has_trouble(world: World) -> bool:
    return any(one.status.troubles for one in world.appliance.feeds.list())


def has_rows(world: World, rows: int) -> bool:
    return world.appliance.datasets.show("orders").rows == rows


def test_a_watched_folder_tells_which_file_it_could_not_take(tab: Page, world: World, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n2,3\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    world.appliance.feeds.watch("inbox", Intake(source=str(tmp_path)), who="test")
    wait_until(partial(has_trouble, world), "the file that was refused", timeout_s=TAKEN_IN_S)
    tab.goto(f"{world.url}/data/inbox?tab=feed")
    expect(tab.locator("h1")).to_have_text("inbox")
    expect(tab.get_by_role("row", name="b.csv")).to_contain_text("lacks the column 'y'")
    expect(tab.get_by_text("Last time it went wrong")).to_be_visible()
    world.appliance.feeds.stop("inbox", who="test")


def test_a_question_in_sql(tab: Page, world: World, orders: Path) -> None:
    tab.goto(f"{world.url}/data/orders?tab=sql")
    settle(tab)
    field = tab.get_by_role("textbox", name="One SELECT")
    question = "SELECT country, count(*) AS n FROM source GROUP BY country ORDER BY country LIMIT 2"
    field.fill(question)
    field.press("Control+Enter")
    expect(tab.locator(".grid-html tbody tr").first).to_contain_text("DE", timeout=PATIENCE_MS)
    expect(tab.locator(".grid-html tbody tr")).to_have_count(2)
    tab.reload()  # the address has it
    expect(tab.get_by_role("textbox", name="One SELECT")).to_have_value(question)
    tab.get_by_role("textbox", name="One SELECT").fill("DROP VIEW source")
    tab.get_by_role("button", name="Run").click()
    refused = tab.get_by_role("alert").filter(has_text="No answer to this")
    expect(refused).to_contain_text("one SELECT statement", timeout=PATIENCE_MS)
    tab.get_by_role("textbox", name="One SELECT").fill(question)
    tab.get_by_role("button", name="Run").click()
    expect(tab.locator(".grid-html tbody tr").first).to_contain_text("DE", timeout=PATIENCE_MS)
    expect(refused).to_have_count(0)
    tab.get_by_role("textbox", name="One SELECT").fill("SELECT * FORM source")
    tab.get_by_role("button", name="Run").click()
    expect(refused).to_contain_text('at or near "source"', timeout=PATIENCE_MS)
    assert re.search(r"\nLINE 1: SELECT \* FORM source\n +\^", refused.inner_text()), "points at the place"
    expect(tab.locator(".grid-html")).to_have_count(0)  # that was the answer to another question


@pytest.mark.parametrize(("part", "first"), [("tab=rows", "country"), ("tab=rules", "Row"), ("tab=sql", "n")])
def test_plain_rows_are_had_as_csv(tab: Page, world: World, orders: Path, part: str, first: str) -> None:
    """The first rows, the rejected ones, and the answer to a question in SQL."""
    tab.goto(f"{world.url}/data/orders?{part}&version=2&sql=SELECT%20count(*)%20AS%20n%20FROM%20source")
    settle(tab)
    if "sql" in part:
        tab.get_by_role("button", name="Run").click()
    shown = tab.locator(".grid-html tbody tr")
    expect(shown.first).to_be_visible(timeout=PATIENCE_MS)
    with tab.expect_download() as saved:
        tab.locator(".panel", has=shown).get_by_role("button", name="CSV").click()
    lines = saved.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[0] == first
    assert len(lines) == shown.count() + 1


def test_a_file_that_is_being_saved_is_stopped(tab: Page, world: World, tmp_path: Path) -> None:
    file = tmp_path / "stopped.csv"
    file.write_text("a,b\n" + "\n".join(f"{i},{i * 2}" for i in range(500)) + "\n")
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", str(file))
    expect(tab.get_by_label("Read a as")).to_be_visible(timeout=PATIENCE_MS)
    with alone(world.settings.layout, "stopped"):  # it waits for its turn to write
        tab.get_by_role("button", name="Save").click()
        tab.get_by_role("button", name="Cancel").click()
        said = tab.locator(".q-notification").first
        expect(said).to_contain_text("it was stopped; nothing was added", timeout=PATIENCE_MS)
    assert "stopped" not in {one.dataset for one in world.appliance.datasets.list()}
    assert not list(world.settings.layout.tmp.glob("upload-*/stopped.csv"))


def test_the_type_of_a_column_is_chosen_before_a_file_is_saved(tab: Page, world: World, tmp_path: Path) -> None:
    file = tmp_path / "parcels.csv"
    file.write_text("release,paid,weight\n" + "\n".join(f"1.{i}0,{i % 2},{i}.5" for i in range(9)) + "\n2.0,0,much\n")
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", str(file))
    for column, found in (("release", "number (found)"), ("paid", "whole number (found)"), ("weight", "text (found)")):
        choice = tab.get_by_label(f"Read {column} as")
        expect(choice.locator("option:checked")).to_have_text(found, timeout=PATIENCE_MS)
    expect(tab.locator(".preview")).to_contain_text("0.5, 1.5, 2.5, 3.5")
    for column, wanted in (("release", "text"), ("paid", "yes or no"), ("weight", "number")):
        tab.get_by_label(f"Read {column} as").select_option(label=wanted)
    tab.get_by_role("button", name="Save").click()
    tab.wait_for_url("**/data/parcels", timeout=PATIENCE_MS)
    for column, kind in (("release", "text"), ("paid", "yes or no"), ("weight", "number")):
        expect(tab.locator(".q-table").get_by_role("row", name=column)).to_contain_text(kind)
    tab.goto(f"{world.url}/data/parcels?tab=rules")
    expect(tab.get_by_role("row", name="release is a text")).to_be_visible()
    expect(tab.get_by_role("row", name="10 weight: much is no number")).to_be_visible()
    assert world.appliance.datasets.preview("parcels", rows=2)["release"].to_list() == ["1.00", "1.10"]


def test_of_a_wide_file_the_first_columns_and_the_last_are_offered(tab: Page, world: World, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text(",".join(f"c{i}" for i in range(230)) + "\n" + ",".join("1" for _ in range(230)) + "\n")
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", str(file))
    expect(tab.get_by_text("The first 199 and the last stand here")).to_be_visible(timeout=PATIENCE_MS)
    expect(tab.locator(".preview tbody tr")).to_have_count(200)
    expect(tab.get_by_label("Read c229 as")).to_have_count(1)
    expect(tab.get_by_label("Read c199 as")).to_have_count(0)

"""A file that was not added yet, in figures: by the profile that a snapshot gets, of its first rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.datasets import Datasets
from appliance.errors import BadInput
from appliance.findings import Code
from appliance.house import prepare_state
from appliance.intake import Intake
from appliance.settings import Settings
from tests.storage.workbooks import write_workbook


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    return Datasets(settings)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    file = tmp_path / "orders.csv"
    rows = [f"{i},{'' if i % 4 == 0 else i % 7},same" for i in range(400)]
    file.write_text("\n".join(["id,amount,kind", *rows]) + "\n")
    return file


def test_the_figures_are_those_of_the_snapshot_that_it_becomes(datasets: Datasets, orders: Path) -> None:
    look = datasets.look_through(Intake(source=str(orders)), rows=5)
    datasets.add("orders", str(orders), who="test")
    assert look.profile == datasets.profile("orders")
    assert look.findings == tuple(one for one in datasets.findings("orders") if one.code is not Code.READER)
    assert {(one.column, one.code) for one in look.findings} >= {("id", Code.ID_LIKE), ("kind", Code.CONSTANT)}
    assert look.glance.rows.equals(datasets.preview("orders", rows=5))
    assert (look.looked_at, look.is_whole) == (400, True)


def test_of_a_long_file_the_first_rows_are_looked_at(datasets: Datasets, orders: Path) -> None:
    look = datasets.look_through(Intake(source=str(orders)), most_rows=120)
    assert (look.looked_at, look.is_whole) == (120, False)
    amount = look.profile[1]
    assert (amount.rows, amount.missing) == (120, 30)
    assert look.glance.rows.height == 100


def test_a_file_of_as_many_rows_is_whole(datasets: Datasets, orders: Path) -> None:
    assert datasets.look_through(Intake(source=str(orders)), most_rows=400).is_whole


def test_a_file_without_rows(datasets: Datasets, tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("a,b\n")
    look = datasets.look_through(Intake(source=str(file)))
    assert (look.looked_at, look.findings) == (0, ())
    assert [one.name for one in look.profile] == ["a", "b"]


def test_what_is_no_table_is_refused_and_leaves_nothing(datasets: Datasets, tmp_path: Path) -> None:
    file = tmp_path / "broken.parquet"
    file.write_bytes(b"no parquet")
    with pytest.raises(BadInput, match=r"broken\.parquet"):
        datasets.look_through(Intake(source=str(file)))
    assert not list((tmp_path / "state" / "tmp").iterdir())


def test_a_text_among_numbers_is_named_beside_columns_that_have_figures(datasets: Datasets, tmp_path: Path) -> None:
    file = tmp_path / "parcels.csv"
    rows = [f"1.{i % 10}0,{i % 2},{i}.5" for i in range(99)]
    file.write_text("\n".join(["release,paid,weight", *rows, "2.0,0,much"]) + "\n")
    look = datasets.look_through(Intake(source=str(file)))
    by_name = {column.name: column for column in look.profile}
    assert by_name["weight"].odd_text == ("much", 100)
    assert by_name["release"].histogram is not None
    assert datasets.add("parcels", str(file), who="test").rows == 100
    assert datasets.profile("parcels") == look.profile


def test_the_sheets_of_a_workbook_are_told_the_one_that_was_read_first(datasets: Datasets, tmp_path: Path) -> None:
    book = write_workbook(
        tmp_path / "shops.xlsx",
        {"Cover": [], "Sales": [["shop", "n"], ["Rome", 1]], "Staff": [["name", "age"], ["Ada", 36]]},
    )
    assert datasets.look_through(Intake(source=book)).glance.sheets == ("Sales", "Cover", "Staff")
    other = datasets.look_through(Intake(source=book, sheet="Staff")).glance
    assert other.sheets == ("Staff", "Cover", "Sales")
    assert [column.name for column in other.columns] == ["name", "age"]


def test_a_file_that_is_no_workbook_has_no_sheets(datasets: Datasets, orders: Path) -> None:
    assert datasets.look_through(Intake(source=str(orders))).glance.sheets == ()

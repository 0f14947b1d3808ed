"""Types that somebody chose for columns: kept with the dataset, held against every ingest."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from appliance.access import Access
from appliance.column_types import parse_types
from appliance.datasets import Datasets
from appliance.errors import BadInput
from appliance.intake import Intake
from appliance.settings import Settings
from storage.columns import Dtype

CSV = "release,paid,amount\n1.10,1,10\n1.2,0,20.5\n2.0,1,30\n"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    file = tmp_path / "orders.csv"
    file.write_text(CSV)
    return file


def test_a_glance_shows_what_an_ingest_would_make_and_adds_nothing(datasets: Datasets, orders: Path) -> None:
    found = datasets.look_through(Intake(source=str(orders)), rows=2).glance
    assert [(one.name, one.dtype) for one in found.columns] == [
        ("release", Dtype.FLOAT), ("paid", Dtype.INT), ("amount", Dtype.FLOAT)
    ]  # fmt: skip
    assert found.rows.rows() == [(1.1, 1, 10.0), (1.2, 0, 20.5)]
    assert datasets.list() == ()
    with pytest.raises(BadInput, match=r"nowhere\.csv"):
        datasets.look_through(Intake(source=str(orders.with_name("nowhere.csv"))))


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([2**63 + 1, 5, None], pa.uint64(), ["9223372036854775809", "5", None]),
        ([Decimal(2**53 + 1), Decimal(5)], pa.decimal128(20, 0), ["9007199254740993", "5"]),
    ],
)
def test_a_glance_at_numbers_that_only_a_text_holds_shows_and_tells_it(
    datasets: Datasets, tmp_path: Path, values: list[object], kind: pa.DataType, texts: list[str | None]
) -> None:
    small = pa.array([min(4, index) for index in range(len(values))], pa.uint64())
    pq.write_table(pa.table({"id": pa.array(values, kind), "small": small}), tmp_path / "x.parquet")
    found = datasets.look_through(Intake(source=str(tmp_path / "x.parquet"))).glance
    assert [(one.name, one.dtype) for one in found.columns] == [("id", Dtype.STRING), ("small", Dtype.INT)]
    assert (found.rows["id"].to_list(), found.as_text) == (texts, ("id",))
    assert found.notes == ("Kept as text, since a number cannot hold so many digits exactly: id.",)
    with pytest.raises(BadInput, match="--type id=string"):
        datasets.take_in("ids", Intake(source=str(tmp_path / "x.parquet")), who="ann")
    types = dict.fromkeys(found.as_text, Dtype.STRING)
    datasets.take_in("ids", Intake(source=str(tmp_path / "x.parquet"), types=types), who="ann")
    assert datasets.preview("ids")["id"].to_list() == texts


def test_a_column_is_read_as_it_was_asked_for_and_an_append_too(
    datasets: Datasets, settings: Settings, orders: Path
) -> None:
    types = {"release": Dtype.STRING, "paid": Dtype.BOOL}
    datasets.take_in("orders", Intake(source=str(orders), types=types), who="ann")
    assert datasets.preview("orders")["release"].to_list() == ["1.10", "1.2", "2.0"], "the zeros stay"
    assert datasets.preview("orders")["paid"].to_list() == [True, False, True]
    told = [row.entry for row in Access(settings).audit() if row.entry.action == "dataset.rules"]
    assert (told[0].who, told[0].detail) == ("ann", "release as string, paid as bool")
    orders.write_text("release,paid,amount\n1.30,0,5\n")
    datasets.take_in("orders", Intake(source=str(orders), append=True), who="ann")
    assert datasets.preview("orders").row(3) == ("1.30", False, 5.0)


def test_a_refresh_keeps_the_types(datasets: Datasets, orders: Path) -> None:
    datasets.take_in("orders", Intake(source=str(orders), types={"release": Dtype.STRING}), who="ann")
    orders.write_text(CSV.replace("1.10", "1.20"))
    datasets.refresh("orders", who="ann")
    assert datasets.preview("orders")["release"].to_list() == ["1.20", "1.2", "2.0"]


LONG = 2**63 + 12_345


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([LONG, None, 7], pa.uint64(), [str(LONG), None, "7"]),
        ([LONG, 7, LONG], pa.dictionary(pa.int8(), pa.uint64()), [str(LONG), "7", str(LONG)]),
        ([Decimal(2**53 + 1), Decimal(7)], pa.decimal128(20, 0), [str(2**53 + 1), "7"]),
        ([Decimal("1.10"), Decimal("90071992547409930.10")], pa.decimal128(20, 2), ["1.10", "90071992547409930.10"]),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_long_numbers_are_kept_to_the_last_digit_where_they_are_to_be_text(
    datasets: Datasets, tmp_path: Path, values: list[object], kind: pa.DataType, texts: list[object], suffix: str
) -> None:
    file, table = tmp_path / f"x.{suffix}", pa.table({"big": pa.array(values, kind), "y": range(len(values))})
    if suffix == "feather":
        pa.feather.write_feather(table, str(file))
    else:
        pq.write_table(table, file)
    with pytest.raises(BadInput, match="column 'big'"):
        datasets.take_in("d", Intake(source=str(file)), who="ann")
    datasets.take_in("d", Intake(source=str(file), types={"big": Dtype.STRING}), who="ann")
    assert datasets.preview("d")["big"].to_list() == texts
    datasets.declare_rules("d", '[columns.big]\ntype = "string"\n[columns.y]\nmin = 0', who="ann")
    datasets.refresh("d", who="ann")
    assert datasets.preview("d")["big"].to_list() == texts
    datasets.take_in("d", Intake(source=str(file), append=True), who="ann")
    assert datasets.preview("d")["big"].to_list() == texts * 2


@pytest.mark.parametrize("form", ["%s\n%s", '{"rows": [%s, %s]}'])
def test_long_numbers_of_json_beside_fractions_are_text_where_they_are_to_be(
    datasets: Datasets, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(form % ('{"big": 9007199254740993, "y": 1}', '{"big": 1.25, "y": 2}'))
    with pytest.raises(BadInput, match="--type big=string"):
        datasets.take_in("d", Intake(source=str(file)), who="ann")
    datasets.take_in("d", Intake(source=str(file), types={"big": Dtype.STRING}), who="ann")
    assert datasets.preview("d")["big"].to_list() == ["9007199254740993", "1.25"]


def test_a_value_that_does_not_fit_is_named_with_row_and_column(datasets: Datasets, orders: Path) -> None:
    orders.write_text(CSV.replace("20.5", "much"))
    datasets.take_in("orders", Intake(source=str(orders), types={"amount": Dtype.FLOAT}), who="ann")
    assert datasets.preview("orders")["amount"].to_list() == [10.0, 30.0]
    apart = datasets.rejected("orders")
    assert apart.select("_row", "_reason").rows() == [(2, "amount: much is no number")]


def test_what_was_declared_before_stays_and_a_failed_ingest_changes_nothing(datasets: Datasets, orders: Path) -> None:
    datasets.declare_rules("orders", "[columns.release]\nrequired = true", who="ann")
    before = datasets.rules("orders")
    with pytest.raises(BadInput, match=r"3 of 3 rows break the rules.*amount: 10\.0 is neither true nor false"):
        datasets.take_in("orders", Intake(source=str(orders), types={"amount": Dtype.BOOL}), who="ann")
    assert datasets.rules("orders") == before
    with pytest.raises(BadInput, match=r"the rules name the column 'nope', which the rows lack"):
        datasets.take_in("orders", Intake(source=str(orders), types={"nope": Dtype.BOOL}), who="ann")
    assert datasets.rules("orders") == before
    datasets.take_in("orders", Intake(source=str(orders), types={"release": Dtype.STRING}), who="ann")
    rules = datasets.rules("orders")
    assert rules is not None
    assert (rules.columns["release"].required, rules.columns["release"].type) == (True, Dtype.STRING)


def test_types_are_told_as_column_and_type() -> None:
    assert parse_types(["a=b=int64", "release=string"]) == {"a=b": Dtype.INT, "release": Dtype.STRING}
    for wrong in ("release", "release=text", "=int64"):
        with pytest.raises(BadInput, match="is no COLUMN=TYPE; a type is one of bool, int64"):
            parse_types([wrong])


def test_the_rows_of_a_glance_have_the_types_it_tells(datasets: Datasets, orders: Path) -> None:
    assert datasets.look_through(Intake(source=str(orders))).glance.rows.schema == {
        "release": pl.Float64(), "paid": pl.Int64(), "amount": pl.Float64()
    }  # fmt: skip

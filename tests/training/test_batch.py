"""A file in, the same rows with predictions out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.encoder import RowEncoder
from appliance.errors import BadInput, BadTable, NotFound
from appliance.house import Appliance
from appliance.intake import Intake
from appliance.model_card import PredictionReport
from appliance.model_spec import ModelSpec
from appliance.schema import FeatureSchema, Kind
from appliance.training.batch import BatchOrder, predict_file
from appliance.training.fit import Scorer
from storage.bundles import publish_bundle, read_bundle
from storage.columns import Dtype
from tests.training.rows import Remembered, made_up, penguins, spec
from tests.training.state import add, new_appliance, train_now


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    house = new_appliance(tmp_path_factory.mktemp("batch") / "state")
    add(house, "penguins", penguins())
    add(house, "data", made_up())
    train_now(house, spec("on"))
    declared = spec("species")
    train_now(house, type(declared)(name="birds", dataset="penguins", target="species"))
    return house


READ: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet, ".csv": pl.read_csv, ".ndjson": pl.read_ndjson,
}  # fmt: skip


@pytest.mark.parametrize("suffix", sorted(READ))
def test_rows_keep_their_order_and_gain_a_probability_a_class(house: Appliance, tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / "in.csv", tmp_path / f"out{suffix}"
    penguins().write_csv(source)
    order = BatchOrder(model="birds", version=None, file=source, out=out)
    report = predict_file(house.settings, order, Remembered())
    found = READ[suffix](out)
    assert report.rows == len(found) == 344
    assert found.columns[:7] == penguins().columns
    assert found.columns[7:] == [
        "prediction", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"
    ]  # fmt: skip
    assert found["species"].to_list() == penguins()["species"].to_list()
    assert found.filter(pl.col("prediction") == pl.col("species")).height > 0.97 * 344
    totals = found.select(pl.sum_horizontal(pl.col("^probability_.*$")))
    assert totals.to_series().round(9).eq(1.0).all()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_categories_nobody_knows_are_counted(house: Appliance, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    made_up(50).with_columns(pl.lit("mauve").alias("color")).write_parquet(source)
    report = predict_file(
        house.settings, BatchOrder(model="model", version=1, file=source, out=tmp_path / "o.csv"), Remembered()
    )
    assert report.unseen == {"color": 50}


def refuse(house: Appliance, frame: pl.DataFrame, folder: Path, error: type[Exception], version: int = 1) -> str:
    frame.write_parquet(folder / "in.parquet")
    order = BatchOrder(model="model", version=version, file=folder / "in.parquet", out=folder / "out.csv")
    with pytest.raises(error) as refused:
        predict_file(house.settings, order, Remembered())
    assert not (folder / "out.csv").exists()
    return str(refused.value)


def test_what_cannot_be_scored_is_said_and_nothing_is_written(house: Appliance, tmp_path: Path) -> None:
    rows = made_up(30)
    assert "lacks the model's column(s) 'noise'" in refuse(house, rows.drop("noise"), tmp_path, BadTable)
    assert "30 of its values are no number, such as " in refuse(
        house, rows.with_columns(pl.lit("a").alias("x")), tmp_path, BadTable
    )
    assert "prediction already" in refuse(house, rows.with_columns(pl.lit(1).alias("prediction")), tmp_path, BadInput)
    assert "no published version 9" in refuse(house, rows, tmp_path, NotFound, version=9)


@pytest.fixture(scope="module")
def worded(house: Appliance) -> FeatureSchema:
    """A model of a boolean, of a word that may be true or false, of a date and of a number."""
    rows = 400
    frame = pl.DataFrame(
        {
            "flag": [None if row % 11 == 0 else row % 2 == 0 for row in range(rows)],
            "asked": [("true", "false", "unknown")[row % 3] for row in range(rows)],
            "code": [f"{row % 4:03d}" for row in range(rows)],
            "born": [None if row % 13 == 0 else date(2020, 1, 1 + row % 28) for row in range(rows)],
            "size": [None if row % 17 == 0 else row % 7 / 4 for row in range(rows)],
            "paid": [float(row % 2 + 2 * (row % 3) + row % 4) + row % 7 / 4 for row in range(rows)],
        }
    )
    add(house, "worded", frame)
    train_now(house, ModelSpec(name="worded", dataset="worded", target="paid", columns={"born": Kind.DATETIME}))
    _, files = read_bundle(house.settings.layout, "worded", 1)
    return msgspec.json.decode(files["schema.json"], type=FeatureSchema)


HEADER = "flag,asked,code,born,size\n"
TWO = [
    {"flag": True, "asked": "true", "code": "001", "born": "2020-01-05", "size": 0.5},
    {"flag": False, "asked": "false", "code": "002", "born": None, "size": 0.25},
]
EMPTY = [{**row, "flag": None, "born": None} for row in TWO]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("words.csv", f"{HEADER}true,true,001,2020-01-05,0.5\nfalse,false,002,,0.25\n", TWO),
        ("digits.csv", f"{HEADER}1,true,001,2020-01-05,0.5\n0,false,002,,0.25\n", TWO),
        ("empty.csv", f"{HEADER},true,001,,0.5\n,false,002,,0.25\n", EMPTY),
        (
            "digits.ndjson",
            '{"flag": 1, "asked": true, "code": "001", "born": "2020-01-05", "size": 0.5}\n'
            '{"flag": 0, "asked": false, "code": "002", "born": null, "size": 0.25}\n',
            TWO,
        ),
        (
            "empty.ndjson",
            '{"flag": null, "asked": "true", "code": "001", "born": null, "size": 0.5}\n'
            '{"flag": null, "asked": "false", "code": "002", "born": null, "size": 0.25}\n',
            EMPTY,
        ),
    ],
)
def test_a_file_is_read_as_the_models_columns_and_gives_the_bits_that_a_request_gives(
    house: Appliance, worded: FeatureSchema, tmp_path: Path, name: str, content: str, rows: list[dict[str, object]]
) -> None:
    (tmp_path / name).write_text(content)
    out = tmp_path / "out.parquet"
    predict_file(
        house.settings, BatchOrder(model="worded", version=1, file=tmp_path / name, out=out), Remembered()
    )  # fmt: skip
    assert {column.name for column in worded.columns} == {"flag", "asked", "code", "born", "size"}
    _, files = read_bundle(house.settings.layout, "worded", 1)
    asked = RowEncoder(worded).encode(rows).matrix
    frame = pl.DataFrame({f"f{at}": asked[:, at] for at in range(asked.shape[1])})
    answers = Scorer(files["model.txt"].decode(), worded, threads=1).predict(frame)[:, 0].tolist()
    assert pl.read_parquet(out)["prediction"].to_list() == answers
    assert answers[0] != answers[1]


def test_a_number_that_is_no_boolean_is_said(house: Appliance, worded: FeatureSchema, tmp_path: Path) -> None:
    assert worded.model == "worded"
    (tmp_path / "in.csv").write_text(f"{HEADER}1,true,001,,0.5\n2,true,001,,0.5\n")
    order = BatchOrder(model="worded", version=1, file=tmp_path / "in.csv", out=tmp_path / "out.csv")
    with pytest.raises(BadTable, match="'flag' holds the number 2, but the model takes it as a boolean"):
        predict_file(house.settings, order, Remembered())


@pytest.mark.parametrize("suffix", sorted(READ))
def test_further_columns_of_any_type_come_back_as_an_ingest_would_keep_them(
    house: Appliance, worded: FeatureSchema, tmp_path: Path, suffix: str
) -> None:
    assert worded.model == "worded"
    frame = pl.DataFrame(TWO).with_columns(
        pl.Series("tags", [["a", "b"], None]), pl.Series("seal", [b"\x00\x01", None]), pl.Series("at", [time(10), None])
    )
    frame.write_parquet(tmp_path / "in.parquet")
    out = tmp_path / f"out{suffix}"
    predict_file(
        house.settings, BatchOrder(model="worded", version=1, file=tmp_path / "in.parquet", out=out), Remembered()
    )  # fmt: skip
    found = READ[suffix](out)
    assert found["tags"].to_list() == ['["a", "b"]', None]
    assert found["seal"].to_list() == ["AAE=", None]
    assert found["at"].cast(pl.String).to_list()[0].startswith("10:00:00")
    assert found["prediction"].null_count() == 0


@pytest.mark.parametrize(
    ("number", "kind"), [(2**63, pa.uint64()), (10**19, pa.decimal128(20, 0)), (7, pa.decimal128(12, 2))]
)
def test_numbers_that_the_model_knows_as_text_are_scored_digit_by_digit(
    house: Appliance, tmp_path: Path, number: int, kind: pa.DataType
) -> None:
    name, rows = f"long{number}", range(400)
    to_value = int if pa.types.is_integer(kind) else Decimal
    shops = pa.array([to_value(number + row % 3) for row in rows], kind)
    learned = {"shop": shops, "x": [row % 7 for row in rows], "y": [row % 3 + row % 7 / 40 for row in rows]}
    pq.write_table(pa.table(learned), tmp_path / "a.parquet")
    intake = Intake(source=str(tmp_path / "a.parquet"), types={"shop": Dtype.STRING})
    house.datasets.take_in(name, intake, who="test")
    train_now(house, ModelSpec(name=name, dataset=name, target="y"))
    pq.write_table(pa.table({"shop": shops[:3], "x": [0, 1, 2], "ticket": shops[:3]}), tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    report = predict_file(
        house.settings, BatchOrder(model=name, version=1, file=tmp_path / "in.parquet", out=out), Remembered()
    )
    assert report.unseen == {}
    found = pl.read_parquet(out)
    texts = house.datasets.preview(name)["shop"].to_list()[:3]
    assert found["shop"].to_list() == texts
    assert found["prediction"].to_list() == pytest.approx([0.0, 1.0, 2.0], abs=0.3), "each is the category that it was"
    ticket = [float(text) for text in texts] if number == 7 else texts
    assert found["ticket"].to_list() == ticket, "what the model does not know is not rounded either"


@pytest.fixture(scope="module")
def exported(house: Appliance, tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """A model of an export with the month first, decimal commas and points between thousands."""
    lines = [
        f"{1 + row % 12:02d}/{1 + row % 28:02d}/2026;{row % 9}.{100 + row % 50};{row % 5},5;"
        f"{'None' if row % 3 else 'x'};{row % 12 + row % 5}"
        for row in range(9, 400)
    ]
    file = tmp_path_factory.mktemp("export") / "x.csv"
    file.write_text("\n".join(["day;count;size;alley;y", *(line for line in lines if ";0." not in line)]))
    house.datasets.take_in("export", Intake(source=str(file)), who="test")
    declared = ModelSpec(name="export", dataset="export", target="y", columns={"day": Kind.DATETIME})
    train_now(house, declared)
    return house


def score(house: Appliance, folder: Path, content: str) -> tuple[list[float], PredictionReport]:
    (folder / "in.csv").write_text(content)
    order = BatchOrder(model="export", version=1, file=folder / "in.csv", out=folder / "out.parquet")
    report = predict_file(house.settings, order, Remembered())
    return pl.read_parquet(folder / "out.parquet")["prediction"].to_list(), report


def test_a_file_is_read_as_the_rows_that_the_version_learned_from(exported: Appliance, tmp_path: Path) -> None:
    plain = "day,count,size,alley\n2026-11-02,1250,2.5,None\n2026-02-11,3100,1000.5,x\n"
    told, report = score(exported, tmp_path, plain)
    assert report.notes == ()
    found, report = score(
        exported, tmp_path, "day;count;size;alley\n11/02/2026;1.250;2,5;None\n02/11/2026;3.100;1.000,5;x\n"
    )
    assert found == told
    assert "Read as month/day/year, as the rows before: day." in report.notes
    found, report = score(exported, tmp_path, "day;count;size;alley\n11/02/2026;1.250;2.500;x\n")
    assert pl.read_parquet(tmp_path / "out.parquet").select("count", "size").row(0) == (1250, 2500.0)
    with pytest.raises(BadInput, match="'day' can only be read as day/month/year"):
        score(exported, tmp_path, "day;count;size;alley\n25/02/2026;1.250;2,5;x\n")


def test_a_version_of_an_earlier_release_reads_each_file_by_itself(exported: Appliance, tmp_path: Path) -> None:
    layout = exported.settings.layout
    manifest, kept = read_bundle(layout, "export", 1)
    card = msgspec.json.decode(kept["card.json"])
    del card["readings"]
    publish_bundle(
        layout, msgspec.structs.replace(manifest, version=2), {**kept, "card.json": msgspec.json.encode(card)}
    )
    (tmp_path / "in.csv").write_text("day;count;size;alley\n25/02/2026;1.250;2,5;x\n")
    order = BatchOrder(model="export", version=2, file=tmp_path / "in.csv", out=tmp_path / "out.parquet")
    report = predict_file(exported.settings, order, Remembered())
    assert pl.read_parquet(tmp_path / "out.parquet")["day"].to_list() == [date(2026, 2, 25)]
    assert "Dates were read as day/month/year." in report.notes


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".ndjson"])
def test_a_file_without_rows_gives_one_with_the_columns(
    house: Appliance, worded: FeatureSchema, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "header.csv").write_text(f"{HEADER}")
    out = tmp_path / f"out{ending}"
    order = BatchOrder(model="worded", version=1, file=tmp_path / "header.csv", out=out)
    assert predict_file(house.settings, order, Remembered()).rows == 0
    if ending == ".parquet":
        assert pl.read_parquet(out).columns == [*HEADER.strip().split(","), "prediction"]
    else:
        assert out.read_text() == (f"{HEADER.strip()},prediction\n" if ending == ".csv" else "")
    (tmp_path / "header.csv").write_text("flag,asked\n")
    with pytest.raises(BadInput, match="born"):
        predict_file(house.settings, order, Remembered())

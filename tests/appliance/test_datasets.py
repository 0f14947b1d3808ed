from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, BadTable, NotFound
from appliance.findings import Code
from appliance.house import prepare_state
from appliance.orders import Ingest
from appliance.settings import Settings
from appliance.snapshot_diff import ColumnChange
from storage.columns import ColumnInfo, Dtype
from storage.datasets import IngestInfo, Mode
from storage.errors import StateUnwritable

DATA = Path(__file__).parents[1] / "data"


def csv(tmp_path: Path, text: str, name: str = "rows.csv") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_a_real_file_is_added_and_looks_as_it_did(datasets: Datasets, settings: Settings) -> None:
    added = datasets.add("penguins", str(DATA / "penguins.csv"), target="species", who="ann")
    assert added == Ingest(dataset="penguins", version=1, rows=344, warnings=())
    assert datasets.preview("penguins", rows=400).equals(pl.read_csv(DATA / "penguins.csv"))
    (snapshot,) = datasets.list()
    assert (snapshot.who, snapshot.source) == ("ann", str(DATA / "penguins.csv"))
    (told, *_) = Access(settings).audit()
    assert (told.entry.who, told.entry.action, told.entry.subject) == ("ann", "dataset.replace", "penguins")
    assert told.entry.detail == f"version 1 with 344 rows from {DATA / 'penguins.csv'}"


def test_findings_come_with_the_ingest_and_stay(datasets: Datasets, tmp_path: Path) -> None:
    text = "id;v;c;m\n" + "".join(f"{i};{i % 7},5;1;{'' if i % 3 else 2}\n" for i in range(100)) + "5;5,5;1;\n"
    added = datasets.add("d", csv(tmp_path, text), who="cli")
    assert [(finding.column, finding.code) for finding in added.warnings] == [
        (None, Code.READER), (None, Code.DUPLICATE_ROWS), ("id", Code.ID_LIKE), ("c", Code.CONSTANT),
        ("m", Code.MISSING),
    ]  # fmt: skip
    assert added.warnings[0].message == "Read with a decimal comma: v."
    assert datasets.findings("d", 1) == added.warnings


def test_append_and_replace(datasets: Datasets, tmp_path: Path) -> None:
    datasets.add("d", csv(tmp_path, "zip,n\nA1,1\n"), who="cli")
    datasets.add("d", csv(tmp_path, "zip,n\n12345,2\n"), append=True, who="cli")
    assert datasets.preview("d").rows() == [("A1", 1), ("12345", 2)]
    datasets.add("d", csv(tmp_path, "q\n1\n"), who="cli")
    assert [(each.version, each.rows, each.mode) for each in datasets.versions("d")] == [
        (3, 1, Mode.REPLACE), (2, 2, Mode.APPEND), (1, 1, Mode.REPLACE),
    ]  # fmt: skip
    assert datasets.preview("d", 1).rows() == [("A1", 1)]
    assert datasets.preview("d", 2, rows=1).rows() == [("A1", 1)]


def test_an_append_of_another_schema_changes_nothing(datasets: Datasets, tmp_path: Path) -> None:
    datasets.add("d", csv(tmp_path, "a,b\n1,2\n"), who="cli")
    with pytest.raises(BadInput, match=r"cannot append to the dataset 'd': the new data lacks the column 'b'; has the "
                                       r"column 'c', which the dataset has not\. Nothing was changed"):  # fmt: skip
        datasets.add("d", csv(tmp_path, "a,c\n1,2\n"), append=True, who="cli")
    assert len(datasets.versions("d")) == 1


@pytest.mark.parametrize(
    ("text", "query", "target", "error", "message"),
    [
        ("", None, None, BadInput, r"rows\.csv is empty"),
        ("a,b\n", None, None, BadInput, r"has columns, but no rows"),
        ("a,a\n1,2\n", None, None, BadInput, r"the column name 'a' stands twice"),
        ("a,b\n1,2\n", "SELECT nope FROM source", None, BadInput, r"Referenced column \"nope\" not found"),
        ("a,b\n1,2\n", "SELECT * FROM source WHERE a > 9", None, BadInput, r"columns, but no rows"),
        ("a,b\n1,2\n3,4\n", None, "y", BadTable, r"there is no column 'y' to predict; columns: a, b"),
        ("a,y\n1,2\n3,2\n", None, "y", BadTable, r"the target 'y' has the one value 2; there is nothing to learn"),
        ("a,y\n1,\n3,\n", None, "y", BadTable, r"the target 'y' has no value at all"),
    ],
)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(  # noqa: PLR0917
    datasets: Datasets, tmp_path: Path, text: str, query: str | None, target: str | None,
    error: type[Exception], message: str,
) -> None:  # fmt: skip
    with pytest.raises(error, match=message):
        datasets.add("d", csv(tmp_path, text), query=query, target=target, who="cli")
    assert datasets.list() == ()


def test_a_bad_name_and_a_missing_file_are_refused(datasets: Datasets) -> None:
    with pytest.raises(BadInput, match=r"'Big Data' cannot name a dataset: use 1 to 63 of a-z"):
        datasets.add("Big Data", "x.csv", who="cli")
    with pytest.raises(BadInput, match=r"no file /nowhere/x\.csv"):
        datasets.add("d", "/nowhere/x.csv", who="cli")


def test_what_is_not_there_is_said(datasets: Datasets, tmp_path: Path) -> None:
    with pytest.raises(
        NotFound, match=r"there is no dataset 'd'; datasets: none yet\. Add it with 'appliance data add'"
    ):
        datasets.show("d")
    datasets.add("d", csv(tmp_path, "a\n1\n"), who="cli")
    for ask in (datasets.show, datasets.preview, datasets.profile, datasets.findings):
        with pytest.raises(NotFound, match=r"the dataset 'd' has no version 7; it has 1 to 1"):
            ask("d", 7)
    with pytest.raises(NotFound, match=r"no version 2"):
        datasets.diff("d", 1, 2)


def test_a_diff_tells_rows_columns_and_figures(datasets: Datasets, tmp_path: Path) -> None:
    datasets.add("d", csv(tmp_path, "same,gone,moved,typed\n1,1,1,1\n2,2,3,2\n"), who="cli")
    datasets.add("d", csv(tmp_path, "same,new,moved,typed\n1,x,5,a\n2,y,,b\n1,y,6,c\n2,y,7,d\n"), who="cli")
    found = datasets.diff("d", 1, 2)
    assert (found.rows, found.versions) == ((2, 4), (1, 2))
    assert found.added == (ColumnInfo(name="new", dtype=Dtype.STRING),)
    assert found.removed == (ColumnInfo(name="gone", dtype=Dtype.INT),)
    assert found.changed == (
        ColumnChange(name="moved", dtype=(Dtype.INT, Dtype.INT), missing_share=(0.0, 0.25), mean=(2.0, 6.0)),
        ColumnChange(name="typed", dtype=(Dtype.INT, Dtype.STRING), missing_share=(0.0, 0.0), mean=(1.5, None)),
    )
    assert datasets.diff("d", 2, 2).changed == ()


def test_the_same_rows_in_another_order_are_no_change(datasets: Datasets, tmp_path: Path) -> None:
    rows = [f"{at * 0.1:.1f},{(at * 37 % 100 - 49.5) * 1e-20!r}" for at in range(100)]
    for order in (rows, sorted(rows, reverse=True), sorted(rows, key=lambda row: row[::-1])):
        datasets.add("d", csv(tmp_path, "\n".join(["a,b", *order]) + "\n"), who="cli")
    means = [[column.mean for column in datasets.profile("d", version)] for version in (1, 2, 3)]
    assert not means[0] == means[1] == means[2], "added up in another order they differ in the last digits"
    assert (datasets.diff("d", 1, 2).changed, datasets.diff("d", 1, 3).changed) == ((), ())


def test_a_column_that_became_another_kind_is_told_as_that_alone(datasets: Datasets, tmp_path: Path) -> None:
    datasets.add("d", csv(tmp_path, "a,b\n" + "".join(f"{at % 7},{at % 5}\n" for at in range(200))), who="cli")
    datasets.add("d", csv(tmp_path, "a,b\n" + "".join(f"x{at % 7},{at % 5}.0\n" for at in range(200))), who="cli")
    found = datasets.diff("d", 1, 2)
    assert [(change.name, change.dtype[1].value) for change in found.changed] == [("a", "string"), ("b", "float64")]
    assert [(column.name, column.state.value) for column in found.distributions] == [("b", "ok")]
    datasets.add("d", csv(tmp_path, "a,b\n" + "".join(f"{at % 7},y{at % 5}\n" for at in range(200))), who="cli")
    assert datasets.diff("d", 2, 3).distributions == ()


def test_a_diff_judges_distributions_by_the_drift_rule(datasets: Datasets, tmp_path: Path) -> None:
    text = "n,c,y\n" + "".join(f"{i % 97},{'ab'[i % 2]},{i % 5}\n" for i in range(1000))
    moved = "n,c,y\n" + "".join(f"{i % 97 + 60},{'abc'[i % 3]},{i % 5}\n" for i in range(1000))
    datasets.add("d", csv(tmp_path, text), who="cli")
    datasets.add("d", csv(tmp_path, moved), who="cli")
    found = datasets.diff("d", 1, 2)
    assert {column.name: column.state.value for column in found.distributions} == {
        "n": "alarm",
        "c": "alarm",
        "y": "ok",
    }
    assert (found.drift.state.value, set(found.drift.drifted)) == ("alarm", {"n", "c"})
    assert {column.state.value for column in datasets.diff("d", 1, 1).distributions} == {"ok"}


def test_a_frame_is_added_like_a_file(datasets: Datasets) -> None:
    info = IngestInfo(who="schedule", source="labelled predictions of bikes")
    added = datasets.add_frame("d", pl.DataFrame({"a": [1, 2]}), append=True, info=info)
    assert (added.version, added.rows) == (1, 2)
    assert datasets.show("d").source == "labelled predictions of bikes"
    with pytest.raises(BadInput, match="lacks the column 'a'"):
        datasets.add_frame("d", pl.DataFrame({"b": [1]}), append=True, info=info)


def test_a_large_parquet_file_of_the_demo_is_read_whole(datasets: Datasets) -> None:
    added = datasets.add("adult", str(DATA / "adult.parquet"), target="income", who="cli")
    assert added.rows == 48_842
    assert [finding.code for finding in added.warnings] == [Code.DUPLICATE_ROWS]


def test_a_state_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StateUnwritable, match=r"cannot write the state directory"):
        prepare_state(Settings(state=tmp_path / "state"))

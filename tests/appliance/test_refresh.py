"""A dataset's source is read again, with what was stored beside the version."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, BadTable, Conflict, NotFound
from appliance.feeds import Feeds
from appliance.intake import Intake
from appliance.orders import Ingest, Unchanged
from appliance.settings import Settings
from storage.columns import Dtype
from storage.datasets import IngestInfo


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("zip,n,y\n00100,1,0\n00200,2,1\n00300,3,1\n")
    return path


def test_a_refresh_repeats_the_query_the_preparation_and_the_target(
    datasets: Datasets, settings: Settings, source: Path
) -> None:
    order = Intake(
        source=str(source), query="SELECT * FROM source WHERE n < 9", prepare="SELECT *, n * 2 AS m FROM source",
        target="y", delimiter=",",
    )  # fmt: skip
    datasets.take_in("d", order, who="ann")
    assert datasets.refresh("d", who="ann") == Unchanged(dataset="d", version=1, source=str(source))
    source.write_text("zip,n,y\n100,1,0\n200,5,1\n300,9,1\n")
    found = datasets.refresh("d", who="schedule")
    assert isinstance(found, Ingest)
    assert datasets.preview("d").rows() == [("100", 1, 0, 2), ("200", 5, 1, 10)]
    shown = datasets.show("d")
    assert (shown.version, shown.who, shown.query, shown.prepare, shown.target) == (
        2, "schedule", order.query, order.prepare, "y",
    )  # fmt: skip
    assert Access(settings).audit()[0].entry.who == "schedule"
    source.write_text("zip,n,y\n100,1,0\n200,5,0\n")
    with pytest.raises(BadTable, match=r"the target 'y' has the one value 0"):
        datasets.refresh("d", who="schedule")
    assert len(datasets.versions("d")) == 2


def test_other_columns_are_refused_unless_they_are_asked_for(datasets: Datasets, source: Path) -> None:
    datasets.add("d", str(source), who="ann")
    source.write_text("zip,n,z\n100,x,1\n")
    lacks = r"cannot refresh the dataset 'd': its source lacks the column 'y'; has the column 'z'.*with --evolve"
    with pytest.raises(BadInput, match=lacks):
        datasets.refresh("d", who="ann")
    source.write_text("zip,n,y\n100,x,1\n")
    with pytest.raises(BadInput, match=r"column 'n' is read as whole number, but has the text 'x' in row \d+"):
        datasets.refresh("d", who="ann")
    found = datasets.refresh("d", who="ann", evolve=True)
    assert isinstance(found, Ingest)
    assert datasets.preview("d").rows() == [("100", "x", 1)]


def test_an_empty_column_is_still_the_column_that_it_was(datasets: Datasets, source: Path) -> None:
    datasets.add("d", str(source), who="ann")
    source.write_text("y,n,zip\n1,,7\n0,,8\n")
    datasets.refresh("d", who="ann")
    assert datasets.preview("d").rows() == [("7", None, 1), ("8", None, 0)]


def test_what_cannot_be_read_again_is_said(datasets: Datasets, settings: Settings, source: Path) -> None:
    with pytest.raises(NotFound):
        datasets.refresh("d", who="ann")
    datasets.add("d", str(source), who="ann")
    datasets.add("d", str(source), append=True, who="ann")
    with pytest.raises(BadInput, match=r"the newest version of 'd' was appended, .*twice"):
        datasets.refresh("d", who="ann")
    datasets.add_frame("f", datasets.preview("d"), append=False, info=IngestInfo(who="x", source="a frame"))
    with pytest.raises(BadInput, match=r"'f' came from a frame, which cannot be read again"):
        datasets.refresh("f", who="ann")
    sent = settings.layout.tmp / "upload-1" / "rows.csv"
    sent.parent.mkdir()
    sent.write_text(source.read_text())
    datasets.add("u", str(sent), who="ann")
    with pytest.raises(BadInput, match=r"'u' came from an uploaded file, which is not kept; upload it again"):
        datasets.refresh("u", who="ann")
    datasets.add("d", str(source), who="ann")
    source.unlink()
    with pytest.raises(BadInput, match=r"no file .*rows\.csv"):
        datasets.refresh("d", who="ann")


def test_something_is_taken_in_once(datasets: Datasets, source: Path) -> None:
    order = Intake(source=str(source), append=True, once="drop/rows.csv")
    datasets.take_in("d", order, who="ann")
    with pytest.raises(Conflict, match=r"rows\.csv is in the dataset 'd' already"):
        datasets.take_in("d", order, who="ann")
    assert datasets.show("d").rows == 3


@pytest.mark.parametrize(
    ("dtype", "brought", "expected"),
    [
        ("int64", "30,abc,40", ([30, 40], ["x: abc is no whole number"])),
        ("bool", "1,0,1", ([True, False, True], [])),
        ("date", "2026-01-01,never", ([date(2026, 1, 1)], ["x: never is no date"])),
        ("string", "007,7", (["007", "7"], [])),
    ],
)
def test_a_refresh_screens_what_a_rule_gives_a_type(
    datasets: Datasets, settings: Settings, source: Path, dtype: str, brought: str, expected: tuple[object, list[str]]
) -> None:
    def found() -> tuple[object, list[str]]:
        rejected = datasets.rejected("d")
        return datasets.preview("d")["x"].to_list(), rejected["_reason"].to_list() if rejected.width else []

    datasets.declare_rules("d", f'[columns.x]\ntype = "{dtype}"\n', who="ann")
    pairs = list(enumerate(brought.split(",")))
    source.write_text("n,x\n" + "".join(f"{number},{value}\n" for number, value in pairs))
    datasets.add("d", str(source), who="ann")
    source.write_text("x,n\n" + "".join(f"{value},{number}\n" for number, value in pairs))
    datasets.refresh("d", who="ann")
    assert found() == expected
    source.write_text("n,x\n" + "".join(f"{number + 7},{value}\n" for number, value in pairs))
    feeds = Feeds(settings, datasets)
    due = feeds.schedule("d", "* * * * *", who="ann").next_at
    assert due is not None
    feeds.run_due(due)
    assert feeds.list()[0].status.message.endswith("the newest version is 3.")
    assert found() == expected
    assert len({version.columns for version in datasets.versions("d")}) == 1


def test_a_refresh_gives_a_column_the_type_that_its_owner_chose_since(datasets: Datasets, source: Path) -> None:
    datasets.take_in("d", Intake(source=str(source), types={"zip": Dtype.STRING}), who="ann")
    assert datasets.preview("d")["zip"].to_list() == ["00100", "00200", "00300"]
    datasets.declare_rules("d", '[columns.zip]\ntype = "int64"\n[columns.n]\ntype = "string"\n', who="ann")
    datasets.refresh("d", who="ann")
    assert datasets.preview("d").row(0) == (100, "1", 0)
    source.write_text("n,y\n1,0\n")
    with pytest.raises(BadInput, match=r"cannot refresh the dataset 'd': its source lacks the column 'zip'"):
        datasets.refresh("d", who="ann")
    source.write_text("zip,n,y\n1,1,0\n2,2,x\n")
    with pytest.raises(BadInput, match=r"column 'y' is read as whole number, but has the text 'x' in row 2"):
        datasets.refresh("d", who="ann")

"""A dataset's source is read again, with what was stored beside the version."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, BadTable, Conflict, NotFound
from appliance.intake import Intake
from appliance.orders import Ingest, Unchanged
from appliance.settings import Settings
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
    with pytest.raises(BadInput, match=r"column 'n' is int64, but has the text 'x' in row \d+"):
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

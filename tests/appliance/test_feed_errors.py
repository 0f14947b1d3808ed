"""One feed's error, foreseen or not, keeps no other feed from its turn, and is told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.datasets import Datasets
from appliance.feeds import Feeds
from appliance.intake import Intake
from appliance.settings import Settings
from storage.dataset_log import commit_path
from storage.datasets import dataset_path
from tests.appliance.test_feeds import NOW, drop, open_alerts

UNFORESEEN = (
    "it ended in an error that was not foreseen (ArithmeticError: no number); 'appliance logs runner' has the whole"
)


class Panic(BaseException):
    """As what libraries in Rust raise is no Exception."""


@pytest.fixture
def broken_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyArrow fails on rows with a column that is called so."""
    write = pq.ParquetWriter.write_batch

    def fail(writer: pq.ParquetWriter, batch: pa.RecordBatch, row_group_size: int | None = None) -> None:
        if "broken" in batch.schema.names:
            raise ArithmeticError("no number\nof any kind")
        if "panic" in batch.schema.names:
            raise Panic
        write(writer, batch, row_group_size=row_group_size)

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fail)


@pytest.mark.usefixtures("broken_library")
def test_a_file_that_a_library_fails_on_is_a_trouble_and_the_other_feeds_go_on(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in (("a", "broken\n1\n"), ("b", "panic\n1\n"), ("c", "x\n1\n")):
        drop(folder, f"{name}/1.csv", text)
        feeds.watch(name, Intake(source=str(folder / name)), who="ann")
    drop(folder, "a/2.csv", "x\n1\n")
    assert feeds.run_due(NOW)
    assert [(one.dataset, one.status.failed, set(one.status.troubles)) for one in feeds.list()] == [
        ("a", True, {"1.csv"}), ("b", True, {"1.csv"}), ("c", False, set())
    ]  # fmt: skip
    assert (datasets.show("a").rows, datasets.show("c").rows) == (1, 1)
    assert UNFORESEEN in feeds.list()[0].status.message
    assert "(Panic)" in feeds.list()[1].status.message
    assert [subject for subject, _ in open_alerts(settings)] == ["feed b", "feed a"]
    assert "Traceback" in caplog.text
    caplog.clear()
    assert feeds.run_due(NOW)
    assert caplog.text == "", "it is not tried again before it changes"


@pytest.mark.usefixtures("broken_library")
def test_a_schedule_that_a_library_fails_on_is_told_and_due_at_its_next_time(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    for name in ("a", "b"):
        datasets.add(name, str(drop(folder, f"{name}.csv", "x\n1\n")), who="ann")
        feeds.schedule(name, "0 6 * * *", evolve=True, who="ann")
    drop(folder, "a.csv", "broken\n1\n")
    drop(folder, "b.csv", "x\n2\n")
    feeds.run_due(NOW)
    first, second = feeds.list()
    assert (first.status.failed, first.status.ran_at) == (True, NOW)
    assert UNFORESEEN in first.status.message
    assert first.next_at is not None
    assert first.next_at > NOW
    assert second.status.message == "The source brought 1 rows; the newest version is 2."
    ((subject, message),) = open_alerts(settings)
    assert subject == "feed a"
    assert UNFORESEEN in message
    drop(folder, "a.csv", "x\n3\n")
    assert feeds.run_due(first.next_at)
    assert open_alerts(settings) == []
    assert datasets.preview("a").rows() == [(3,)]


def test_a_damaged_dataset_is_told_once_and_the_other_feeds_go_on(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    for name in ("a", "b"):
        drop(folder, f"{name}/1.csv", "x\n1\n")
        feeds.watch(name, Intake(source=str(folder / name)), who="ann")
    feeds.run_due(NOW)
    log = commit_path(dataset_path(settings.layout, "a"), 1)
    whole = log.read_bytes()
    log.write_text("{")
    for name in ("a", "b"):
        drop(folder, f"{name}/2.csv", "x\n2\n")
    assert not feeds.run_due(NOW), "tried once more"
    assert feeds.run_due(NOW)
    ((subject, message),) = open_alerts(settings)
    assert subject == "feed a"
    assert "is damaged: " in message
    assert "; restore it from a backup" in message
    assert datasets.show("b").rows == 2
    log.write_bytes(whole)
    assert feeds.run_due(NOW)
    assert open_alerts(settings) == []
    assert datasets.show("a").rows == 2

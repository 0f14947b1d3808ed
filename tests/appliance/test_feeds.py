"""Schedules and watched folders: what is due is done once, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, Conflict, NotFound
from appliance.feed_signs import Signs, _below, ready_files
from appliance.feeds import Feeds
from appliance.intake import Intake
from appliance.monitoring.alerts import Alert
from appliance.monitoring.spans import State
from appliance.settings import Settings
from storage.alert_rows import list_alerts
from storage.errors import SourceUnreadable
from storage.feeds import FeedStatus, find_feed, find_status, put_status
from storage.statedb import connect
from tests.storage.site import Site, serve

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
"""In the future: files written now have settled by then."""


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as made:
        yield made


def drop(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def watch(feeds: Feeds, folder: Path, **more: object) -> None:
    feeds.watch("d", Intake(source=str(folder), **more), who="ann")  # type: ignore[arg-type]


def test_new_files_are_appended_once_each_in_the_order_of_their_names(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    watch(feeds, folder, prepare="SELECT *, a * 2 AS b FROM source")
    drop(folder, "2.csv", "a\n2\n")
    drop(folder, "1.csv", "a\n1\n")
    drop(folder, "later/[3]*.csv", "a\n3\n")
    assert feeds.run_due(NOW)
    assert datasets.preview("d").rows() == [(1, 2), (2, 4), (3, 6)]
    assert feeds.list()[0].status == FeedStatus(ran_at=NOW, message="3 new of 3 files were appended.")
    for _ in range(2):
        assert feeds.run_due(NOW)
    drop(folder, "4.csv", "a\n4\n")
    feeds.run_due(NOW)
    assert [version.rows for version in datasets.versions("d")] == [4, 3, 2, 1]
    assert {version.who for version in datasets.versions("d")} == {"watch"}
    told = [(one.entry.action, one.entry.who) for one in Access(settings).audit()]
    assert (told[0], told[-1]) == (("dataset.append", "watch"), ("dataset.feed", "ann"))


def test_files_that_are_still_written_or_hidden_wait(folder: Path) -> None:
    drop(folder, "now.csv", "a\n")
    for name in (".hidden.csv", "_SUCCESS", "half.csv.part", "x.tmp"):
        drop(folder, name, "a\n")
    drop(folder, ".git/x.csv", "a\n")
    assert ready_files(folder, (folder / "now.csv").stat().st_ctime + 1) == []
    assert [file.name for file in ready_files(folder, time.time() + 5)] == ["now.csv"]


def test_a_file_whose_time_lies_in_the_future_is_taken_in(feeds: Feeds, datasets: Datasets, folder: Path) -> None:
    watch(feeds, folder)
    ahead = drop(folder, "1.csv", "a\n1\n")
    os.utime(ahead, (NOW.timestamp() + 9e8,) * 2)
    feeds.run_due(NOW)
    assert datasets.show("d").rows == 1


def test_a_file_that_was_written_in_the_future_has_settled_once_it_stays_as_it_is(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(feeds, folder)
    growing, whole = drop(folder, "1.csv", "a\n1\n"), drop(folder, "2.csv", "a\n2\n")
    early = datetime.fromtimestamp(whole.stat().st_ctime - 3600, UTC)  # the clock that stamps files is an hour ahead
    monkeypatch.setattr("appliance.feed_signs.time.time", early.timestamp)
    signs = Signs()
    assert signs.look(settings.layout)
    growing.write_text("a\n1\n2\n")
    assert signs.look(settings.layout), "one of them has settled"
    monkeypatch.setattr("appliance.feed_signs.time.sleep", lambda _: growing.write_text("a\n1\n2\n3\n"))
    feeds.run_due(early)
    assert datasets.preview("d")["a"].to_list() == [2]
    monkeypatch.setattr("appliance.feed_signs.time.sleep", lambda _: None)
    feeds.run_due(early)
    assert datasets.preview("d")["a"].to_list() == [2, 1, 2, 3]


def test_a_broken_file_hides_no_other_and_is_tried_again_when_it_changed(
    feeds: Feeds, datasets: Datasets, folder: Path
) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a,b\n1,2\n1,2,3\n")
    drop(folder, "2.csv", "a,b\n1,2\n")
    drop(folder, "3.csv", "z\n1\n")
    assert feeds.run_due(NOW)
    status = feeds.list()[0].status
    assert (status.failed, set(status.troubles)) == (True, {"1.csv", "3.csv"})
    assert "1 new of 3 files were appended. 2 could not be: 1.csv: " in status.message
    assert "line 3 has 3" in status.troubles["1.csv"].message
    assert "cannot append to the dataset 'd'" in status.troubles["3.csv"].message
    feeds.run_due(NOW + timedelta(hours=1))
    assert feeds.list()[0].status.ran_at == NOW, "an unchanged broken file is left alone"
    drop(folder, "1.csv", "a,b\n3,4\n")
    feeds.run_due(NOW + timedelta(hours=2))
    assert set(feeds.list()[0].status.troubles) == {"3.csv"}
    assert datasets.show("d").rows == 2


def test_what_was_read_is_known_when_it_is_watched_again(feeds: Feeds, datasets: Datasets, folder: Path) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a\n1\n")
    feeds.run_due(NOW)
    feeds.stop("d", who="ann")
    assert feeds.list() == ()
    watch(feeds, folder)
    feeds.run_due(NOW)
    assert datasets.show("d").version == 1
    with pytest.raises(NotFound, match=r"'e' has no feed; feeds: d"):
        feeds.stop("e", who="ann")


def test_a_folder_that_goes_is_said_and_taken_up_again(feeds: Feeds, folder: Path, datasets: Datasets) -> None:
    watch(feeds, folder)
    folder.rmdir()
    assert feeds.run_due(NOW)
    assert feeds.list()[0].status.message == f"cannot read the watched folder {folder}: No such file or directory"
    folder.mkdir()
    drop(folder, "1.csv", "a\n1\n")
    feeds.run_due(NOW)
    assert feeds.list()[0].status.failed is False
    assert datasets.show("d").rows == 1


def test_wrong_feeds_are_refused(feeds: Feeds, datasets: Datasets, folder: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot watch /nowhere: No such file or directory; name a folder"):
        feeds.watch("d", Intake(source="/nowhere"), who="ann")
    with pytest.raises(BadInput, match=r"the folder is empty"):
        feeds.watch("d", Intake(source=""), who="ann")
    with pytest.raises(BadInput, match=r"cannot name a dataset"):
        feeds.watch("No Name", Intake(source=str(folder)), who="ann")
    with pytest.raises(NotFound):
        feeds.schedule("d", "0 6 * * *", who="ann")
    datasets.add("d", str(drop(folder, "1.csv", "a\n1\n")), who="ann")
    with pytest.raises(BadInput, match=r"the schedule is wrong: .*five"):
        feeds.schedule("d", "daily", who="ann")
    feeds.schedule("d", "0 6 * * *", who="ann")
    with pytest.raises(Conflict, match=r"'d' is refreshed by 0 6 \* \* \*; end that first with 'appliance data feeds"):
        watch(feeds, folder)


def test_a_schedule_reads_the_source_again_when_it_is_due_and_once(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    source = drop(folder, "rows.csv", "a\n1\n")
    datasets.add("d", str(source), who="ann")
    declared = feeds.schedule("d", "0 6 * * *", who="ann")
    assert declared.next_at is not None
    assert (declared.next_at.hour, declared.next_at - declared.feed.declared_at <= timedelta(days=1)) == (6, True)
    feeds.run_due(declared.next_at - timedelta(minutes=1))
    assert find_status(settings.layout, "d") == FeedStatus()
    source.write_text("a\n1\n2\n")
    late = declared.next_at + timedelta(days=3)  # the host was off for three days
    feeds.run_due(late)
    feeds.run_due(late)
    assert [version.who for version in datasets.versions("d")] == ["schedule", "ann"]
    after = feeds.list()[0]
    assert after.status.message == "The source brought 2 rows; the newest version is 2."
    assert after.next_at == declared.next_at + timedelta(days=4)
    feeds.run_due(after.next_at)
    assert "did not change" in feeds.list()[0].status.message
    source.unlink()
    feeds.run_due(after.next_at + timedelta(days=1))
    status = feeds.list()[0].status
    assert (status.failed, "no file" in status.message) == (True, True)
    assert len(datasets.versions("d")) == 2


def test_a_damaged_feed_hides_no_other(feeds: Feeds, settings: Settings, datasets: Datasets, folder: Path) -> None:
    watch(feeds, folder)
    damaged = settings.layout.datasets / "c"
    damaged.mkdir()
    (damaged / "_feed.json").write_text("{")
    assert [info.dataset for info in feeds.list()] == ["d"]
    with pytest.raises(SourceUnreadable, match=r"_feed\.json cannot be read: .*; declare it again"):
        find_feed(settings.layout, "c")
    (settings.layout.datasets / "d" / "_feed_status.json").write_text("{")
    drop(folder, "1.csv", "a\n1\n")
    assert feeds.run_due(NOW)
    assert datasets.show("d").rows == 1
    assert Signs().look(settings.layout)


def test_what_goes_while_a_folder_is_looked_at_is_no_fault_of_the_folder(folder: Path) -> None:
    for name in ("a.csv", "b.csv", "inner/c.csv", "inner/d.csv"):
        drop(folder, name, "a\n1\n")
    looking = _below(folder, folder)
    first = next(looking)
    for path in (*folder.glob("*.csv"), *folder.glob("inner/*.csv")):
        if path != first.path:
            path.unlink()
    if first.path.parent == folder:
        (folder / "inner").rmdir()
    assert list(looking) == []


def test_the_signs_are_new_once(
    feeds: Feeds, settings: Settings, folder: Path, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = Signs()
    assert not signs.look(settings.layout)
    watch(feeds, folder)
    assert signs.look(settings.layout)
    assert not signs.look(settings.layout)
    file = drop(folder, "1.csv", "a\n1\n")
    os.utime(file, (1, 1))
    written = file.stat().st_ctime
    monkeypatch.setattr("appliance.feed_signs.time.time", lambda: written + 1.0)
    assert not signs.look(settings.layout), "changed a moment ago"
    monkeypatch.setattr("appliance.feed_signs.time.time", lambda: written + 2.1)
    assert signs.look(settings.layout)
    assert not signs.look(settings.layout)
    signs.forget()
    assert signs.look(settings.layout)
    datasets.add("e", str(folder / "1.csv"), who="ann")
    feeds.schedule("e", "* * * * *", who="ann")
    assert not signs.look(settings.layout)
    put_status(settings.layout, "e", FeedStatus(ran_at=datetime.now(UTC) - timedelta(minutes=5)))
    assert signs.look(settings.layout)
    assert not signs.look(settings.layout), "asked for, though not done yet"


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import storage.ingest
from appliance.house import open_appliance
from appliance.settings import Settings

step = sys.argv[2]
real = getattr(storage.ingest, step)

def die(*arguments):
    done = real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(storage.ingest, step, die)
open_appliance(Settings(state=Path(sys.argv[1]))).feeds.run_due(datetime(2030, 1, 1, tzinfo=UTC))
"""


@pytest.mark.parametrize(("step", "there"), [("_write_files", False), ("_commit", True)])
def test_a_file_is_taken_in_once_though_the_pass_is_killed_before_or_after_the_commit(
    feeds: Feeds, settings: Settings, datasets: Datasets, folder: Path, step: str, *, there: bool
) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a\n1\n")
    drop(folder, "2.csv", "a\n2\n")
    for round_ in (1, 2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(settings.state), step], check=False)
        assert done.returncode == -signal.SIGKILL
        assert len(datasets.list()) == int(there)
        if there:
            assert datasets.show("d").rows == round_
    feeds.run_due(NOW)
    assert datasets.preview("d").rows() == [(1,), (2,)]


def open_alerts(settings: Settings) -> list[tuple[str, str]]:
    with closing(connect(settings.layout.database)) as connection:
        return [(row.subject, row.message) for row in list_alerts(connection, open_only=True)]


def test_a_file_that_cannot_be_read_is_an_alert_until_it_can(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a,b\n1,2\n")
    drop(folder, "2.csv", "a,b\n1,2\n1,2,3\n")
    feeds.run_due(NOW)
    ((subject, message),) = open_alerts(settings)
    assert subject == "feed d"
    assert message.startswith(f"The folder {folder} brings no rows to the dataset 'd': 1 new of 2 files were appended.")
    assert "2.csv is no regular CSV: the header has 2 fields, but line 3 has 3; mend that line" in message
    feeds.run_due(NOW)
    assert open_alerts(settings) == [(subject, message)], "nothing new is told"
    drop(folder, "2.csv", "a,b\n3,4\n")
    feeds.run_due(NOW + timedelta(minutes=1))
    assert open_alerts(settings) == []
    assert datasets.show("d").rows == 2


def test_a_trouble_that_becomes_another_is_told_again(feeds: Feeds, settings: Settings, folder: Path) -> None:
    watch(feeds, folder)
    drop(folder, "1.csv", "a,b\n1,2\n1,2,3\n")
    feeds.run_due(NOW)
    before = open_alerts(settings)
    drop(folder, "1.csv", "")
    feeds.run_due(NOW + timedelta(minutes=1))
    (after,) = open_alerts(settings)
    assert [after] != before
    assert "1.csv is empty" in after[1]


def test_a_schedule_that_fails_is_an_alert_that_goes_with_the_feed(
    feeds: Feeds, datasets: Datasets, settings: Settings, folder: Path
) -> None:
    source = drop(folder, "x.csv", "a,b\n1,2\n")
    datasets.add("d", str(source), who="ann")
    feeds.schedule("d", "* * * * *", who="ann")
    source.unlink()
    feeds.run_due(NOW)
    ((subject, message),) = open_alerts(settings)
    assert subject == "feed d"
    assert message.startswith("The schedule * * * * * brings no rows to the dataset 'd': no file ")
    feeds.stop("d", who="ann")
    assert open_alerts(settings) == []


@pytest.mark.parametrize(
    ("refusal", "message"),
    [(503, "The source brought 2 rows; the newest version is 2."), (404, "the server answers 404 Not Found")],
)
def test_a_schedule_asks_a_server_again_that_cannot_now_and_no_other(
    feeds: Feeds, datasets: Datasets, site: Site, caplog: pytest.LogCaptureFixture, refusal: int, message: str
) -> None:
    url = site.put("/rows.csv", b"a\n1\n")
    datasets.add("d", url, who="ann")
    feeds.schedule("d", "* * * * *", who="ann")

    def refuse_once(handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(refusal)
        site.put("/rows.csv", b"a\n1\n2\n")

    site.pages["/rows.csv"] = refuse_once
    site.asked.clear()
    feeds.run_due(NOW)
    again = int(refusal == 503)
    assert len(site.asked) == 1 + again
    assert message in feeds.list()[0].status.message
    told = [line for line in caplog.messages if "this may pass: tried again in 1 s (attempt 2 of 4)" in line]
    assert len(told) == again


def test_an_alert_on_a_feed_names_the_dataset() -> None:
    alert = Alert(
        id=1, model="", subject="feed sales", state=State.WARN, message="", opened_at=NOW, closed_at=None,
        acknowledged_by=None,
    )  # fmt: skip
    assert (alert.about, alert.kind) == ("dataset sales", "feed")

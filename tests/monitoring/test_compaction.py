"""Segments become history exactly once, wherever the compaction is killed, and nobody sees the difference."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable

from appliance.compaction import Compacted, compact, tidy_history
from appliance.events import LabelEvent, PredictionEvent
from appliance.history import find_predictions, scan_labels
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.errors import StateUnwritable
from storage.eventlog import list_segments
from storage.history import scan_history, table_path, tidy
from storage.migrations import migrate
from storage.outcome_rows import scan_outcomes
from storage.stillness import compacting, standing_still
from storage.window_rows import read_cursors
from tests.monitoring.traffic import DAY_US, START_US, Traffic, encoded_rows, publish, regression_schema, training_frame
from tests.storage.conftest import SmallDisk

REQUESTS = 40


def write(traffic: Traffic, *, requests: int = REQUESTS, first_day: int = 0) -> list[str]:
    """Two segments a kind, over two days; a label for every second request."""
    rng = np.random.default_rng(0)
    tokens = []
    for i in range(requests):
        at = START_US + (first_day + i % 2) * DAY_US + i
        tokens.append(traffic.predict(encoded_rows(rng, 1 + i % 3), event_us=at))
        if i % 2:
            traffic.label(f"{tokens[-1]}.0", 1.5, label_us=at, at_us=at)
        if i == requests // 2:
            traffic.close()
    traffic.close()
    return tokens


def ids(settings: Settings, kind: str) -> list[str]:
    frame = scan_history(settings.layout, kind, models=["rent"])
    return [] if frame is None else frame.collect()["id"].to_list()


def events(settings: Settings, tokens: list[str]) -> dict[str, PredictionEvent]:
    return find_predictions(settings.layout, ["rent"], tokens)


def labels(settings: Settings) -> list[LabelEvent]:
    return sorted(scan_labels(settings.layout, "rent"), key=lambda label: label.id)


def segments(settings: Settings, kind: str) -> list[Path]:
    return list_segments(settings.layout.events / kind)


def test_readers_find_the_same_before_and_after(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    tokens = write(traffic)
    before = events(settings, tokens), labels(settings)
    assert len(before[0]) == REQUESTS
    watch_once(watch)
    assert compact(settings) == Compacted(segments=4, rows=REQUESTS + REQUESTS // 2)
    assert segments(settings, "predictions") == segments(settings, "labels") == []
    assert (events(settings, tokens), labels(settings)) == before
    assert read_cursors(watch.connection, "predictions") == {}
    assert watch_once(watch).idle
    assert compact(settings) == Compacted()


def test_a_label_that_comes_after_its_prediction_became_history_is_joined(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 2), event_us=START_US)
    traffic.close()
    watch_once(watch)
    assert compact(settings).segments == 1
    traffic.label(f"{token}.1", 3.5, label_us=START_US, at_us=START_US)
    assert watch_once(watch).labels == 1
    (outcome,) = scan_outcomes(watch.connection, "rent", first_us=0, last_us=2**60)
    assert (outcome.id, outcome.label) == (f"{token}.1", "3.5")


def test_every_field_of_an_event_survives(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    values = [0.1 + 0.2, -0.0, 1e308, 5e-324, float("nan"), 2.0]
    listed = PredictionEvent(
        id="0190000000007aaa", t=START_US + 7, at=START_US, m="rent", v=3, n=2, x=[*values[:4], None, 2.0],
        y=[1 / 3, 2.0], us=12, d="v2", r="canary", u=[(1, 0, "a 'new' one"), (0, 1, "é")], k="customer 7",
    )  # fmt: skip
    packed = msgspec.structs.replace(
        listed, id="0190000000007bbb", x=base64.b64encode(np.array(values, "<f8").tobytes()).decode(), u=[], k=None
    )
    for event in (listed, packed):
        traffic.write("predictions", msgspec.json.encode(event))
    text = LabelEvent(id="a.0", m="rent", l="yes", t=1, at=START_US)
    number = LabelEvent(id="b.0", m="rent", l=0.1 + 0.2, t=2, at=START_US)
    for label in (text, number):
        traffic.write("labels", msgspec.json.encode(label))
    traffic.close()
    watch_once(watch)
    compact(settings)
    unpacked = msgspec.structs.replace(packed, x=listed.x)
    assert events(settings, [listed.id, packed.id]) == {listed.id: listed, packed.id: unpacked}
    assert repr(events(settings, [listed.id])[listed.id].x) == repr(listed.x)
    assert labels(settings) == [text, number]


def test_only_what_is_closed_and_counted_moves(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    watch_once(watch)
    assert compact(settings) == Compacted()  # still being written
    traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    traffic.close()
    assert compact(settings) == Compacted()  # not counted to its end
    watch_once(watch)
    assert compact(settings) == Compacted(segments=1, rows=2)


def test_refusals_that_were_counted_are_removed_at_once_and_stay_counted(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    def refused() -> int:
        return Monitoring(settings).latency("rent", DAY_US // 10**6).total.errors

    traffic.refuse(at_us=START_US, status=422, count=3)
    traffic.close()
    assert compact(settings) == Compacted()
    assert len(segments(settings, "stats")) == 1, "not counted yet"
    watch_once(watch)
    traffic.refuse(at_us=START_US, status=422, count=4)
    watch_once(watch)
    assert refused() == 7
    assert compact(settings.model_copy(update={"history_days": 0})) == Compacted()
    (left,) = segments(settings, "stats")
    assert read_cursors(watch.connection, "stats") == {left.name: left.stat().st_size}, "that one is being written"
    traffic.close()
    compact(settings)
    assert (segments(settings, "stats"), read_cursors(watch.connection, "stats"), refused()) == ([], {}, 7)
    assert watch_once(watch).idle


def test_lines_that_are_no_records_are_counted_and_kept(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    traffic.write("predictions", b'{"id":"x","no":"event"}')
    traffic.close()
    (segment,) = segments(settings, "predictions")
    with segment.open("ab") as file:
        file.write(b'{"id":"torn by a pow')
    watch_once(watch)
    assert compact(settings) == Compacted()
    old = segment.stat().st_mtime - 3600
    os.utime(segment, (old, old))  # a torn end is given up after a minute
    watch_once(watch)
    assert compact(settings) == Compacted(segments=1, rows=1, rejected=2)
    (kept,) = (settings.layout.history / "rejected").iterdir()
    assert kept.read_bytes() == b'{"id":"x","no":"event"}\n{"id":"torn by a pow\n'


def test_sigkill_after_any_step_neither_loses_nor_repeats_a_record(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    tokens = write(traffic)
    before = events(settings, tokens), labels(settings)
    watch_once(watch)
    killed = 0
    for step in (1, 2, 3, 4, 5, 3, 4, 5, 3, 4, 2, 3, 4, 5):
        child = subprocess.run(
            [sys.executable, "-m", "tests.monitoring.compacting_child", str(settings.state), "compact", str(step)],
            check=False,
        )
        assert child.returncode in {0, -signal.SIGKILL}
        killed += child.returncode != 0
        found = labels(settings)
        assert events(settings, tokens) == before[0]
        assert sorted({label.id: label for label in found}) == [label.id for label in before[1]]
        assert len(set(ids(settings, "predictions"))) == len(ids(settings, "predictions"))
    compact(settings)
    assert killed >= 8
    assert sorted(ids(settings, "predictions")) == sorted(tokens)
    assert labels(settings) == before[1]
    assert segments(settings, "predictions") == segments(settings, "labels") == []
    assert watch_once(watch).idle


def test_a_full_disk_leaves_the_segment_where_it_is(small_disk: SmallDisk) -> None:
    settings = Settings(state=small_disk.path / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    publish(settings, regression_schema(), training_frame(200))
    traffic = Traffic(settings)
    tokens = write(traffic)
    watch = Watch(settings.layout)
    watch_once(watch)
    before = events(settings, tokens)
    ballast = small_disk.fill()
    with pytest.raises(StateUnwritable, match=r"cannot write the history of predictions .*stays in the event log"):
        compact(settings)
    assert events(settings, tokens) == before
    assert not list(settings.layout.history.rglob("*.parquet"))
    ballast.unlink()
    assert compact(settings).segments == 4
    assert events(settings, tokens) == before
    watch.close()


def test_small_files_of_finished_days_are_merged_and_old_days_go(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    tokens = []
    for _ in range(5):
        tokens += write(traffic, requests=4)
        watch_once(watch)
        compact(settings)
    tidy_history(settings.model_copy(update={"history_days": 0}))
    table = DeltaTable(table_path(settings.layout, "predictions"))
    assert len(table.file_uris()) == 2
    assert len(events(settings, tokens)) == 20
    second_day = (datetime(2026, 3, 3, tzinfo=UTC) + timedelta(days=10)).date()
    tidy(settings.layout, "predictions", today=second_day, keep_days=10, grace_h=0)
    frame = scan_history(settings.layout, "predictions", models=["rent"])
    assert frame is not None
    assert frame.select(pl.col("arrived").dt.date().unique()).collect()["arrived"].to_list() == [
        second_day - timedelta(10)
    ]
    assert len(events(settings, tokens)) == 10
    folder = table_path(settings.layout, "predictions")
    assert len(list(folder.rglob("*.parquet"))) == 1  # what no commit names any more is gone


def test_a_compaction_gives_way_after_its_segment_to_who_waits_for_it(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    write(traffic)
    watch_once(watch)
    left, waits = [], threading.Event()

    def stand_still() -> None:
        with standing_still(settings.layout, waiting=lambda _: waits.set()):
            left.append(len(segments(settings, "predictions") + segments(settings, "labels")))

    waiter = threading.Thread(target=stand_still)

    def step(name: str) -> None:
        if name == "committed" and not waits.is_set():
            waiter.start()
            waits.wait()

    assert compact(settings, step=step).segments == 1
    waiter.join()
    assert left == [3]
    assert compact(settings).segments == 3
    assert tidy_history(settings)


def test_it_gives_way_in_the_middle_of_a_segment_and_leaves_nothing_of_it(
    settings: Settings, traffic: Traffic, watch: Watch
) -> None:
    tokens = write(traffic)
    watch_once(watch)
    waits = threading.Event()
    found = []

    def stand_still() -> None:
        with standing_still(settings.layout, waiting=lambda _: waits.set()):
            found.extend([ids(settings, "predictions"), len(segments(settings, "predictions"))])

    waiter = threading.Thread(target=stand_still)

    def step(name: str) -> None:
        if name == "half of the files written" and not waits.is_set():
            waiter.start()
            waits.wait()

    assert compact(settings, step=step, chunk_bytes=1000) == Compacted()
    waiter.join()
    assert found == [[], 2]
    assert not list(table_path(settings.layout, "predictions").rglob("*.parquet"))
    assert compact(settings, chunk_bytes=1000) == Compacted(segments=4, rows=REQUESTS + REQUESTS // 2)
    assert len(events(settings, tokens)) == REQUESTS


def test_tidying_gives_way_too(settings: Settings, traffic: Traffic, watch: Watch) -> None:
    for _ in range(5):
        write(traffic, requests=4)
        watch_once(watch)
        compact(settings)
    later = datetime(2026, 3, 9, tzinfo=UTC).date()
    assert not tidy(settings.layout, "predictions", today=later, keep_days=0, is_wanted=lambda: True)
    assert tidy(settings.layout, "predictions", today=later, keep_days=0)


def test_who_waits_for_a_compaction_that_does_not_end_is_told(settings: Settings) -> None:
    with (
        compacting(settings.layout) as is_wanted,
        pytest.raises(StateUnwritable, match=r"did not let go of .*compaction\.lock within 0 s"),
        standing_still(settings.layout, wait_s=0),
    ):
        pass
    assert not is_wanted()

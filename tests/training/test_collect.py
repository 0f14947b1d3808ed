"""Labelled predictions become rows exactly once: also when corrected, repeated, or killed half-way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from appliance.compaction import Compacted, compact
from appliance.house import Appliance
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Kind
from appliance.training import collect
from appliance.training.collect import collect_labelled
from appliance.training.job import TrainingOrder, run_training
from storage.datasets import IngestInfo, list_snapshots, read_snapshot
from storage.ingest import ingest
from storage.statedb import connect
from tests.training.rows import Remembered, made_up, spec
from tests.training.state import START, Traffic, add, new_appliance, train_now
from tests.training.test_features import hourly

ROW: dict[str, object] = {"x": 1.5, "noise": None, "color": "red", "on": True}


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    house = new_appliance(tmp_path / "state")
    hours = pl.Series("at", [datetime(2029, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(200)])
    add(house, "data", made_up(200).with_columns(hours, pl.int_range(pl.len()).alias("after")))
    train_now(house, spec("y", exclude=("after",), rounds=20))
    return house


@pytest.fixture
def traffic(house: Appliance) -> Iterator[Traffic]:
    traffic = Traffic(house, "model")
    yield traffic
    traffic.close()


def collected(house: Appliance) -> pl.DataFrame:
    """What was appended to the 200 rows."""
    return read_snapshot(house.settings.layout, "data").slice(200)


def test_raw_values_come_back_with_the_event_time_and_nulls_for_what_was_excluded(
    house: Appliance, traffic: Traffic
) -> None:
    first, second = traffic.predict([ROW, {**ROW, "color": "mauve", "on": None}])
    traffic.label(first, 4.25)
    traffic.label(second, 5)
    found = collect_labelled(house.settings, "model", who="test")
    assert (found.rows, found.dataset_version, dict(found.skipped)) == (2, 2, {"the prediction is not in the log": 0})
    known = {"x": 1.5, "noise": None, "after": None}
    first_at, second_at = START + timedelta(minutes=1), START + timedelta(minutes=2)
    assert collected(house).to_dicts() == [
        {**known, "color": "red", "on": True, "y": 4.25, "at": first_at},
        {**known, "color": "mauve", "on": None, "y": 5.0, "at": second_at},
    ]


def test_a_datetime_that_is_an_input_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", hourly(300))
    train_now(house, spec("sold", time="at", columns={"at": Kind.DATETIME}, rounds=20))
    with closing(Traffic(house, "model")) as traffic:
        sent, missing = traffic.predict(
            [{"at": "2031-05-05T09:00:00Z", "noise": 0.5}, {"at": None, "noise": 0.5}]
        )  # fmt: skip
        traffic.label(sent, 1.0)
        traffic.label(missing, 2.0)
    assert collect_labelled(house.settings, "model", who="test").rows == 2
    added = read_snapshot(house.settings.layout, "data").slice(300)
    assert added["at"].to_list() == [datetime(2031, 5, 5, 9, tzinfo=UTC), START + timedelta(minutes=2)]


HOURS = [datetime(2029, 1, 1, tzinfo=UTC) + timedelta(hours=at) for at in range(300)]
TWO_DATES = {"at": pl.Series(HOURS), "paid": pl.Series([one.date() for one in HOURS])}
TEXTS = {"at": pl.Series([f"{one:%Y-%m-%d %H:%M:%S}" for one in HOURS])}


@pytest.mark.parametrize(
    ("dates", "added"),
    [
        (TWO_DATES, [START + timedelta(minutes=1 + at) for at in range(90)]),
        (TEXTS, [(START + timedelta(minutes=1 + at)).isoformat() for at in range(90)]),
    ],
)
def test_a_time_column_that_was_inferred_gets_the_event_time_and_the_newest_rows_are_held_out(
    tmp_path: Path, dates: dict[str, pl.Series], added: list[object]
) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up(300).with_columns(**dates))
    train_now(house, spec("y", rounds=5))
    with closing(Traffic(house, "model")) as traffic:
        assert traffic.schema.time_column == "at"
        for prediction in traffic.predict([{**ROW, "paid": "2030-01-01T00:00:00Z"}] * 90):
            traffic.label(prediction, 1.0)
    assert collect_labelled(house.settings, "model", who="test").rows == 90
    assert read_snapshot(house.settings.layout, "data").slice(300)["at"].to_list() == added
    report = run_training(house.settings, TrainingOrder(model="model", who="test"), Remembered())
    card = house.models.card("model", report.version)
    assert (card.rows, card.rows_holdout) == (390, 78)
    assert "by time: the 78 rows from 2030-01-01 00:13:00" in card.split  # minutes 13 to 90: of the 90, the newest


def test_a_label_is_never_collected_twice(house: Appliance, traffic: Traffic) -> None:
    ids = traffic.predict([ROW] * 6)
    for prediction in ids[:3]:
        traffic.label(prediction, 1.0)
    assert collect_labelled(house.settings, "model", who="test").rows == 3
    again = collect_labelled(house.settings, "model", who="test")
    assert (again.rows, again.dataset_version) == (0, 2)
    assert "no new labelled predictions" in again.sentence
    for prediction in ids:
        traffic.label(prediction, 2.0)
    assert collect_labelled(house.settings, "model", who="test").rows == 3
    assert collected(house)["y"].to_list() == [1.0] * 3 + [2.0] * 3


def test_the_newest_label_of_a_prediction_counts(house: Appliance, traffic: Traffic) -> None:
    (prediction,) = traffic.predict([ROW])
    for label in (1.0, 7.0, 3.0):
        traffic.label(prediction, label)
    collect_labelled(house.settings, "model", who="test")
    assert collected(house)["y"].to_list() == [3.0]


def test_labels_of_other_models_and_of_no_prediction_are_left(house: Appliance, traffic: Traffic) -> None:
    traffic.label("nobody.0", 1.0)
    found = collect_labelled(house.settings, "model", who="test")
    assert (found.rows, dict(found.skipped)) == (0, {"the prediction is not in the log": 1})
    assert "1 left out: the prediction is not in the log" in found.sentence


def test_a_label_that_is_no_class_stays_out_until_it_is_corrected(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    words = pl.Series("kind", ["yes", "no"] * 100)
    add(house, "data", made_up(200).drop("y").with_columns(words))
    train_now(house, spec("kind", rounds=20))
    traffic = Traffic(house, "model")
    good, odd, new = traffic.predict([ROW] * 3)
    for prediction, label in ((good, "yes"), (odd, "Yes"), (new, "perhaps")):
        traffic.label(prediction, label)
    found = collect_labelled(house.settings, "model", who="test")
    assert found.rows == 1
    assert "2 left out: the label is none of the model's classes or the dataset's" in found.sentence
    assert "'Yes'" in found.sentence
    assert "'perhaps'" in found.sentence

    taught = made_up(30, seed=2).drop("y").with_columns(pl.lit("perhaps").alias("kind"))
    ingest(house.settings.layout, "data", taught, append=True, info=IngestInfo(who="test", source="by hand"))
    traffic.label(odd, "no")
    traffic.close()
    assert collect_labelled(house.settings, "model", who="test").rows == 2
    assert read_snapshot(house.settings.layout, "data")["kind"].to_list()[200:] == [
        "yes", *["perhaps"] * 30, "no", "perhaps"
    ]  # fmt: skip


class KilledError(Exception):
    """Stands for the end of the process at that line."""


def test_killed_before_the_rows_were_written(
    house: Appliance, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prediction,) = traffic.predict([ROW])
    traffic.label(prediction, 1.0)

    def die(*_args: object, **_named: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(collect, "ingest", die)
        with pytest.raises(KilledError):
            collect_labelled(house.settings, "model", who="test")
    assert len(collected(house)) == 0
    assert collect_labelled(house.settings, "model", who="test").rows == 1
    assert len(collected(house)) == 1


def test_killed_after_the_rows_were_written(
    house: Appliance, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prediction,) = traffic.predict([ROW])
    traffic.label(prediction, 1.0)

    def die(*_args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(collect, "confirm_collection", die)
        with pytest.raises(KilledError):
            collect_labelled(house.settings, "model", who="test")
    assert len(collected(house)) == 1
    # Somebody else's snapshot behind it must not hide that ours is there.
    info = IngestInfo(who="test", source="later")
    ingest(house.settings.layout, "data", read_snapshot(house.settings.layout, "data").head(1), append=True, info=info)
    assert collect_labelled(house.settings, "model", who="test").rows == 0
    assert len(collected(house)) == 2
    with closing(connect(house.settings.layout.database)) as connection:
        versions = connection.execute("SELECT dataset_version FROM collections").fetchall()
    assert [row[0] for row in versions] == [2]
    assert len(list_snapshots(house.settings.layout, "data")) == 3


def test_rows_are_collected_from_the_history_as_from_the_log(house: Appliance, traffic: Traffic) -> None:
    ids = traffic.predict([{**ROW, "x": float(i)} for i in range(6)])
    for i, one in enumerate(ids):
        traffic.label(one, i)
    traffic.close()
    found = watch_and_compact(house)
    assert (found.segments, found.rows) == (2, 12)
    (late,) = traffic.predict([ROW])
    traffic.label(late, 6)
    traffic.label(ids[0], 70)  # corrected after both became history
    assert collect_labelled(house.settings, "model", who="test").rows == 7
    assert collected(house)["y"].sort().to_list() == [1, 2, 3, 4, 5, 6, 70]
    assert sorted(collected(house)["x"].to_list()) == [0, 1, 1.5, 2, 3, 4, 5]


def watch_and_compact(house: Appliance) -> Compacted:
    watch = Watch(house.settings.layout)
    watch_once(watch)
    watch.close()
    return compact(house.settings)

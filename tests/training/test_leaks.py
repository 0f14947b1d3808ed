"""Which columns of real and made tables a person is asked about; the ingest and a training ask about the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.leak_suspects import find_suspects
from appliance.schema import Task
from appliance.training.prepare import prepare
from appliance.training.propose import MOST_ROWS, propose_spec, sample_rows
from storage.datasets import get_snapshot, scan_snapshot
from tests.training.rows import DATA, adults, bikes, penguins, spec
from tests.training.state import add, new_appliance

ROWS = 4_000


def asked(frame: pl.DataFrame, target: str, task: Task | None = None) -> dict[str, str]:
    """The sign of each column that is asked about, at the ingest; a training asks about the same columns."""
    found = {one.column: one.sign for one in find_suspects(frame.lazy(), target, len(frame))}
    codes = {"leak", "leak_suspect"}
    warned = {one.column for one in prepare(spec(target, task=task), frame).warnings if one.code in codes}
    assert warned == set(found)
    assert set(propose_spec(spec(target, task=task), frame).suspects) == set(found)
    return dict(found)


def flights() -> pl.DataFrame:
    return pl.read_parquet(DATA / "flights.parquet")


def messages(frame: pl.DataFrame, target: str) -> dict[str | None, str]:
    return {one.column: one.message for one in prepare(spec(target), frame).warnings}


@pytest.mark.parametrize(
    ("frame", "target"),
    [(adults(), "income"), (penguins(), "species"), (bikes().drop("registered"), "cnt"),
     (flights().drop("dep_delay", "arr_delay", "air_time"), "delayed_15"), (flights().drop("sched_dep_ts"), "temp")],
)  # fmt: skip
def test_real_tables_keep_their_inputs(frame: pl.DataFrame, target: str) -> None:
    assert asked(frame, target) == {}


def test_what_is_known_of_some_rows_only_is_asked_about() -> None:
    """Rows collected from traffic lack the columns that are no inputs, as the demo's second dataset version does."""
    half = pl.int_range(pl.len()) < pl.len() // 2
    frame = bikes().with_columns(pl.when(half).then("registered").alias("registered"))
    assert asked(frame, "cnt") == {"registered": "value"}
    told = messages(frame, "cnt")["registered"]
    assert told.startswith("'registered' alone predicts 'cnt' with R2 0.95 in the 50% of the rows that have it: is it")


def test_whether_a_value_is_there_can_tell_the_answer() -> None:
    noise = np.random.default_rng(3)
    gone = noise.random(ROWS) < 0.02
    told = pl.Series([f"customer wrote letter {at}" if is_gone else None for at, is_gone in enumerate(gone)])
    frame = pl.DataFrame(
        {
            "gone": gone, "x": noise.normal(size=ROWS), "reason": told,
            "cancelled_days": pl.Series(noise.integers(1, 900, ROWS)).set(pl.Series(~gone), None),
            "phone": pl.Series(noise.normal(size=ROWS)).set(pl.Series(noise.random(ROWS) < 0.3), None),
        }
    )  # fmt: skip
    found = {one.column: one.sign for one in find_suspects(frame.lazy(), "gone", ROWS)}
    assert found == {"reason": "missing", "cancelled_days": "missing"}
    assert messages(frame, "gone")["cancelled_days"].startswith(
        "whether 'cancelled_days' is missing alone predicts 'gone' with AUC 1.00: is it really known"
    )


@pytest.mark.parametrize(("target", "others"), [("arr_delay", "delayed_15"), ("delayed_15", "arr_delay")])
def test_what_comes_with_the_target_is_asked_about(target: str, others: str) -> None:
    """A flight's delay at departure and time in the air are missing where its arrival is; nothing else is."""
    found = asked(flights(), target, Task.REGRESSION if target == "arr_delay" else None)
    assert set(found) == {"dep_delay", "air_time", others}
    assert found["air_time"] == "together"
    told = messages(flights(), "arr_delay")["air_time"]
    assert told.startswith("'air_time' is missing where 'arr_delay' is (of the rows that lack either, 100% lack both)")


def test_an_earlier_measure_of_the_target_is_asked_about() -> None:
    """Also where the rows without a target were left out before."""
    landed = flights().drop_nulls("arr_delay")
    assert asked(landed, "arr_delay", Task.REGRESSION) == {"dep_delay": "alike"}
    assert (
        "'dep_delay' but for an offset alone predicts 'arr_delay' with R2 0.8"
        in messages(landed, "arr_delay")["dep_delay"]
    )
    minutes = landed.with_columns(pl.col("dep_delay") * 60)  # on another scale it is an input like others
    assert asked(minutes, "arr_delay", Task.REGRESSION) == {}


def test_rows_that_are_empty_say_nothing_about_their_columns() -> None:
    noise = np.random.default_rng(4)
    frame = pl.DataFrame({name: noise.normal(size=ROWS) for name in "yabcd"})
    empty = pl.Series(noise.random(ROWS) < 0.1)
    frame = frame.with_columns(pl.when(~empty).then(name).alias(name) for name in "yabc")
    assert asked(frame, "y") == {}


def test_of_a_rare_class_a_good_input_is_no_leak() -> None:
    noise = np.random.default_rng(5)
    load = noise.normal(size=20_000)
    fails = noise.random(20_000) < 0.3 / (1 + np.exp(5 - 2 * load))
    seen = fails ^ (noise.random(20_000) < 0.002)
    frame = pl.DataFrame({"fails": fails, "load": load, "seen": seen, "x": noise.normal(size=20_000)})
    assert asked(frame, "fails") == {"seen": "value"}


@pytest.mark.parametrize("ones", [3, 12, 50])
def test_chance_in_few_rows_asks_nothing(ones: int) -> None:
    noise = np.random.default_rng(6)
    is_one = np.arange(ROWS) < ones
    frame = pl.DataFrame(
        {"y": is_one[noise.permutation(ROWS)]}
        | {f"x{at}": pl.Series(noise.normal(size=ROWS)).set(pl.Series(noise.random(ROWS) < 0.97), None)
           for at in range(20)}
        | {f"t{at}": noise.choice([f"level {n}" for n in range(300)], ROWS) for at in range(5)}
    )  # fmt: skip
    assert asked(frame, "y") == {}


@pytest.mark.parametrize("words", [("yes", "no"), ("True", "False"), ("Y", "N"), ("1", "0"), (True, False), (1.0, 0.0)])
def test_the_target_in_other_words_is_the_target(words: tuple[object, object]) -> None:
    truth = np.random.default_rng(4).random(200) < 0.4
    frame = pl.DataFrame({"x": truth + np.random.default_rng(5).normal(size=200), "y": truth.astype(int)})
    frame = frame.with_columns(pl.Series("said", [words[0] if one else words[1] for one in truth], strict=False))
    with pytest.raises(BadTable, match="'said' equals the target 'y' in every row"):
        prepare(spec("y"), frame)
    assert propose_spec(spec("y"), frame).spec.exclude == ("said",)
    mostly = frame.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise("said").alias("said"))
    assert "said" in {column.name for column in prepare(spec("y"), mostly).plan.columns}


def test_a_proposal_for_many_rows_looks_at_as_many_as_without_holding_the_others(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "state")
    rows = 3 * MOST_ROWS + 7
    add(house, "data", pl.DataFrame({"x": np.arange(rows) % 97, "y": np.arange(rows) % 97 * 2.0 + 0.5}))
    snapshot = get_snapshot(house.settings.layout, "data")
    found = sample_rows(scan_snapshot(house.settings.layout, "data"), snapshot.rows)
    assert found["x"].to_list() == [at % 97 for at in range(0, rows, 4)]
    assert house.models.complete(spec("y")).spec.task is Task.REGRESSION

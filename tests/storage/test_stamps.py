"""Whatever changes the labels of a day changes that day's stamp, and no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from storage.outcome_rows import DAY_US, Outcome, Put, put_outcome, remove_old_outcomes
from storage.stamp_rows import Stamped, read_stamps

ONE = Outcome(
    id="a.0", model="m", version=1, variant="champion", event_us=5 * DAY_US + 7, output="[1.0]", label="1.0",
    label_us=0, arrived_us=0,
)  # fmt: skip
DAYS = {
    "same day": replace(ONE, id="b.0", event_us=5 * DAY_US + 9),
    "day after": replace(ONE, id="c.0", event_us=6 * DAY_US),
    "other version": replace(ONE, id="d.0", version=2),
    "other model": replace(ONE, id="e.0", model="n"),
}


def stamps(db: sqlite3.Connection) -> dict[tuple[str, int, int], int]:
    return {
        (model, day, version): stamp
        for model in ("m", "n")
        for (day, version), stamp in read_stamps(db, Stamped.LABELS, model, first=-999, last=999).items()
    }


@pytest.fixture
def filled(db: sqlite3.Connection) -> sqlite3.Connection:
    for outcome in (ONE, *DAYS.values()):
        assert put_outcome(db, outcome) is Put.NEW
    return db


def add(db: sqlite3.Connection) -> None:
    assert put_outcome(db, replace(ONE, id="f.0")) is Put.NEW


def correct(db: sqlite3.Connection) -> None:
    assert put_outcome(db, replace(ONE, label="2.0")) is Put.REVISED


def retire(db: sqlite3.Connection) -> None:
    assert remove_old_outcomes(db, "m", before_us=6 * DAY_US) == 3


@pytest.mark.parametrize(
    ("change", "changed"),
    [(add, {("m", 5, 1)}), (correct, {("m", 5, 1)}), (retire, {("m", 5, 1), ("m", 5, 2)})],
)
def test_a_change_of_labels(
    filled: sqlite3.Connection, change: Callable[[sqlite3.Connection], None], changed: set[tuple[str, int, int]]
) -> None:
    before = stamps(filled)
    assert set(before) == {("m", 5, 1), ("m", 6, 1), ("m", 5, 2), ("n", 5, 1)}
    change(filled)
    after = stamps(filled)
    assert {key for key, stamp in after.items() if before.get(key) != stamp} == changed


def test_a_label_that_is_told_again_changes_nothing(filled: sqlite3.Connection) -> None:
    before = stamps(filled)
    assert put_outcome(filled, ONE) is Put.SAME
    filled.execute("INSERT OR IGNORE INTO outcomes SELECT * FROM outcomes")
    assert stamps(filled) == before


def test_a_write_that_is_taken_back_leaves_the_stamp(filled: sqlite3.Connection) -> None:
    before = stamps(filled)
    filled.execute("BEGIN IMMEDIATE")
    correct(filled)
    assert stamps(filled) != before
    filled.execute("ROLLBACK")
    assert stamps(filled) == before


def test_the_days_before_1970_are_told_apart(db: sqlite3.Connection) -> None:
    for at, moment in enumerate((-1, -DAY_US, -DAY_US - 1, 0)):
        put_outcome(db, replace(ONE, id=str(at), event_us=moment))
    assert sorted(day for _, day, _ in stamps(db)) == [-2, -1, 0]
    assert list(read_stamps(db, Stamped.LABELS, "m", first=-1, last=-1)) == [(-1, 1)]

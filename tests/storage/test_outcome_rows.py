"""Labels written together are what they are when each is written by itself, and all of them are there or none."""

from __future__ import annotations

import sqlite3
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from storage.migrations import migrate
from storage.outcome_rows import (
    DAY_US,
    Outcome,
    Put,
    find_outcome,
    labelled_by_day,
    outcome_history,
    put_outcome,
    put_outcomes,
)
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import connect

ONE = Outcome(
    id="b.0", model="m", version=1, variant="champion", event_us=5 * DAY_US + 7, output="[1.0]", label="1.0",
    label_us=0, arrived_us=0, cells=b"\x01\xff",
)  # fmt: skip
TOLD = [
    ONE,
    ONE,
    replace(ONE, label="2.0", arrived_us=1),
    replace(ONE, id="a.0", event_us=-1),
    replace(ONE, id="a.0-shadow.0", variant="shadow", version=2),
    replace(ONE, label="3.0", arrived_us=2),
    replace(ONE, id="c.0", model="n"),
    replace(ONE, id="known.0", label="2.0", arrived_us=3),
    replace(ONE, id="known.0", label="2.0", arrived_us=4),
    replace(ONE, id="known.0", label="0.0", arrived_us=1),
    replace(ONE, id="d.0", arrived_us=9),
    replace(ONE, id="d.0", label="2.0", arrived_us=8),
]
PUTS = [
    Put.NEW, Put.SAME, Put.REVISED, Put.NEW, Put.NEW, Put.REVISED, Put.NEW, Put.REVISED, Put.SAME, Put.OVERTAKEN,
    Put.NEW, Put.OVERTAKEN,
]  # fmt: skip


def tables(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    found = [
        connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        for table in ("outcomes", "outcome_history", "outcome_days")
    ]
    stamped = connection.execute("SELECT kind, model, shadow, block, version FROM stamps").fetchall()
    return [[tuple(row) for row in rows] for rows in (*found, stamped)]


def test_labels_written_together(tmp_path: Path) -> None:
    found = []
    for name in ("one by one", "together"):
        migrate(tmp_path / name)
        connection = connect(tmp_path / name)
        assert put_outcome(connection, replace(ONE, id="known.0")) is Put.NEW
        if name == "together":
            assert put_outcomes(connection, TOLD) == PUTS
        else:
            assert [put_outcome(connection, outcome) for outcome in TOLD] == PUTS
        found.append(tables(connection))
        connection.close()
    assert found[0] == found[1]
    outcomes, history, days, stamps = found[0]
    assert (len(outcomes), len(history), len(stamps)) == (6, 5, 4)
    assert sum(int(str(row[-1])) for row in days) == 6


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_last_label_to_arrive_counts_in_whatever_order_they_are_read(
    db: sqlite3.Connection, order: tuple[int, ...], together: bool
) -> None:
    told = [replace(ONE, label=f"{number}.0", label_us=9 - number, arrived_us=10 * number) for number in range(4)]
    said = [told[number] for number in order]
    if together:
        put_outcomes(db, said)
    else:
        for outcome in said:
            put_outcome(db, outcome)
    assert find_outcome(db, ONE.id) == told[3]
    assert outcome_history(db, ONE.id) == [(one.label, one.label_us, one.arrived_us) for one in told[:3]]
    assert labelled_by_day(db, "m", first_day=0, last_day=9) == {(5, 1): 1}


def test_an_overtaken_label_changes_no_stamp_and_is_noted_once(db: sqlite3.Connection) -> None:
    put_outcome(db, replace(ONE, arrived_us=5))
    before = read_stamps(db, Stamped.LABELS, "m", first=0, last=9)
    late = replace(ONE, label="2.0", arrived_us=4)
    assert [put_outcome(db, late) for _ in range(2)] == [Put.OVERTAKEN, Put.OVERTAKEN]
    assert outcome_history(db, ONE.id) == [("2.0", 0, 4)]
    assert read_stamps(db, Stamped.LABELS, "m", first=0, last=9) == before


def test_labels_written_together_are_all_there_or_none(db: sqlite3.Connection) -> None:
    before = tables(db)
    with pytest.raises(sqlite3.IntegrityError):
        put_outcomes(db, [*TOLD, replace(ONE, label=None)])
    assert tables(db) == before
    assert put_outcomes(db, []) == []

"""Labels written together are what they are when each is written by itself, and all of them are there or none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from storage.migrations import migrate
from storage.outcome_rows import DAY_US, Outcome, Put, put_outcome, put_outcomes
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
]
PUTS = [Put.NEW, Put.SAME, Put.REVISED, Put.NEW, Put.NEW, Put.REVISED, Put.NEW, Put.REVISED, Put.SAME]


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
    assert (len(outcomes), len(history), len(stamps)) == (5, 3, 4)
    assert sum(int(str(row[-1])) for row in days) == 5


def test_labels_written_together_are_all_there_or_none(db: sqlite3.Connection) -> None:
    before = tables(db)
    with pytest.raises(sqlite3.IntegrityError):
        put_outcomes(db, [*TOLD, replace(ONE, label=None)])
    assert tables(db) == before
    assert put_outcomes(db, []) == []

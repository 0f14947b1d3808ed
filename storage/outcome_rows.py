"""The tables of labels that came: one outcome a prediction, and what each said before it was corrected."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from storage.statedb import transaction


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A prediction and its truth; times are microseconds since 1970, UTC.

    A struct, because a chunk of labels makes tens of thousands: a frozen dataclass takes five times as long to make.

    Attributes:
        variant: champion, canary, direct or shadow.
        event_us: The prediction's event time.
        output: The prediction's outputs, a JSON array.
        label: The number or the class.
        label_us: When the truth was known.
        arrived_us: When it was told.
        cells: The bin of each input column of the version's reference, a byte each, then those of its protected columns
            that are no inputs; empty where nothing is known.
    """

    id: str
    model: str
    version: int
    variant: str
    event_us: int
    output: str
    label: str
    label_us: int
    arrived_us: int
    cells: bytes = b""


_SELECT = f"SELECT {', '.join(Outcome.__struct_fields__)} FROM outcomes"  # noqa: S608
_INSERT = (
    f"INSERT INTO outcomes ({', '.join(Outcome.__struct_fields__)}) "  # noqa: S608
    f"VALUES ({', '.join('?' for _ in Outcome.__struct_fields__)})"
)


class Put(StrEnum):
    """What writing an outcome did."""

    NEW = "new"
    REVISED = "revised"
    SAME = "same"
    OVERTAKEN = "overtaken"
    """A label that arrived later had been written before; this one is part of what was said earlier."""


DAY_US = 86_400_000_000
READ_ROWS = 10_000
"""Labelled rows that are read at a time."""


def put_outcome(connection: sqlite3.Connection, outcome: Outcome) -> Put:
    """Write a label; of different ones for a prediction the last to arrive counts, the others go to the history.

    In whatever order they are written: each worker of the API has a log of its own, and they are read one by one. A
    label that repeats the one that counts is not noted, nor when it arrived.
    """
    found = connection.execute(
        "SELECT label, label_us, arrived_us, revision FROM outcomes WHERE id = ?", (outcome.id,)
    ).fetchone()
    if found is None:
        _insert(connection, [outcome])
        return Put.NEW
    if found["label"] == outcome.label and found["label_us"] == outcome.label_us:
        return Put.SAME
    if outcome.arrived_us < found["arrived_us"]:
        _put_overtaken(connection, outcome)
        return Put.OVERTAKEN
    connection.execute(
        "INSERT INTO outcome_history (id, revision, label, label_us, arrived_us) VALUES (?, ?, ?, ?, ?)",
        (outcome.id, found["revision"], found["label"], found["label_us"], found["arrived_us"]),
    )
    connection.execute(
        "UPDATE outcomes SET label = ?, label_us = ?, arrived_us = ?, revision = revision + 1 WHERE id = ?",
        (outcome.label, outcome.label_us, outcome.arrived_us, outcome.id),
    )
    return Put.REVISED


def put_outcomes(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> list[Put]:
    """Write labels as ``put_outcome`` does one after the other, all or none; first labels take two thirds of the time.

    Returns:
        What writing each did, in their order.
    """
    with transaction(connection):
        known = _known(connection, outcomes)
        first: dict[str, Outcome] = {}
        for outcome in outcomes:
            if outcome.id not in known:
                first.setdefault(outcome.id, outcome)
        _insert(connection, sorted(first.values(), key=lambda outcome: outcome.id))
        return [Put.NEW if first.pop(outcome.id, None) else put_outcome(connection, outcome) for outcome in outcomes]


def scan_outcomes(
    connection: sqlite3.Connection,
    model: str,
    *,
    first_us: int,
    last_us: int,
    version: int | None = None,
    shadow: bool = False,
) -> Iterator[Outcome]:
    """Outcomes by event time, ``last_us`` excluded, of what was answered or of shadows; of one version, or of all."""
    rows = connection.execute(
        f"{_SELECT} WHERE model = ? AND event_us >= ? AND event_us < ? AND (variant = 'shadow') = ? "
        "AND (? IS NULL OR version = ?) ORDER BY event_us, id",
        (model, first_us, last_us, shadow, version, version),
    )
    for row in rows:
        yield Outcome(*row)  # by place: a month of a busy model is a million of them


def labelled_day(
    connection: sqlite3.Connection, model: str, version: int, *, day: int, shadow: bool = False
) -> Iterator[list[tuple[int, str, str, int, bytes]]]:
    """``(event_us, output, label, label_us, cells)`` of a version's outcomes of one day, by event time, then id.

    ``READ_ROWS`` at a time: a busy day has millions, which would take a kilobyte each at once.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(
        "SELECT event_us, output, label, label_us, cells FROM outcomes WHERE model = ? AND event_us >= ? "
        "AND event_us < ? AND version = ? AND (variant = 'shadow') = ? ORDER BY event_us, id",
        (model, day * DAY_US, (day + 1) * DAY_US, version, shadow),
    )
    while rows := cursor.fetchmany(READ_ROWS):
        yield rows


def find_outcomes(connection: sqlite3.Connection, token: str) -> list[Outcome]:
    """The outcomes of one request's predictions, by the request's token."""
    # '/' follows '.': every id that is the token, a dot, and something.
    rows = connection.execute(f"{_SELECT} WHERE id > ? AND id < ?", (f"{token}.", f"{token}/"))
    return [Outcome(*row) for row in rows]


def labelled_by_day(
    connection: sqlite3.Connection, model: str, *, first_day: int, last_day: int
) -> dict[tuple[int, int], int]:
    """``(day, version)`` to labelled predictions of its own traffic; days of event time since 1970."""
    rows = connection.execute(
        "SELECT day, version, SUM(labelled) AS labelled FROM outcome_days "
        "WHERE model = ? AND variant <> 'shadow' AND day >= ? AND day < ? GROUP BY day, version",
        (model, first_day, last_day),
    )
    return {(int(row["day"]), int(row["version"])): int(row["labelled"]) for row in rows}


def find_outcome(connection: sqlite3.Connection, outcome_id: str) -> Outcome | None:
    """The label of one prediction, or None when none has come."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (outcome_id,)).fetchone()
    return None if row is None else Outcome(*row)


def outcome_history(connection: sqlite3.Connection, outcome_id: str) -> list[tuple[str, int, int]]:
    """``(label, label_us, arrived_us)`` of the earlier labels of a prediction, the first to arrive first."""
    rows = connection.execute(
        "SELECT label, label_us, arrived_us FROM outcome_history WHERE id = ? ORDER BY arrived_us, revision",
        (outcome_id,),
    )
    return [(str(row["label"]), int(row["label_us"]), int(row["arrived_us"])) for row in rows]


def count_old_outcomes(connection: sqlite3.Connection, *, before_us: int) -> list[tuple[str, int]]:
    """Each model with outcomes of an event time before that which also arrived before it, and how many.

    What was replayed with the times of long ago is as old as its arrival.
    """
    rows = connection.execute(
        "SELECT model, COUNT(*) AS count FROM outcomes WHERE event_us < ? AND arrived_us < ? "
        "GROUP BY model ORDER BY model",
        (before_us, before_us),
    )
    return [(row["model"], row["count"]) for row in rows]


def remove_old_outcomes(connection: sqlite3.Connection, model: str, *, before_us: int, batch: int = 2_000) -> int:
    """Let what ``count_old_outcomes`` counts go, with what it said before; the daily numbers of labels stay.

    In transactions of ``batch`` outcomes, so that the watch loop writes in between; may be killed anywhere.

    Returns:
        How many went.
    """
    gone, from_us = 0, -(2**63)
    while True:
        with transaction(connection):
            # Each batch goes on where the one before it ended: what stays is not looked at again.
            found = connection.execute(
                "SELECT id, event_us FROM outcomes WHERE model = ? AND event_us >= ? AND event_us < ? "
                "AND arrived_us < ? ORDER BY event_us LIMIT ?",
                (model, from_us, before_us, before_us, batch),
            ).fetchall()
            ids = [(row["id"],) for row in found]
            connection.executemany("DELETE FROM outcome_history WHERE id = ?", ids)
            connection.executemany("DELETE FROM outcomes WHERE id = ?", ids)
        gone += len(ids)
        if len(ids) < batch:
            return gone
        from_us = found[-1]["event_us"]


def _put_overtaken(connection: sqlite3.Connection, outcome: Outcome) -> None:
    """Into the history alone, once; below zero, so that no revision of the row that counts ever has its number."""
    told = {"id": outcome.id, "label": outcome.label, "label_us": outcome.label_us, "arrived_us": outcome.arrived_us}
    noted = connection.execute(
        "SELECT 1 FROM outcome_history WHERE id = :id AND label = :label AND label_us = :label_us "
        "AND arrived_us = :arrived_us",
        told,
    ).fetchone()
    if noted is None:
        connection.execute(
            "INSERT INTO outcome_history (id, revision, label, label_us, arrived_us) "
            "SELECT :id, min(0, coalesce(min(revision), 0)) - 1, :label, :label_us, :arrived_us FROM outcome_history "
            "WHERE id = :id",
            told,
        )


def _known(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> set[str]:
    """Which of them have a label already."""
    ids = msgspec.json.encode([outcome.id for outcome in outcomes]).decode()
    rows = connection.execute("SELECT id FROM outcomes WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    return {row[0] for row in rows}


def _insert(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
    connection.executemany(_INSERT, map(msgspec.structs.astuple, outcomes))
    days = Counter((one.model, one.version, one.variant, one.event_us // DAY_US) for one in outcomes)
    connection.executemany(
        "INSERT INTO outcome_days (model, version, variant, day, labelled) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (model, version, variant, day) DO UPDATE SET labelled = labelled + excluded.labelled",
        [(*day, labelled) for day, labelled in days.items()],
    )

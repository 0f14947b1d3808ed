"""What waits until its version can be read again: rows of a bundle that is torn or gone are counted when it is back.

The cursor moves on, for all other models. Which part of the log holds what was not counted is noted in the same
transaction, and let go in the one that counts it, so that each row is counted exactly once here, too. The segment stays
in the event log meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from appliance.monitoring.counted import today, write_counts
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.outcomes import join_labels
from appliance.monitoring.spans import State
from appliance.monitoring.tally import Fault, tally_held
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.eventlog import Chunk
from storage.held_rows import Held, list_held, put_held, take_held
from storage.layout import Layout
from storage.model_rows import find_version
from storage.outcome_rows import Outcome, find_outcomes, put_outcomes
from storage.statedb import transaction
from storage.window_rows import add_faults

UNCOUNTED = "uncounted"
"""The alert's subject."""
HELD_FOR = timedelta(days=30)
"""Afterwards the rows are given up as ``bundle_missing``, so that the event log does not grow for good."""


def hold(
    connection: sqlite3.Connection, versions: KnownVersions, kind: str, chunk: Chunk,
    rows: Mapping[tuple[str, int], int],
) -> Counter[str]:  # fmt: skip
    """Note what of a chunk cannot be counted yet, in the caller's transaction.

    Args:
        connection: The state database.
        versions: To tell a version that is broken from one that never was here.
        kind: Of the log.
        chunk: The part of the log.
        rows: By the version whose bundle cannot be read.

    Returns:
        Faults: the rows of versions that this appliance does not know, which nothing brings back.
    """
    faults: Counter[str] = Counter()
    for (model, version), count in rows.items():
        if versions.exists(model, version) or find_version(connection, model, version) is not None:
            put_held(
                connection,
                Held(
                    kind=kind, segment=chunk.segment, start=chunk.start, stop=chunk.end, model=model, version=version,
                    rows=count, since=datetime.now(UTC),
                ),
            )  # fmt: skip
        else:
            faults[Fault.BUNDLE_MISSING] += count
    return faults


def count_held(
    connection: sqlite3.Connection, layout: Layout, versions: KnownVersions, *, alive: Callable[[], None]
) -> Counter[str]:
    """Count what waits and can be read again, a part of the log at a time; give up what waited too long.

    Returns:
        ``predictions`` and ``labels`` that were counted, and ``faults``.
    """
    totals: Counter[str] = Counter()
    for held in list_held(connection):
        known = versions.find(held.model, held.version)
        if known is None and datetime.now(UTC) - held.since < HELD_FOR:
            continue
        lines = None if known is None else _lines(layout, held)
        if known is None or lines is None:
            totals += _give_up(connection, held)
        elif held.kind == "predictions":
            totals += _predictions(connection, versions, held, known, lines)
        else:
            totals += _labels(connection, layout, versions, held, lines)
        alive()
    return totals


def watch_held(connection: sqlite3.Connection) -> int:
    """Open an alert a model of which something waits, close it when nothing does.

    Returns:
        Alerts opened and closed.
    """
    waiting: dict[str, set[int]] = {}
    for held in list_held(connection):
        waiting.setdefault(held.model, set()).add(held.version)
    is_open = {row.model for row in list_alerts(connection, open_only=True, limit=1000) if row.subject == UNCOUNTED}
    if waiting.keys() == is_open:
        return 0
    now = datetime.now(UTC)
    with transaction(connection):
        for model in sorted(waiting.keys() - is_open):
            message = _message(model, sorted(waiting[model]))
            open_alert(
                connection,
                NewAlert(model=model, subject=UNCOUNTED, state=State.ALARM, message=message, opened_at=now),
            )
        closed = sum(close_alert(connection, model, UNCOUNTED, now) for model in sorted(is_open - waiting.keys()))
    return len(waiting.keys() - is_open) + closed


def _message(model: str, versions: list[int]) -> str:
    named = f"version {versions[0]}" if len(versions) == 1 else f"versions {', '.join(map(str, versions))}"
    return (
        f"What {named} of {model} answered is not counted into drift and quality: schema.json or reference.json below "
        f"models/{model}/{versions[0]} cannot be read. It waits for {HELD_FOR.days} days and is counted by itself once "
        "the bundle is whole again."
    )


def _predictions(
    connection: sqlite3.Connection, versions: KnownVersions, held: Held, known: KnownVersion, lines: list[bytes]
) -> Counter[str]:
    tally = tally_held(lines, known)
    with transaction(connection):
        if not take_held(connection, held):
            return Counter()
        write_counts(connection, tally, versions)
        add_faults(connection, today(), tally.faults)
    return Counter(predictions=held.rows, faults=tally.faults.total())


def _labels(
    connection: sqlite3.Connection, layout: Layout, versions: KnownVersions, held: Held, lines: list[bytes]
) -> Counter[str]:
    joined = join_labels(lines, layout, versions, only=(held.model, held.version))
    part = Chunk(segment=held.segment, start=held.start, end=held.stop, lines=[])
    with transaction(connection):
        if not take_held(connection, held):
            return Counter()
        # The answer's version may be back while its shadow's is not: that part waits on.
        joined.faults.update(hold(connection, versions, "labels", part, joined.held))
        add_faults(connection, today(), joined.faults)
        fresh = [outcome for outcome in joined.outcomes if not _is_overtaken(connection, outcome)]
        put_outcomes(connection, fresh)
    return Counter(
        labels=sum(outcome.variant != "shadow" for outcome in fresh), faults=joined.faults.total()
    )  # fmt: skip


def _is_overtaken(connection: sqlite3.Connection, outcome: Outcome) -> bool:
    """Whether a label that came later was counted while this one waited, or this one itself."""
    before = find_outcomes(connection, outcome.id.rpartition(".")[0])
    return any(one.id == outcome.id and one.arrived_us >= outcome.arrived_us for one in before)


def _give_up(connection: sqlite3.Connection, held: Held) -> Counter[str]:
    with transaction(connection):
        if not take_held(connection, held):
            return Counter()
        add_faults(connection, today(), {Fault.BUNDLE_MISSING: held.rows})
    return Counter(faults=held.rows)


def _lines(layout: Layout, held: Held) -> list[bytes] | None:
    """The part of the log; None when somebody removed its segment."""
    try:
        with (layout.events / held.kind / held.segment).open("rb") as file:
            file.seek(held.start)
            return file.read(held.stop - held.start).splitlines()
    except FileNotFoundError:
        return None

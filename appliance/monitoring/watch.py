"""The watch loop: counts each new event exactly once into windows, joins labels, opens and closes alerts.

Every chunk of the log is worked out first and then written in one transaction together with the cursor that says it
was; a kill at any moment leaves either both or neither. Memory is bounded by the chunk.
"""

from __future__ import annotations

import gc
import logging
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from appliance.monitoring.counted import today, write_counts
from appliance.monitoring.delivery import deliver_until
from appliance.monitoring.evaluation import evaluate
from appliance.monitoring.held import count_held, hold, watch_held
from appliance.monitoring.keeping import Keeper
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.outcomes import join_labels
from appliance.monitoring.recording import watch_recording
from appliance.monitoring.refused import watch_refusals
from appliance.monitoring.skew import SkewWatch
from appliance.monitoring.tally import Fault, Tally, tally_predictions, tally_stats
from appliance.processes.loglines import start_log
from appliance.settings import Settings, load_settings
from storage import statedb
from storage.errors import StateUnwritable
from storage.eventlog import Chunk, list_segments, tail
from storage.layout import Layout
from storage.outcome_rows import Put, put_outcomes
from storage.window_rows import (
    Heartbeat,
    add_faults,
    advance_cursor,
    put_heartbeat,
    read_cursors,
)

HEARTBEAT = "watch"
BEAT_S = 10.0
"""A look that takes longer, at a long log, says in between that it lives."""
COURIER_S = 5.0
"""How long the end of the loop waits for a message under way."""
TORN_AFTER_S = 60.0
"""A last line without its end that nobody touched for so long never gets one."""

log = logging.getLogger(__name__)


Count: TypeAlias = "Callable[[Watch, Chunk], Counter[str] | None]"
"""Counts a chunk and moves its cursor, together; None when another loop moved it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one look at the log found.

    Attributes:
        predictions: Rows of prediction events.
        labels: Predictions whose label is new or changed.
        errors: Requests refused.
        faults: What could not be counted, or was counted in another place than it said.
        alerts: Alerts opened or closed.
    """

    predictions: int
    labels: int
    errors: int
    faults: int
    alerts: int

    @property
    def idle(self) -> bool:
        """Nothing was new."""
        return not (self.predictions or self.labels or self.errors or self.faults or self.alerts)


class Watch:
    """The watch loop's state between looks: the database and the versions seen."""

    def __init__(
        self, layout: Layout, *, chunk_bytes: int = 4 << 20, alive: Callable[[], None] = lambda: None
    ) -> None:  # fmt: skip
        self.layout = layout
        self.chunk_bytes = chunk_bytes
        self.connection = statedb.connect(layout.database)
        self.versions = KnownVersions(layout)
        self.alive = alive
        self.beaten = time.monotonic()

    def beat(self, detail: str, *, every_s: float = 0.0) -> None:
        """Say that the loop lives, unless it did so less than ``every_s`` seconds ago."""
        if time.monotonic() - self.beaten >= every_s:
            put_heartbeat(self.connection, HEARTBEAT, Heartbeat(at=datetime.now(UTC), detail=detail))
            self.beaten = time.monotonic()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()


def watch_once(watch: Watch) -> Progress:
    """Count everything appended since the last look.

    Raises:
        StateUnwritable: The database cannot be written; nothing was counted twice, the next look goes on.
    """
    totals: Counter[str] = Counter()
    try:
        totals.update(count_held(watch.connection, watch.layout, watch.versions, alive=watch.alive))
        for kind, count in KINDS.items():
            _read_kind(watch, kind, count, totals)
        totals["alerts"] = evaluate(watch.connection, watch.versions)
        totals["alerts"] += watch_recording(watch.connection, watch.layout, lost=totals["unrecorded"])
        totals["alerts"] += watch_refusals(watch.connection, watch.layout)
        totals["alerts"] += watch_held(watch.connection)
        progress = Progress(**{name: totals[name] for name in Progress.__dataclass_fields__})
        detail = " ".join(f"{name}={totals[name]}" for name in sorted(totals))
        watch.beat(detail)
    except sqlite3.Error as exc:
        raise StateUnwritable(f"the watch loop cannot write {watch.layout.database}: {exc}") from exc
    return progress


def watch_until(
    settings: Settings, stop: threading.Event, *, alive: Callable[[], None] = lambda: None
) -> None:  # fmt: skip
    """Look every ``settings.watch_interval_s`` seconds until ``stop`` is set; also ``python -m`` of this module.

    A look that fails for lack of a writable database is logged and tried again.

    Args:
        settings: Where the state is, and how often to look.
        stop: Ends the loop.
        alive: Called before every look and after every chunk of the log, so that a watchdog sees that it does not hang.
    """
    watch = Watch(settings.layout, alive=alive)
    skew = SkewWatch(settings, watch.connection, watch.versions)
    keeper = Keeper(watch.versions, alive=alive)
    ended = threading.Event()
    courier = threading.Thread(target=deliver_until, args=(settings, ended), name="deliveries", daemon=True)
    courier.start()
    try:
        while not stop.is_set():
            alive()
            try:
                progress = watch_once(watch)
                if not progress.idle:
                    log.info("counted %s", progress)
                alive()
                skew.look()
                keeper.look(watch.connection, changed=not progress.idle)
            except (StateUnwritable, sqlite3.Error) as exc:
                log.error("%s; trying again", exc)
            stop.wait(settings.watch_interval_s)
    finally:
        ended.set()
        watch.close()
        # A message under way that takes longer is sent again by the next loop.
        courier.join(timeout=COURIER_S)


def _read_kind(
    watch: Watch, kind: str, count: Callable[[Watch, Chunk], Counter[str] | None], into: Counter[str]
) -> None:
    directory = watch.layout.events / kind
    cursors = read_cursors(watch.connection, kind)
    for chunk in tail(directory, cursors, max_bytes=watch.chunk_bytes):
        with _uncollected():
            found = count(watch, chunk)
        if found is None:
            # Another loop is counting the same log; the next look starts from its cursors.
            return
        into.update(found)
        cursors[chunk.segment] = chunk.end
        watch.alive()
        watch.beat(f"reading {kind}", every_s=BEAT_S)
    into["faults"] += _give_up_torn(watch, kind, cursors)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: all of a chunk is in use until it is written, and nothing of it refers in circles.

    The collector would look through tens of thousands of lists again and again, a third of the time of predictions.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _predictions(watch: Watch, chunk: Chunk) -> Counter[str] | None:
    tally = tally_predictions(chunk.lines, watch.versions)
    return _write_tally(watch, "predictions", chunk, tally)


def _stats(watch: Watch, chunk: Chunk) -> Counter[str] | None:
    return _write_tally(watch, "stats", chunk, tally_stats(chunk.lines))


def _labels(watch: Watch, chunk: Chunk) -> Counter[str] | None:
    joined = join_labels(chunk.lines, watch.layout, watch.versions)
    with statedb.transaction(watch.connection) as connection:
        if not advance_cursor(connection, "labels", chunk.segment, start=chunk.start, end=chunk.end):
            return None
        joined.faults.update(hold(connection, watch.versions, "labels", chunk, joined.held))
        add_faults(connection, today(), joined.faults)
        written = put_outcomes(connection, joined.outcomes)
    changed = sum(
        put in {Put.NEW, Put.REVISED} and outcome.variant != "shadow"
        for put, outcome in zip(written, joined.outcomes, strict=True)
    )
    return Counter(labels=changed, faults=joined.faults.total())


def _write_tally(watch: Watch, kind: str, chunk: Chunk, tally: Tally) -> Counter[str] | None:
    """Everything of a chunk and its cursor in one transaction; None when the cursor was moved by another loop."""
    with statedb.transaction(watch.connection) as connection:
        if not advance_cursor(connection, kind, chunk.segment, start=chunk.start, end=chunk.end):
            return None
        write_counts(connection, tally, watch.versions)
        tally.faults.update(hold(connection, watch.versions, kind, chunk, tally.held))
        add_faults(connection, today(), tally.faults)
    return Counter(
        predictions=tally.predictions, errors=tally.errors, faults=tally.faults.total(),
        unrecorded=tally.faults[Fault.UNRECORDED],
    )  # fmt: skip


def _give_up_torn(watch: Watch, kind: str, cursors: dict[str, int]) -> int:
    """Skip and count last lines that a power cut tore."""
    given_up = 0
    now = time.time()
    for path in list_segments(watch.layout.events / kind):
        try:
            facts, start = path.stat(), cursors.get(path.name, 0)
        except FileNotFoundError:  # it has become history
            continue
        if facts.st_size <= start or now - facts.st_mtime < TORN_AFTER_S:
            continue
        with path.open("rb") as file:
            file.seek(start)
            rest = file.read(facts.st_size - start)
        if b"\n" in rest:
            continue
        with statedb.transaction(watch.connection) as connection:
            if advance_cursor(connection, kind, path.name, start=start, end=facts.st_size):
                add_faults(connection, today(), {Fault.TORN: 1})
                given_up += 1
    return given_up


KINDS: dict[str, Count] = {
    "predictions": _predictions,
    "labels": _labels,
    "stats": _stats,
}


def main() -> None:
    """Watch until SIGTERM or SIGINT."""
    start_log()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch_until(load_settings(), stop)


if __name__ == "__main__":
    main()

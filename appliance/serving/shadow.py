"""Shadows: score again what was answered, on a thread of their own; never returned, dropped first under load."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import UNSEEN, EncodedRows
from appliance.events import SHADOW_SUFFIX
from appliance.schema import FeatureSchema, Kind
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.loaded_model import LoadedModel
from appliance.serving.scoring import Asked, Scored, event_of, pack_rows

WAITING = 64
"""Requests that may wait for the shadow; further ones are dropped and counted."""

WAITING_CELLS = 2 << 20
"""Cells of rows that may wait, 16 MiB."""

log = logging.getLogger("appliance.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the shadow shall score: the rows of an answer, as they were encoded for the version that answered."""

    shadow: LoadedModel
    scored: Scored
    asked: Asked

    @property
    def cells(self) -> int:
        """Rows times columns."""
        return self.scored.rows * len(self.scored.model.schema.columns)


class Shadows:
    """The thread of one serving process that lets shadows score; ``offer`` and ``close`` belong to the event loop."""

    def __init__(self, capture: Capture, counts: Counts) -> None:
        self._capture = capture
        self._counts = counts
        self._waiting: queue.Queue[tuple[Order, asyncio.AbstractEventLoop] | None] = queue.Queue()
        self._orders = 0
        self._cells = 0
        self._thread: threading.Thread | None = None
        self._failed: set[tuple[str, int]] = set()

    def offer(self, order: Order) -> None:
        """Score it when there is time; dropped, and counted, when as much as may wait is waiting."""
        series = self._counts.series(order.shadow.name, order.shadow.version)
        if self._orders >= WAITING or self._cells + order.cells > WAITING_CELLS:
            series.count_shadow(dropped=1)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()
        self._orders += 1
        self._cells += order.cells
        series.queue(1)
        self._waiting.put((order, asyncio.get_running_loop()))

    async def close(self) -> None:
        """Score what waits, then end."""
        if self._thread is not None:
            self._waiting.put(None)
            await asyncio.to_thread(self._thread.join)
            await asyncio.sleep(0)  # the records that the thread handed over are written

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            order, loop = item
            record = None
            try:
                record = score(order)
            except Exception:  # noqa: BLE001
                # The border of the shadow: whatever it does, nobody waits for it.
                self._tell_once(order.shadow)
            loop.call_soon_threadsafe(self._done, order, record)

    def _tell_once(self, shadow: LoadedModel) -> None:
        """Log what failed; what fails for one request often fails for each, and they are counted."""
        if (shadow.name, shadow.version) not in self._failed:
            self._failed.add((shadow.name, shadow.version))
            log.exception(
                "the shadow, version %d of %s, failed; further failures are counted (appliance_shadow_requests_total)",
                shadow.version, shadow.name, extra={"model": shadow.name},
            )  # fmt: skip

    def _done(self, order: Order, record: bytes | None) -> None:
        self._orders -= 1
        self._cells -= order.cells
        series = self._counts.series(order.shadow.name, order.shadow.version)
        series.queue(-1)
        if record is None:
            series.count_shadow(failed=1)
        elif self._capture.append_prediction(record):
            series.count_shadow(scored=1)
        else:
            series.count_shadow(dropped=1)


def score(order: Order) -> bytes:
    """The shadow's event; its ``us`` is the time it took to encode and score.

    Raises:
        ValueError: The shadow has a column that the version that answered has not.
    """
    started_ns = time.perf_counter_ns()
    shadow, scored = order.shadow, order.scored
    rows = recode(scored, shadow.schema)
    values, raw = shadow.score(rows.matrix)
    again = Scored(
        model=shadow, token=scored.token + SHADOW_SUFFIX, rows=scored.rows, values=values, raw=raw,
        x=pack_rows(rows.matrix), unseen=rows.unseen, flags={}, reasons=[],
    )  # fmt: skip
    asked = Asked(
        started_ns=started_ns, at_us=order.asked.at_us, event_us=order.asked.event_us, dialect=order.asked.dialect,
        key=order.asked.key, role="shadow",
    )  # fmt: skip
    record, _ = event_of(again, asked)
    return record


def missing_columns(source: FeatureSchema, target: FeatureSchema) -> list[str]:
    """The columns of ``target`` that cannot be had from rows encoded for ``source``."""
    known = {(column.name, column.kind) for column in source.columns}
    return [column.name for column in target.columns if (column.name, column.kind) not in known]


def recode(scored: Scored, target: FeatureSchema) -> EncodedRows:
    """The rows of an answer as another version takes them: the same bits as if it had encoded them itself.

    Raises:
        ValueError: ``target`` has a column that the version that answered has not.
    """
    source = scored.model.schema
    given = _matrix(scored.x, len(source.columns))
    if source.columns == target.columns:
        return EncodedRows(matrix=given, unseen=scored.unseen, flags={})
    places, tables = _translation(source, target)
    matrix = np.ascontiguousarray(given[:, places])
    for at, table in tables.items():
        codes = matrix[:, at]
        present = ~np.isnan(codes) & (codes != UNSEEN)
        codes[present] = table[codes[present].astype(np.int64)]
    said = {(row, column): text for row, column, text in scored.unseen}
    unseen = []
    for at in tables:
        column = target.columns[at]
        for row in np.flatnonzero(matrix[:, at] == UNSEEN).tolist():
            code = given[row, places[at]]
            text = said[row, places[at]] if code == UNSEEN else source.columns[places[at]].levels[int(code)]
            if text in column.levels:
                matrix[row, at] = column.levels.index(text)
            else:
                unseen.append((row, at, text))
    return EncodedRows(matrix=matrix, unseen=unseen, flags={})


@lru_cache(maxsize=64)
def _translation(source: FeatureSchema, target: FeatureSchema) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
    """For each target column its place in the source, and for categories the target's code of each source code."""
    if missing := missing_columns(source, target):
        raise ValueError(f"version {target.version} needs columns that version {source.version} has not: {missing}")
    at = {column.name: place for place, column in enumerate(source.columns)}
    places = [at[column.name] for column in target.columns]
    tables = {}
    for place, column in enumerate(target.columns):
        if column.kind is Kind.CATEGORY:
            codes = {level: float(code) for code, level in enumerate(column.levels)}
            levels = source.columns[places[place]].levels
            tables[place] = np.array([codes.get(level, UNSEEN) for level in levels], np.float64)
    return places, tables


def _matrix(x: object, columns: int) -> NDArray[np.float64]:
    if isinstance(x, memoryview):
        return np.frombuffer(x, np.float64).reshape(-1, columns)
    values = [math.nan if value is None else value for value in x]  # type: ignore[attr-defined]  # a sequence of floats
    return np.array(values, np.float64).reshape(-1, columns)

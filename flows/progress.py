"""Writes how far a job is to the state database, at most twice a second, and its steps to the job's log."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from appliance.model_card import Trial
from appliance.settings import Settings
from storage.passing import may_pass
from storage.progress_rows import ProgressRow, put_progress
from storage.statedb import connect

Log = logging.Logger | logging.LoggerAdapter[Any]

WRITE_INTERVAL_S = 0.5
MOST_CURVE_POINTS = 300
"""A longer curve is thinned: it is drawn a few hundred pixels wide."""

FIT_STARTS, FIT_ENDS = 0.15, 0.7
"""Fractions of the whole between which boosting rounds count."""


class DatabaseProgress:
    """The ``Progress`` of one job; call from one thread."""

    def __init__(self, settings: Settings, job_id: str, model: str, *, rounds: int, log: Log) -> None:
        self._database = settings.layout.database
        self._job_id = job_id
        self._model = model
        self._rounds = rounds
        self._log = log
        self._lock = threading.Lock()
        self._step, self._fraction, self._message = "start", 0.0, "starting"
        self._curve: list[tuple[int, float, float]] = []
        self._changed = False
        self._done = threading.Event()
        self._writer = threading.Thread(target=self._write_until_done, name="progress", daemon=True)
        self._writer.start()

    def step(self, name: str, fraction: float, message: str) -> None:
        """A step begins."""
        self._log.info("%s: %s", name, message)
        with self._lock:
            self._step, self._fraction, self._message, self._changed = name, fraction, message, True

    def move(self, fraction: float, message: str) -> None:
        """The step goes on; the log does not say so."""
        with self._lock:
            self._fraction, self._message, self._changed = fraction, message, True

    def round(self, iteration: int, train: float, valid: float) -> None:
        """A boosting round ended."""
        share = min(iteration / self._rounds, 1.0)
        with self._lock:
            self._curve.append((iteration, train, valid))
            # A search over parameters came before, or it did not.
            self._fraction = max(self._fraction, FIT_STARTS + (FIT_ENDS - FIT_STARTS) * share)
            self._changed = True

    def trial(self, trial: Trial) -> None:
        """A trial of a search ended; a step says so."""

    def close(self) -> None:
        """Write what is not written yet and stop."""
        self._done.set()
        self._writer.join()

    def _write_until_done(self) -> None:
        connection = connect(self._database)
        try:
            while not self._done.is_set():
                self._write(connection)
                self._done.wait(WRITE_INTERVAL_S)
            self._write(connection)
        finally:
            connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            row = ProgressRow(
                job_id=self._job_id, model=self._model, step=self._step, fraction=self._fraction,
                message=self._message, updated_at=datetime.now(UTC), curve=_thin(self._curve),
            )  # fmt: skip
        try:
            put_progress(connection, row)
        except sqlite3.Error as exc:
            if not may_pass(exc):
                raise
            with self._lock:
                self._changed = True  # somebody holds the database: written with the next look


def _thin(curve: list[tuple[int, float, float]]) -> tuple[tuple[int, float, float], ...]:
    every = -(-len(curve) // MOST_CURVE_POINTS) or 1
    thinned = curve[::every]
    return tuple(thinned if not curve or thinned[-1] == curve[-1] else [*thinned, curve[-1]])


@contextmanager
def follow(settings: Settings, job_id: str, model: str, *, rounds: int, log: Log) -> Iterator[DatabaseProgress]:
    """The progress of a job while it runs; what was told last is written when it ends, however it ends."""
    progress = DatabaseProgress(settings, job_id, model, rounds=rounds, log=log)
    try:
        yield progress
    finally:
        progress.close()

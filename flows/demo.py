"""The flow behind the dashboard's "Load the demo": ``appliance demo`` as a job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from appliance.demo.demo import run_demo
from appliance.demo.report import Advance
from appliance.errors import ApplianceError
from appliance.house import open_appliance
from appliance.settings import load_settings
from flows.progress import DatabaseProgress, Log, follow
from storage.errors import StorageError

STAGES = (0.01, 0.05, 0.2, 0.75, 0.85)
"""Fractions of the whole at which its steps begin, where none was done before."""


@flow(name="demo", persist_result=False)
def demo(model: str, who: str) -> State[Any]:  # noqa: ARG001  (who is told by the run's parameters)
    """Train on a year of bike rentals, send the next as live traffic, train again; nothing is done twice."""
    settings = load_settings()
    log = get_run_logger()
    try:
        with follow(settings, str(flow_run.get_id()), model, rounds=1, log=log) as progress:
            outcome = run_demo(open_appliance(settings), _Report(progress, log))
    except (ApplianceError, StorageError, sqlite3.Error) as exc:
        log.error("%s", exc)
        return Failed(message=str(exc))
    done = "the demo was loaded before" if outcome.already_done else f"the demo is loaded, in {outcome.seconds:.0f} s"
    return Completed(message=done)


class _Report:
    """``DemoReport``: steps into the job's log, bars into its progress."""

    def __init__(self, progress: DatabaseProgress, log: Log) -> None:
        self._progress = progress
        self._log = log
        self._stage = -1
        self._text = ""

    def step(self, text: str) -> None:
        """The next of the stages."""
        self._stage = min(self._stage + 1, len(STAGES) - 1)
        self._text = text
        self._progress.step("demo", STAGES[self._stage], text)

    def note(self, text: str) -> None:
        """A line of the log."""
        self._log.info("%s", text)

    @contextmanager
    def bar(self, unit: str, *, total: int) -> Iterator[Advance]:
        """Moves within the stage."""
        first = STAGES[max(self._stage, 0)]
        last = (*STAGES, 1.0)[max(self._stage, 0) + 1]

        def advance(done: int, words: str) -> None:
            said = (
                f"{self._text}: {done} of {total} {unit}, {words}" if unit == "requests" else f"{self._text}: {words}"
            )
            self._progress.move(first + (last - first) * min(done / total, 1.0), said)

        yield advance

"""One job in a process of its own: ``python -m flows.child KIND RUN_ID MODEL``, started by the runner."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib import import_module
from uuid import UUID

from appliance.processes.loglines import adopt_loggers, is_journal, start_log
from appliance.processes.priority import go_first, step_back
from appliance.settings import Settings, load_settings
from appliance.training.cores import Cores
from flows.environment import enter_environment
from storage.errors import StateUnwritable
from storage.progress_rows import ProgressRow, put_progress
from storage.statedb import connect

_PR_SET_PDEATHSIG = 1

UNUSED = ("pandas", "sklearn", "dask", "matplotlib")
"""LightGBM and MLflow import these if they can and work without; leaving them out saves seconds and 130 MB."""


class _Absent:
    """Makes the unused libraries look as if they were not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:  # noqa: ARG002  (Python's signature)
        if name in UNUSED:
            raise ModuleNotFoundError(f"{name} is not used in a job", name=name)


def main() -> int:
    """Run the flow run to its end; its outcome is at the orchestrator."""
    kind, run_id, model = sys.argv[1:]
    _end_with_parent(int(os.environ["APPLIANCE_RUNNER_PID"]))
    step_back()
    go_first()
    if is_journal():  # in a file Prefect's own form, with the time, is the better one
        start_log(level=logging.WARNING, about={"job": run_id, "model": model})
    settings = load_settings()
    _say_started(settings, run_id, model)
    sys.meta_path.insert(0, _Absent())
    os.environ.setdefault("POLARS_MAX_THREADS", str(Cores(settings)()))  # Polars reads it when it is imported
    enter_environment(settings)
    module = import_module(f"flows.{kind}")
    flow_engine = import_module("prefect.flow_engine")
    adopt_loggers()
    flow_run = flow_engine.load_flow_run(UUID(run_id))
    flow_engine.run_flow(getattr(module, kind), flow_run=flow_run, return_type="state")
    return 0


def _say_started(settings: Settings, run_id: str, model: str) -> None:
    """The first thing anybody hears of a job; the libraries take seconds."""
    row = ProgressRow(
        job_id=run_id, model=model, step="start", fraction=0.0, message="loading Prefect and LightGBM",
        updated_at=datetime.now(UTC),
    )  # fmt: skip
    with suppress(StateUnwritable, sqlite3.Error), closing(connect(settings.layout.database)) as connection:
        put_progress(connection, row)  # a database that is held now need not be when the job writes to it


def _end_with_parent(parent: int) -> None:
    """The kernel kills this process when the runner dies, so that no job works on without anybody who knows it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())

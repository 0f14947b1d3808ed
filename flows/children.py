"""The processes of the jobs that run now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from appliance.processes.oom import count_oom_kills
from appliance.processes.openmp import OPENMP

_LANE = {"train": "training", "retrain": "training", "predict": "prediction", "demo": "demo"}


@dataclass(slots=True)
class _Child:
    lane: str
    process: subprocess.Popen[bytes]
    oom_kills: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job's process ended.

    Attributes:
        code: Its exit code; negative: the signal.
        lacked_memory: It was killed, and the kernel ended a process of our group for want of memory meanwhile.
    """

    run_id: str
    code: int
    lacked_memory: bool

    def describe(self) -> str:
        """A sentence, for a job that said nothing itself."""
        if self.lacked_memory:
            return (
                "the kernel ended the job for want of memory; train on fewer rows or columns, give the host more, or "
                "raise MemoryMax= of appliance-batch.slice"
            )
        how = f"signal {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"
        return f"the job's process ended unexpectedly ({how})"


class Children:
    """At most one training, one batch prediction and one demo at a time: two of a kind slow each other down."""

    def __init__(self) -> None:
        self._children: dict[str, _Child] = {}

    def has_room(self, kind: str) -> bool:
        """Whether a job of this kind may start now."""
        return kind in _LANE and all(child.lane != _LANE[kind] for child in self._children.values())

    def is_running(self, run_id: str) -> bool:
        """Whether the run has a process."""
        return run_id in self._children

    def start(self, kind: str, run_id: str, model: str) -> None:
        """Start a run's process, in a session of its own, so that its threads are one group for the scheduler."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.child", kind, run_id, model],
            stdin=subprocess.DEVNULL, start_new_session=True,
            env={**OPENMP, **os.environ, "APPLIANCE_RUNNER_PID": str(os.getpid())},
        )  # fmt: skip
        self._children[run_id] = _Child(lane=_LANE[kind], process=process, oom_kills=count_oom_kills())

    def kill(self, run_id: str) -> None:
        """End a run's process at once, so that it cannot tell Prefect that it crashed when it was cancelled or stopped.

        A job may be killed anywhere: whatever it publishes appears by one rename or one transaction.
        """
        child = self._children.get(run_id)
        if child is not None:
            _signal(child, signal.SIGKILL)

    def reap(self) -> list[Ended]:
        """The runs whose process has ended since the last call."""
        ended = []
        for run_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                _signal(child, signal.SIGKILL)  # whatever the job started itself
                del self._children[run_id]
                lacked = code == -signal.SIGKILL and (count_oom_kills() or 0) > (child.oom_kills or 0)
                ended.append(Ended(run_id=run_id, code=code, lacked_memory=lacked))
        return ended

    def stop_all(self) -> list[str]:
        """End every process; returns their runs."""
        runs = list(self._children)
        for run_id in runs:
            self.kill(run_id)
        while self._children:
            self.reap()
            time.sleep(0.05)
        return runs


def _signal(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)

"""The real orchestrator and runner as processes on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import NotReady
from appliance.house import Appliance

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
"""How long anything may take on a host that is busy with something else."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.05)


@dataclass(slots=True)
class Stack:
    """The processes of one appliance."""

    house: Appliance
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    training_threads: int = 1
    """0: as many as the appliance decides."""
    began: dict[str, int] = field(default_factory=dict)
    """Where in its log a process began."""

    def start(self, name: str) -> None:
        settings = self.house.settings
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "APPLIANCE_STATE": str(settings.state),
            "APPLIANCE_ORCHESTRATOR_PORT": str(settings.orchestrator_port),
            "APPLIANCE_TRAINING_THREADS": str(self.training_threads),
        }  # fmt: skip
        with (settings.layout.logs / f"{name}.log").open("ab") as log:
            self.began[name] = log.tell()
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", f"flows.{name}"],
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,  # as the supervisor starts it
            )

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End a process; it has 30 s."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(30)

    def train(self, model: str) -> str:
        """Ask for a training as soon as the processes take one; returns the job."""
        jobs: list[str] = []

        def ask() -> bool:
            try:
                jobs.append(self.house.jobs.start_training(model, who="test"))
            except NotReady:
                return False
            return True

        until(ask, "a runner that takes jobs")
        return jobs[0]

    def wait_for_runner(self) -> None:
        """Until the runner that was started last takes jobs."""
        log = self.house.settings.layout.logs / "runner.log"
        until(lambda: b"the runner is ready" in log.read_bytes()[self.began["runner"] :], "the runner to be ready")

    def log(self, name: str) -> str:
        return (self.house.settings.layout.logs / f"{name}.log").read_text()


def children_of(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

"""One running appliance for the tests of this folder: the real processes, on free loopback ports."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running appliance, used as its users do: by command and over HTTP."""

    state: Path
    environment: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``appliance ARGUMENTS``."""
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli.main", *arguments],
            env=self.environment, cwd=self.state.parent, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"appliance {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and decode what it prints."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def http(self, key: str) -> httpx.Client:
        """A client of the inference API."""
        url = f"http://127.0.0.1:{self.environment['APPLIANCE_API_PORT']}"
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0)

    def until(self, what: Callable[[], bool], *, timeout_s: float = 300.0) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + timeout_s
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError("it did not happen in time\n" + self.logs())
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of every process's log."""
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-40:])
            for path in sorted((self.state / "logs").glob("*"))
            if path.is_file()
        )


def make_stack(state: Path) -> Stack:
    """An appliance on free ports that was not started yet."""
    ports = dict(zip(("API", "UI", "ORCHESTRATOR", "MLFLOW", "UI_MLFLOW", "UI_PREFECT"), free_ports(6), strict=True))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("APPLIANCE_", "PYTEST_"))},
        **{f"APPLIANCE_{name}_PORT": str(port) for name, port in ports.items()},
        "APPLIANCE_STATE": str(state),
        "PYTHONPATH": str(ROOT),
    }
    return Stack(state=state, environment=environment)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An appliance that is up and healthy; taken down afterwards."""
    running = make_stack(tmp_path_factory.mktemp("appliance") / "state")
    try:
        running.run("up", "--detach")
        yield running
    finally:
        running.run("down", check=False)

"""The dashboard as tests meet it: the real process on a free port, with a real state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.served_api import free_port

ROOT = Path(__file__).parents[2]
PASSWORD = "my own password 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A running dashboard."""

    state: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def one_time_password(self) -> str:
        """What the installer points a newcomer to."""
        return (self.state / "admin-password").read_text().strip()

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def environment(state: Path, port: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a dashboard process; NiceGUI must not take it for a test of NiceGUI's own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "APPLIANCE_STATE": str(state),
        "APPLIANCE_UI_PORT": str(port),
        **{f"APPLIANCE_UI_{guest}_PORT": str(free_port()) for guest in ("MLFLOW", "PREFECT")},
        **(extra or {}),
    }


@contextmanager
def serve_dashboard(state: Path, extra: Mapping[str, str] | None = None) -> Iterator[Dashboard]:
    """Start it, wait until it answers, stop it at the end; once more on another port, which somebody may have taken."""
    dashboard = _start(state, extra)
    if not _is_well(dashboard):
        dashboard = _start(state, extra)
    try:
        if not _is_well(dashboard):
            raise RuntimeError(f"the dashboard ended with {dashboard.process.returncode}")
        yield dashboard
    finally:
        if dashboard.process.poll() is None:
            dashboard.process.terminate()
            dashboard.process.wait(30)


def _start(state: Path, extra: Mapping[str, str] | None) -> Dashboard:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "ui.app"], env=environment(state, port, extra))
    return Dashboard(state=state, port=port, process=process)


def _is_well(dashboard: Dashboard) -> bool:
    """Whether it answers; False when it has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if dashboard.process.poll() is not None:
            return False
        try:
            if httpx.get(f"{dashboard.url}/api/health", timeout=5).is_success:
                return True
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the dashboard does not answer")


def log_in(client: httpx.Client, password: str, *, name: str = "admin") -> httpx.Response:
    """Send the form as a browser does."""
    return client.post("/login", data={"name": name, "password": password})

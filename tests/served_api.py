"""The inference API as tests meet it: a real process on a free port, spoken to over real HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from storage.layout import Layout
from tests.model_bundles import add_key


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedApi:
    """A running API."""

    layout: Layout
    port: int
    key: str
    process: subprocess.Popen[bytes]
    client: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_serving(self, model: str, version: int, *, timeout_s: float = 120.0) -> None:
        """Until that version answers for the model."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            models = self.client.get("/models").json()["models"]
            if any(found["name"] == model and found["version"] == version for found in models):
                return
            time.sleep(0.05)
        raise TimeoutError(f"{model} {version} is not serving; models: {models}")

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextmanager
def serve_api(
    layout: Layout,
    settings: Mapping[str, str] | None = None,
    *,
    key: str | None = None,
    log: int | None = None,
    port_variable: str = "APPLIANCE_API_PORT",
) -> Iterator[ServedApi]:
    """Start the API on a state that was prepared, wait until it answers, and stop it at the end.

    ``key`` is an API key that is there already; by default one is made. ``log`` is where its log goes, a descriptor;
    by default, to ours. ``port_variable`` tells the API its port.
    """
    port = free_port()
    key = key or add_key(layout, f"test-{port}", "admin")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.api.inference.process"],
        env={
            **os.environ, "APPLIANCE_STATE": str(layout.root), port_variable: str(port),
            "APPLIANCE_API_WORKERS": "1", **(settings or {}),
        },
        stderr=log,
        start_new_session=True,  # as the supervisor starts it: the kernel shares processors between sessions
    )  # fmt: skip
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": key}, timeout=30.0)
    try:
        _wait_until_answering(client, process)
        yield ServedApi(layout=layout, port=port, key=key, process=process, client=client)
    finally:
        client.close()
        if process.poll() is None:
            process.terminate()
            process.wait(40)


def _wait_until_answering(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the API ended with {process.returncode}")
        try:
            client.get("/health/live")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the API does not answer")

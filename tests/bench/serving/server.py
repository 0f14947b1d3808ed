"""The servers beside ours, on the same uvicorn settings, each in a process and a session of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.served_api import free_port

_PORT = "BENCH_PORT"
PATIENCE_S = 60.0


def serve_app(app: Any) -> None:
    """Serve on the port that the environment names, until SIGTERM, as our own process serves."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", int(os.environ[_PORT])))
    listener.listen(2048)
    config = uvicorn.Config(
        app, loop="asyncio", http="httptools", ws="none", log_config=None, access_log=False, server_header=False,
        proxy_headers=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def start_module(module: str) -> Iterator[str]:
    """A module that calls ``serve_app``; its URL, once it listens."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module], env={**os.environ, _PORT: str(port)}, start_new_session=True
    )
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], patience_s: float = PATIENCE_S) -> None:
    """Until somebody listens.

    Raises:
        RuntimeError: The process ended, or the time is over.
    """
    deadline = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen; exit code {process.poll()}")

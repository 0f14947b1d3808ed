"""The process as systemd starts it, on a socket that others hold, seen from outside to the byte."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from storage.layout import Layout
from tests.model_bundles import add_key, numeric_columns, sample_rows

COLUMNS = numeric_columns(3)
ROWS = sample_rows(COLUMNS, 1)
BODY = msgspec.json.encode({"rows": ROWS})
AS_SYSTEMD_DOES = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "appliance.api.inference.process"])
"""


class Caller:
    """A kept connection, seen to the byte; closed by ``listening``."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self.socket.makefile("rb")

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def read(self) -> bytes:
        """The head of the next answer, whose body is read, too."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            assert line, f"the connection ended after {head!r}"
            head += line
        self._file.read(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
        return head

    def ask(self, content: bytes) -> bytes:
        self.send(content)
        return self.read()

    def has_ended(self) -> bool:
        """Whether the next that comes is an orderly end; a reset raises."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Listening:
    """A socket as systemd listens on for the process, its notify socket, and the process started with both."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.key = add_key(layout, "listening", "admin")
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self.socket.getsockname()[1])
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = f"test-{secrets.token_hex(8)}"
        self.notices.bind("\0" + self.address)
        self.callers: list[Caller] = []

    def start(self, settings: Mapping[str, str] | None = None, *, stderr: int | None = None) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "APPLIANCE_STATE": str(self.layout.root), "APPLIANCE_API_WORKERS": "1",
            "NOTIFY_SOCKET": "@" + self.address, **(settings or {}),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD_DOES, str(self.socket.fileno())],
            env=environment, pass_fds=[self.socket.fileno()], stderr=stderr,
        )  # fmt: skip

    def hear(self, timeout_s: float) -> list[str]:
        """The lines of the next message; empty when none came in time."""
        self.notices.settimeout(timeout_s)
        try:
            return self.notices.recv(4096).decode().splitlines()
        except TimeoutError:
            return []

    def hear_until(self, line: str, *, timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while line not in self.hear(1.0):
            assert time.monotonic() < deadline, f"{line} was not said"

    def request(self, extra: str = "", *, body: bytes = BODY) -> bytes:
        head = f"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {self.key}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n{extra}\r\n".encode() + body

    def connect(self) -> Caller:
        self.callers.append(Caller(self.port))
        return self.callers[-1]

    def close(self) -> None:
        for caller in self.callers:
            caller.close()
        self.socket.close()
        self.notices.close()


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever the test does, the process is gone afterwards."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

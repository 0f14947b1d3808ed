"""Load over HTTP: many small requests by ``wrk``, large ones over a socket of our own."""

from __future__ import annotations

import json
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
_MARKS = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw."""

    rate: float
    p50_us: float
    p99_us: float
    failed: bool


def run_wrk(url: str, script: Path, connections: int, seconds: int) -> Load:
    """Load a URL over keep-alive connections from one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    marks = {name: float(value) * _UNITS[unit] for name, value, unit in _MARKS.findall(text)}
    rate = _RATE.search(text)
    if rate is None:
        raise RuntimeError(text)
    failed = "Non-2xx" in text or "Socket errors" in text
    return Load(rate=float(rate[1]), p50_us=marks["50"], p99_us=marks["99"], failed=failed)


def middle(loads: Sequence[Load]) -> Load:
    """The median of several runs, figure by figure; failed when one of them failed."""
    return Load(
        rate=statistics.median(load.rate for load in loads), p50_us=statistics.median(load.p50_us for load in loads),
        p99_us=statistics.median(load.p99_us for load in loads), failed=any(load.failed for load in loads),
    )  # fmt: skip


def write_script(path: Path, body: bytes, headers: Mapping[str, str]) -> Path:
    """A wrk script that posts a body."""
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body.decode())}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(f"{status} {answer.decode(errors='replace')[:200]}")
        self.status = status


class Client:
    """One keep-alive connection that sends bytes made beforehand: a client's own encoding is not what is measured."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> None:
        """Send a request and take in its whole answer.

        Raises:
            Refused: The answer was not 200.
        """
        self._connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        size = int(found[1]) if found else 0
        parts, have = [body], len(body)
        while have < size:
            parts.append(self._receive())
            have += len(parts[-1])
        if (status := int(head.split(b" ", 2)[1])) != 200:
            raise Refused(status, b"".join(parts))

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _receive(self) -> bytes:
        if not (part := self._connection.recv(1 << 20)):
            raise ConnectionResetError("the server hung up")
        return part


def write_request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole request."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def medians_ms(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median time of each call, milliseconds; they take turns, so that all see the same machine."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(times) for times in taken]

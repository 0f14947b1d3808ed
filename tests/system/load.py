"""Kept connections that ask without pause until a file appears: ``load.py PORT FILE [N]``; runs on a bare python3.

A connection is opened again when its answer said so, or when it had ended before a request was sent, as every HTTP
client does. Everything else but a 200 is a failure. Prints ``{"answers", "reopened", "failures", "p50_ms", "p99_ms"}``.
"""

from __future__ import annotations

import http.client
import json
import select
import sys
import threading
import time
from pathlib import Path

CONNECTIONS = 16


class Load:
    """What all connections met."""

    def __init__(self, port: int, stop: Path) -> None:
        self.port = port
        self.stop = stop
        self.key = Path("/root/key").read_text().strip()
        self.body = Path("/root/body.json").read_bytes()
        self.lock = threading.Lock()
        self.answers = self.reopened = 0
        self.failures: list[str] = []
        self.took_s: list[float] = []

    def ask(self) -> None:
        """One connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        while not self.stop.exists():
            if select.select([connection.sock], [], [], 0)[0]:
                connection = self.reopen(connection)
            began = time.perf_counter()
            try:
                connection.request("POST", "/models/penguins/predict", self.body, {"X-API-Key": self.key})
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as exc:
                self.fail(repr(exc))
                return
            if answer.status != 200:
                self.fail(f"{answer.status} {content!r}")
            with self.lock:
                self.answers += 1
                self.took_s.append(time.perf_counter() - began)
            if answer.will_close:
                connection = self.reopen(connection)
        connection.close()

    def reopen(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        """A new connection in the place of one that ended."""
        connection.close()
        with self.lock:
            self.reopened += 1
        connection.connect()
        return connection

    def quantile_ms(self, share: float) -> float:
        """Of the times between a request and its whole answer."""
        ranked = sorted(self.took_s)
        return round(ranked[min(int(share * len(ranked)), len(ranked) - 1)] * 1000, 2) if ranked else 0.0

    def fail(self, how: str) -> None:
        """Note a request that was lost."""
        with self.lock:
            self.failures.append(how)


def main() -> None:
    """Ask, then report."""
    load = Load(int(sys.argv[1]), Path(sys.argv[2]))
    connections = int(sys.argv[3]) if len(sys.argv) > 3 else CONNECTIONS
    threads = [threading.Thread(target=load.ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {
        "answers": load.answers, "reopened": load.reopened, "failures": load.failures,
        "p50_ms": load.quantile_ms(0.5), "p99_ms": load.quantile_ms(0.99),
    }  # fmt: skip
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

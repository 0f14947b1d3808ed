"""The door to Prefect where Prefect is busy; the real one is in ``tests/flows``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from appliance.errors import NotReady
from appliance.orchestrator import Orchestrator
from appliance.settings import Settings


class BusyPrefect(ThreadingHTTPServer):
    """Answers 503 to as many POST requests as ``busy`` says, as Prefect does while its database is held."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.busy = 0
        self.keys: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    server: BusyPrefect

    def do_GET(self) -> None:
        self._reply(200, {"id": "deployment"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.keys.append(body["idempotency_key"])
        if len(self.server.keys) <= self.server.busy:
            self._reply(503, {"exception_message": "Service Unavailable"})
            return
        created = "2026-01-01T00:00:00Z"
        self._reply(201, {"id": "run", "name": "n", "created": created, "parameters": {}, "tags": [], "state": None})

    def _reply(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: the test says what it needs to."""


@pytest.fixture
def prefect() -> Iterator[BusyPrefect]:
    with BusyPrefect() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def orchestrator(prefect: BusyPrefect, tmp_path: Path) -> Iterator[Orchestrator]:
    found = Orchestrator(Settings(state=tmp_path, orchestrator_port=prefect.server_port))
    yield found
    found.close()


def test_what_was_busy_is_asked_again_and_makes_one_run(prefect: BusyPrefect, orchestrator: Orchestrator) -> None:
    prefect.busy = 2
    assert orchestrator.create_run("train", name="n", parameters={}, tags=[]).id == "run"
    assert len(prefect.keys) == 3
    assert len(set(prefect.keys)) == 1, "with another key each time, Prefect would make a run each time"
    orchestrator.create_run("train", name="n", parameters={}, tags=[])
    assert prefect.keys[-1] != prefect.keys[0], "and a second run is another"


def test_what_stays_busy_says_so(prefect: BusyPrefect, orchestrator: Orchestrator) -> None:
    prefect.busy = 100
    with pytest.raises(NotReady, match="busy or starting"):
        orchestrator.create_run("train", name="n", parameters={}, tags=[])

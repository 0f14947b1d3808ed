"""Swaps, crashes, restarts: what was answered is in the log, and what can be answered is."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from appliance.monitoring.recording import Recording, read_recording
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from storage.alert_rows import list_alerts
from storage.eventlog import free_bytes, list_segments
from storage.layout import Layout
from storage.window_rows import fault_totals
from tests.api.inference.listening import AS_SYSTEMD_DOES
from tests.model_bundles import (
    TrainedModel,
    add_key,
    deploy,
    numeric_columns,
    prepare_state,
    publish,
    sample_rows,
    train_model,
)
from tests.served_api import ServedApi, free_port, serve_api

COLUMNS = numeric_columns(3)
ROWS = sample_rows(COLUMNS, 1)


@pytest.fixture(scope="module")
def versions() -> dict[int, TrainedModel]:
    return {version: train_model("m", version, task=Task.REGRESSION, columns=COLUMNS) for version in (1, 2, 3)}


@pytest.fixture
def layout(tmp_path: Path, versions: dict[int, TrainedModel]) -> Layout:
    found = prepare_state(tmp_path / "state")
    for trained in versions.values():
        publish(found, trained)
    deploy(found, {"m": 1})
    return found


@dataclass(slots=True, kw_only=True)
class Heard:
    """What the clients heard."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def hammering(api: ServedApi, clients: int, *, until_closed: bool) -> Iterator[Heard]:
    """Clients that ask without pause until the block ends; with ``until_closed`` a lost connection ends one quietly."""
    heard = Heard()
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(headers={"x-api-key": api.key}, timeout=30) as client:
            while not ended.is_set():
                try:
                    answer = client.post(f"{api.url}/models/m/predict", json={"rows": ROWS})
                except httpx.TransportError as exc:
                    if not until_closed:
                        heard.failures.append(repr(exc))
                    return
                if answer.status_code == 200:
                    heard.answers.append(answer.json())
                else:
                    heard.failures.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)


def is_refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=120).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def logged_ids(layout: Layout) -> list[str]:
    lines = [
        line
        for path in list_segments(layout.events / "predictions")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    return [msgspec.json.decode(line)["id"] for line in lines]


@pytest.mark.parametrize(("workers", "answers"), [("1", 1), ("1", 300), ("2", 300)])
def test_after_kill_9_every_answered_prediction_is_in_the_log(layout: Layout, workers: str, answers: int) -> None:
    with serve_api(layout, {"APPLIANCE_API_WORKERS": workers}) as api:
        api.wait_until_serving("m", 1)
        victims = children_of(api.process.pid) if workers != "1" else []
        with hammering(api, 4, until_closed=True) as heard:
            wait_for(lambda: len(heard.answers) >= answers)
            api.process.kill()
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):  # it ends with its parent
                    os.kill(victim, signal.SIGKILL)
            api.process.wait(10)
    answered = {found["predictions"][0]["id"].rpartition(".")[0] for found in heard.answers}
    logged = logged_ids(layout)
    assert len(answered) >= answers
    assert answered <= set(logged)
    assert len(logged) == len(set(logged))
    assert not heard.failures


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_without_a_model_the_process_is_ready_and_a_first_one_is_picked_up(layout: Layout) -> None:
    layout.deployments.unlink()
    with serve_api(layout) as api:
        assert api.client.get("/health/ready").json() == {
            "status": "ready", "models": [], "capture": "on", "problems": [],
        }  # fmt: skip
        assert api.client.get("/v2/health/ready").status_code == 200
        assert "none yet" in api.client.post("/models/m/predict", json={"rows": ROWS}).json()["detail"]
        deploy(layout, {"m": 9})
        wait_for(lambda: api.client.get("/v2/health/ready").status_code == 503)
        assert api.client.post("/models/m/predict", json={"rows": ROWS}).status_code == 503
        assert api.client.get("/v2/models/m/ready").json() == {"name": "m", "ready": False}
        assert api.client.get("/v2/models/m/ready").status_code == 503
        deploy(layout, {"m": 1}, revision=2)
        api.wait_until_serving("m", 1)


def test_what_cannot_be_recorded_is_answered_and_counted_until_it_can(layout: Layout) -> None:
    with serve_api(layout) as api:
        api.wait_until_serving("m", 1)
        recorded = api.client.post("/models/m/predict", json={"rows": ROWS})
        assert "x-capture" not in recorded.headers
        series = 'appliance_predictions_unrecorded_total{model="m",version="1"} '
        assert f"{series}0.0" in api.client.get("/metrics").text
        before = len(logged_ids(layout))
        unlimited = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
        answer = api.client.post("/models/m/predict", json={"rows": ROWS})
        assert (answer.status_code, answer.headers["x-capture"]) == (200, "off")
        assert answer.json()["predictions"][0]["value"] == recorded.json()["predictions"][0]["value"]
        v2 = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}
        answer = api.client.post("/v2/models/m/infer", json=v2)
        assert (answer.status_code, answer.headers["x-capture"]) == (200, "off")
        label = {"labels": [{"id": recorded.json()["predictions"][0]["id"], "label": 1.0}]}
        refused = api.client.post("/models/m/labels", json=label)
        assert refused.status_code in {503, 507}
        assert "cannot append" in refused.json()["detail"]
        ready = api.client.get("/health/ready")
        assert (ready.status_code, ready.json()["capture"]) == (200, "off")
        assert "cannot append" in ready.json()["problems"][0]
        metrics = api.client.get("/metrics").text
        assert "appliance_event_log_writable 0.0" in metrics
        assert f"{series}2.0" in metrics
        assert read_recording(layout) == Recording(workers_off=1, lost=2)
        with watching(layout) as watch:
            watch_once(watch)
            # The bundle here has no reference, which another alert tells.
            (alert,) = [one for one in list_alerts(watch.connection) if one.subject == "recording"]
            assert (alert.subject, alert.state, alert.closed_at) == ("recording", "alarm", None)
            assert watch_once(watch).alerts == 0
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_for(lambda: api.client.get("/health/ready").json()["capture"] == "on")
        assert "appliance_event_log_writable 1.0" in api.client.get("/metrics").text
        assert "x-capture" not in api.client.post("/models/m/predict", json={"rows": ROWS}).headers
        assert api.client.post("/models/m/labels", json=label).status_code == 202
        with watching(layout) as watch:
            watch_once(watch)
            (alert,) = [one for one in list_alerts(watch.connection) if one.subject == "recording"]
            assert alert.closed_at is not None
            assert fault_totals(watch.connection)["unrecorded"] == 2
    assert len(logged_ids(layout)) == before + 1


def test_the_capture_leaves_the_reserve_free(layout: Layout) -> None:
    more_than_there_is = str((free_bytes(layout.root) >> 20) + (1 << 20))
    with serve_api(layout, {"APPLIANCE_CAPTURE_RESERVE_MB": more_than_there_is}) as api:
        api.wait_until_serving("m", 1)
        answer = api.client.post("/models/m/predict", json={"rows": ROWS})
        assert (answer.status_code, answer.headers["x-capture"]) == (200, "off")
        assert "capture_reserve_mb" in api.client.get("/health/ready").json()["problems"][0]
        label = {"labels": [{"id": answer.json()["predictions"][0]["id"], "label": 1.0}]}
        refused = api.client.post("/models/m/labels", json=label)
        assert (refused.status_code, refused.json()["type"]) == (507, "/docs#problem-log-full")
    assert logged_ids(layout) == []


@contextmanager
def watching(layout: Layout) -> Iterator[Watch]:
    watch = Watch(layout)
    try:
        yield watch
    finally:
        watch.close()


def test_keys_that_cannot_be_checked_are_a_problem_until_they_can(layout: Layout) -> None:
    with serve_api(layout) as api:
        away = layout.database.with_name("away.db")
        layout.database.rename(away)
        wait_for(lambda: api.client.get("/health/ready").status_code == 503)
        assert "API keys cannot be checked" in api.client.get("/health/ready").json()["problems"][0]
        away.rename(layout.database)
        wait_for(lambda: api.client.get("/health/ready").status_code == 200)
        assert api.client.get("/models").status_code == 200


def test_sigterm_finishes_what_is_in_flight(layout: Layout) -> None:
    body = msgspec.json.encode({"rows": ROWS})
    with serve_api(layout) as api, socket.create_connection(("127.0.0.1", api.port), timeout=30) as caller:
        api.wait_until_serving("m", 1)
        api.client.close()
        head = (
            f"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        caller.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        api.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(api.port))
        caller.sendall(body[10:])
        assert caller.recv(65536).startswith(b"HTTP/1.1 200")
        assert api.process.wait(30) == 0
    assert len(logged_ids(layout)) == 1


def test_workers_share_the_port_and_add_their_counts_up(layout: Layout) -> None:
    with serve_api(layout, {"APPLIANCE_API_WORKERS": "2"}) as api:
        api.wait_until_serving("m", 1)
        wait_for(lambda: len(children_of(api.process.pid)) == 2)
        # A worker that is still starting takes no connection yet.
        wait_for(
            lambda: "appliance_workers 2.0" in httpx.get(f"{api.url}/metrics", headers={"x-api-key": api.key}).text
        )
        with hammering(api, 6, until_closed=False) as heard:
            wait_for(lambda: len(heard.answers) > 200)
        assert not heard.failures
        for _ in range(5):
            with httpx.Client(headers={"x-api-key": api.key}) as client:
                text = client.get(f"{api.url}/metrics").text
            assert f'appliance_predictions_total{{model="m",version="1"}} {float(len(heard.answers))}' in text
            assert "appliance_workers 2.0" in text

        def writers() -> set[str]:
            return {path.name.split("-")[1] for path in list_segments(layout.events / "predictions")}

        def another_caller() -> bool:
            # Who accepts a connection is the kernel's choice: the busy worker leaves some to the other.
            httpx.post(f"{api.url}/models/m/predict", json={"rows": ROWS}, headers={"x-api-key": api.key})
            return len(writers()) == 2

        with hammering(api, 6, until_closed=False):
            wait_for(another_caller)
        victim = children_of(api.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in children_of(api.process.pid) and len(children_of(api.process.pid)) == 2)
        assert api.stop() == 0


def test_an_inherited_socket_is_used_as_it_is(layout: Layout) -> None:
    key = add_key(layout, "socket", "admin")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD_DOES, str(listener.fileno())],
            env={**os.environ, "APPLIANCE_STATE": str(layout.root), "APPLIANCE_API_PORT": str(free_port())},
            pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            with httpx.Client(headers={"x-api-key": key}, timeout=60) as client:
                answer = client.post(f"http://127.0.0.1:{port}/models/m/predict", json={"rows": ROWS})
            assert answer.status_code == 200
        finally:
            process.terminate()
            assert process.wait(40) == 0
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def start_in_vain(layout: Layout, **settings: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "appliance.api.inference.process"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "APPLIANCE_STATE": str(layout.root), "APPLIANCE_API_PORT": str(free_port()), **settings},
    )  # fmt: skip
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    return process.stderr


def test_a_taken_port_names_its_holder_and_the_setting(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        message = start_in_vain(layout, APPLIANCE_API_PORT=str(port))
    assert f"127.0.0.1:{port} is taken by process {os.getpid()}" in message
    assert "APPLIANCE_API_PORT" in message


def test_a_foreign_address_names_the_setting(layout: Layout) -> None:
    assert "APPLIANCE_LISTEN" in start_in_vain(layout, APPLIANCE_LISTEN="192.0.2.1")


def test_a_state_that_was_not_prepared_is_refused(tmp_path: Path, layout: Layout) -> None:
    assert "appliance up" in start_in_vain(Layout(root=tmp_path / "nowhere"))
    layout.database.unlink()
    assert "cannot open the state database" in start_in_vain(layout)
    layout.secret.write_bytes(b"short")
    assert "32 are needed" in start_in_vain(layout)


def test_a_stale_schema_is_refused(layout: Layout) -> None:
    import sqlite3

    with sqlite3.connect(layout.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "has schema 99" in start_in_vain(layout)

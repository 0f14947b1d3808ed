"""Beginnings and ends: READY when warm, a watchdog fed after a self-probe, restarts and swaps that lose no request."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn

from appliance.api.inference.app import create_app
from appliance.api.inference.config import read_config
from appliance.api.inference.probe import Probe
from appliance.api.inference.server import Server
from storage.layout import Layout
from tests.api.inference.listening import Listening, ending
from tests.api.inference.test_lifecycle import (
    children_of,
    hammering,
    logged_ids,
    start_in_vain,
    wait_for,
)
from tests.served_api import ServedApi, serve_api

_PIDFD_GETFD = 438


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ready_is_said_once_every_worker_is_warm(listening: Listening, workers: str) -> None:
    with ending(listening.start({"APPLIANCE_API_WORKERS": workers})) as process:
        waiting = listening.connect()
        waiting.send(listening.request())  # sent before anybody is there to answer
        assert "READY=1" in listening.hear(60)
        assert waiting.read().startswith(b"HTTP/1.1 200")
        assert listening.hear(1.5) == [], "READY is said once, and without a watchdog there is nothing more to say"
        process.terminate()
        assert process.wait(30) == 0
        assert "STOPPING=1" in listening.hear(5)


def test_what_is_deployed_is_loaded_before_ready(listening: Listening) -> None:
    with ending(listening.start()), httpx.Client(headers={"x-api-key": listening.key}) as client:
        listening.hear_until("READY=1")
        models = client.get(f"http://127.0.0.1:{listening.port}/models").json()["models"]
        assert [found["version"] for found in models] == [1]


def test_the_watchdog_is_fed_until_the_process_hangs(listening: Listening) -> None:
    with ending(listening.start({"WATCHDOG_USEC": "1000000"})) as process:
        listening.hear_until("READY=1")
        assert [listening.hear(10) for _ in range(3)] == [["WATCHDOG=1"]] * 3
        process.send_signal(signal.SIGSTOP)
        while listening.hear(0.2):
            pass
        assert listening.hear(2.0) == []
        process.send_signal(signal.SIGCONT)
        listening.hear_until("WATCHDOG=1")


def test_a_worker_that_hangs_is_started_again_while_the_other_answers(listening: Listening) -> None:
    """Hung as a loop that is blocked would be; the parent's patience is the watchdog's."""
    code = (
        "import sys, socket; from appliance.api.inference.workers import Workers; "
        "Workers(2, socket.socket(fileno=int(sys.argv[1])), 'appliance.api.inference.process', silent_s=2.0).run()"
    )
    environment = {
        **os.environ, "APPLIANCE_STATE": str(listening.layout.root), "NOTIFY_SOCKET": "@" + listening.address,
        "WATCHDOG_USEC": "4000000",
    }  # fmt: skip
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(listening.socket.fileno())],
        env=environment, pass_fds=[listening.socket.fileno()], stderr=subprocess.PIPE,
    )  # fmt: skip
    with ending(parent) as process:
        listening.hear_until("READY=1")
        victim, other = children_of(process.pid)
        os.kill(victim, signal.SIGSTOP)
        wait_for(lambda: victim not in children_of(process.pid) and len(children_of(process.pid)) == 2)
        assert other in children_of(process.pid)
        listening.hear_until("WATCHDOG=1")
        process.terminate()
        _, said = process.communicate(timeout=40)
        assert process.returncode == 0
        assert b"has said nothing for" in said


def test_a_process_that_is_aborted_says_where_it_was(listening: Listening) -> None:
    with ending(listening.start(stderr=subprocess.PIPE)) as process:
        listening.hear_until("READY=1")
        process.send_signal(signal.SIGABRT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGABRT
        assert b"Current thread" in said
        assert b"in run" in said


def test_a_process_whose_model_scores_otherwise_than_before_is_not_well(layout: Layout) -> None:
    asyncio.run(probe_before_and_after_a_change(layout))


async def probe_before_and_after_a_change(layout: Layout) -> None:
    serving = create_app(read_config({"APPLIANCE_STATE": str(layout.root)}))
    config = uvicorn.Config(serving.app, http=serving.connect, lifespan="on", log_config=None)  # type: ignore[arg-type]
    server = Server(config, serving.router)
    config.load()
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        probe = Probe(server, serving.router)
        assert await probe.check() == ""
        booster = serving.router.find("m").booster
        for tree in range(booster.iterations):
            for leaf in range(3):
                booster.library.LGBM_BoosterSetLeafValue(booster.handle, tree, leaf, ctypes.c_double(7.0))
        assert "version 1 of m scores [" in await probe.check()
        await server.shutdown([listener])


def test_workers_that_cannot_start_end_their_parent_with_the_reason(layout: Layout) -> None:
    layout.secret.write_bytes(b"short")
    said = start_in_vain(layout, APPLIANCE_API_WORKERS="2")
    assert "32 are needed" in said
    assert "ended with code 1 before it was ready" in said


@pytest.mark.parametrize(
    "settings", [{}, {"APPLIANCE_API_WORKERS": "2", "APPLIANCE_CAPTURE_DURABILITY": "sync"}], ids=["", "durable, two"]
)
def test_three_restarts_on_one_socket_lose_no_request(
    layout: Layout, listening: Listening, settings: dict[str, str]
) -> None:
    api = ServedApi(
        layout=layout, port=listening.port, key=listening.key, process=listening.start(settings),
        client=httpx.Client(),
    )  # fmt: skip
    api.client.close()
    with ending(api.process) as first:
        listening.hear_until("READY=1")
        process = first
        with hammering(api, 16, until_closed=False) as heard:
            for _ in range(3):
                seen = len(heard.answers)
                wait_for(lambda seen=seen: len(heard.answers) > seen + 200)  # type: ignore[misc]
                process.terminate()
                assert process.wait(30) == 0
                process = listening.start(settings)
            seen = len(heard.answers)
            wait_for(lambda: len(heard.answers) > seen + 200)
        with ending(process):
            assert not heard.failures
            assert len(heard.answers) > 800
    answered = {found["predictions"][0]["id"].rpartition(".")[0] for found in heard.answers}
    logged = logged_ids(layout)
    assert answered == set(logged)
    assert len(logged) == len(set(logged))


def test_every_accepted_connection_has_nodelay(listening: Listening) -> None:
    assert not listening.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with ending(listening.start()) as process:
        listening.hear_until("READY=1")
        caller = listening.connect()
        caller.ask(listening.request())
        with accepted_connection(process.pid, caller.socket) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def accepted_connection(pid: int, caller: socket.socket) -> socket.socket:
    """The other process's end of a connection, taken from it by ``pidfd_getfd``."""
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, int(entry.name), 0)
            if fd < 0:
                continue
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                continue
            found = socket.socket(fileno=fd)
            with contextlib.suppress(OSError):
                if found.getpeername() == caller.getsockname():
                    return found
            found.close()
    finally:
        os.close(process)
    raise AssertionError("the process has no such connection")


def test_sigterm_ends_all_workers_and_their_requests_are_answered(layout: Layout) -> None:
    with serve_api(layout, {"APPLIANCE_API_WORKERS": "2"}) as api:
        api.wait_until_serving("m", 1)
        workers = children_of(api.process.pid)
        assert len(workers) == 2
        assert api.stop() == 0
        for worker in workers:
            assert not Path(f"/proc/{worker}").exists()

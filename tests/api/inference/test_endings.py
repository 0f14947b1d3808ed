"""A process that ends: what it has accepted is answered, what it has not stays for the next one, nothing is reset."""

from __future__ import annotations

import asyncio
import select
import socket

import msgspec
import pytest
import uvicorn

from appliance.api.inference.app import create_app
from appliance.api.inference.config import read_config
from appliance.api.inference.server import Server
from storage.layout import Layout
from tests.api.inference.listening import BODY, COLUMNS, Listening, ending
from tests.api.inference.test_lifecycle import wait_for
from tests.model_bundles import add_key, sample_rows


@pytest.mark.parametrize("turns", range(7))
def test_a_caller_who_comes_as_the_process_ends_is_answered_or_left_to_the_next(layout: Layout, turns: int) -> None:
    """``turns``: how far the loop has come with the caller's connection when the end begins."""
    asyncio.run(end_after(turns, layout, add_key(layout, f"caller{turns}", "admin")))


async def end_after(turns: int, layout: Layout, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as caller:
        serving = create_app(read_config({"APPLIANCE_STATE": str(layout.root)}))
        config = uvicorn.Config(serving.app, http=serving.connect, lifespan="on", log_config=None)  # type: ignore[arg-type]
        server = Server(config, serving.router)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener.dup()])
        caller.connect(listener.getsockname())
        head = f"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        caller.sendall(head.encode() + BODY)
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.shutdown([])
        if select.select([listener], [], [], 0)[0]:
            listener.accept()[0].close()  # nobody here has taken it: the next process would
            return
        caller.settimeout(5)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200")
        assert caller.recv(1) == b""


def test_an_idle_connection_may_ask_once_more_and_is_told_that_it_ends(listening: Listening) -> None:
    with ending(listening.start()) as process:
        listening.hear_until("READY=1")
        caller, silent, late = (listening.connect() for _ in range(3))
        for one in (caller, silent, late):
            assert b"connection: close" not in one.ask(listening.request())
        late.send(listening.request()[:-4])  # a request whose end comes late
        process.terminate()
        listening.hear_until("STOPPING=1")
        head = caller.ask(listening.request())
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        assert caller.has_ended()
        assert silent.has_ended()
        late.send(listening.request()[-4:])
        head = late.read()
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        for one in (caller, silent, late):
            one.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("durability", ["async", "sync"])
def test_large_requests_under_way_are_answered_though_the_process_ends(listening: Listening, durability: str) -> None:
    rows = sample_rows(COLUMNS, 4000)
    with ending(listening.start({"APPLIANCE_CAPTURE_DURABILITY": durability})) as process:
        listening.hear_until("READY=1")
        callers = [listening.connect() for _ in range(8)]
        for caller in callers:
            caller.ask(listening.request())
        for caller in callers:
            caller.send(listening.request(body=msgspec.json.encode({"rows": rows})))
        process.terminate()
        heads = [caller.read() for caller in callers]
        assert {head.split(b"\r\n")[0] for head in heads} == {b"HTTP/1.1 200 OK"}
        for caller in callers:
            assert caller.has_ended()
            caller.close()
        assert process.wait(30) == 0


def test_what_crosses_the_end_of_an_idle_connection_meets_an_orderly_end(listening: Listening) -> None:
    with ending(listening.start()) as process:
        listening.hear_until("READY=1")
        caller = listening.connect()
        caller.ask(listening.request())
        process.terminate()
        wait_for(lambda: bool(select.select([caller.socket], [], [], 0)[0]))  # the end is here, and was not looked at
        caller.send(listening.request())
        assert caller.has_ended()
        assert process.wait(30) == 0


def test_requests_sent_at_once_while_the_process_ends_are_all_answered(listening: Listening) -> None:
    with ending(listening.start()) as process:
        listening.hear_until("READY=1")
        caller = listening.connect()
        caller.ask(listening.request())
        process.terminate()
        listening.hear_until("STOPPING=1")
        caller.send(b"".join(listening.request(f"X-Request-Id: {at}\r\n") for at in range(5)))
        heads = [caller.read() for _ in range(5)]
        assert caller.has_ended()
        assert [b"connection: close" in head for head in heads] == [False] * 4 + [True]
        for at, head in enumerate(heads):
            assert b"x-request-id: %d\r\n" % at in head
        caller.close()
        assert process.wait(30) == 0

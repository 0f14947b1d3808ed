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
from appliance.schema import Task
from storage.layout import Layout
from tests.model_bundles import add_key, deploy, numeric_columns, prepare_state, publish, sample_rows, train_model

COLUMNS = numeric_columns(3)
BODY = msgspec.json.encode({"rows": sample_rows(COLUMNS, 1)})


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    found = prepare_state(tmp_path_factory.mktemp("accepting") / "state")
    publish(found, train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS))
    deploy(found, {"m": 1})
    return found


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

"""Who feeds the watchdog: a loop that turns, a process that answers itself; units and roster agree."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

from appliance.processes.pulse import feed_while_answering, feed_while_turning
from appliance.processes.roster import roster
from appliance.settings import Settings

UNITS = Path(__file__).parents[2] / "systemd" / "units"


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Whoever waits for it, with a patience of 0.2 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as waiting:
        waiting.bind("")  # the kernel chooses an abstract name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + waiting.getsockname()[1:].decode())
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield waiting


def fed(waiting: socket.socket) -> int:
    """How often since it was last asked."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while waiting.recv(100) == b"WATCHDOG=1":
            count += 1
    return count


async def beside(feeding: Coroutine[None, None, None], seconds: float) -> None:
    task = asyncio.create_task(feeding)
    await asyncio.sleep(seconds)
    task.cancel()


def test_it_is_fed_while_the_loop_turns(watchdog: socket.socket) -> None:
    asyncio.run(beside(feed_while_turning(), 1.0))
    assert fed(watchdog) >= 2


@pytest.mark.parametrize(("status", "is_fed"), [("200 OK", True), ("503 Service Unavailable", False), ("", False)])
def test_it_is_fed_while_the_process_answers_itself(watchdog: socket.socket, status: str, is_fed: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"GET /health HTTP/1.1\r\n"
        if status:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await beside(feed_while_answering("0.0.0.0", port, "/health"), 1.0)  # noqa: S104  (asked, not bound)

    asyncio.run(serve())
    assert (fed(watchdog) > 0) is is_fed


def test_it_is_not_fed_by_a_port_that_nobody_holds(watchdog: socket.socket) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        asyncio.run(beside(feed_while_answering("127.0.0.1", probe.getsockname()[1], "/"), 0.5))
    assert fed(watchdog) == 0


def test_without_a_watchdog_nothing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    asyncio.run(asyncio.wait_for(feed_while_turning(), 5))
    asyncio.run(asyncio.wait_for(feed_while_answering("127.0.0.1", 1, "/"), 5))


def test_units_and_supervisor_have_the_same_patience(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, tls_cert=tmp_path / "c", tls_key=tmp_path / "k")
    for service in roster(settings):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case, as configparser's manual does it
        unit.read(UNITS / service.unit)
        assert float(unit["Service"]["WatchdogSec"]) == service.watchdog_s > 0, service.name

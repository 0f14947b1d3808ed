"""Feeds the watchdog of whoever started this process, systemd or the supervisor, from the event loop it serves on.

A loop that hangs falls silent, and is ended and started again by whoever waits. The standard library alone.
"""

from __future__ import annotations

import asyncio
import logging

from appliance.processes.notify import notify, watchdog_interval_s

PROBE_S = 20.0
"""How long a process may take to answer itself."""
PROBE_AGAIN_S = 1.0
"""Pause after a probe that failed: one slow answer must not use up the watchdog's patience."""
log = logging.getLogger("appliance.pulse")


async def feed_while_turning() -> None:
    """Feed it for as long as the loop turns; returns at once where nobody waits for it."""
    while (interval_s := watchdog_interval_s()) is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)


async def feed_while_answering(address: str, port: int, path: str) -> None:
    """Feed it for as long as this process answers a request of its own; returns at once where nobody waits for it.

    Args:
        address: Where it listens; an address that means every one is asked on loopback.
        port: Its port.
        path: Answered with 200, without a login and at no cost.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  (compared, not bound)
    while (interval_s := watchdog_interval_s()) is not None:
        await asyncio.sleep(interval_s)
        while problem := await _probe(host, port, path):
            log.error("this process does not answer itself: %s", problem)
            await asyncio.sleep(PROBE_AGAIN_S)
        notify("WATCHDOG=1")


async def _probe(host: str, port: int, path: str) -> str:
    """What is wrong with the answer; empty when nothing is."""
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split()
                await reader.read()
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer within {PROBE_S:.0f} s"
    except OSError as exc:
        return str(exc)
    if status[1:2] == [b"200"]:
        return ""
    return f"{path} answers {b' '.join(status[1:]).decode(errors='replace') or 'nothing'}"

"""Uvicorn's server with an orderly beginning and end: it says READY once it answers itself, and lets callers finish."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

import uvicorn

from appliance.api.inference.probe import Probe
from appliance.processes.notify import notify, watchdog_interval_s
from appliance.serving.router import Router

PROBE_AGAIN_S = 1.0
"""Pause after a probe that failed: one slow answer must not use up the watchdog's patience."""

_TURNS_TO_CONNECT = 5

log = logging.getLogger("appliance.api")


class Server(uvicorn.Server):
    """Serves until a signal; feeds the watchdog of whoever started it as long as it can answer."""

    def __init__(self, config: uvicorn.Config, router: Router) -> None:
        super().__init__(config)
        self._probe = Probe(self, router)
        self._watching: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What is deployed is loaded and warm before the first connection is accepted, and before READY."""
        await super().startup(sockets)
        self._watching = asyncio.create_task(self._watch())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what is under way, end."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._stop_accepting()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        notify("STOPPING=1")
        await super().shutdown(sockets)

    async def _stop_accepting(self) -> None:
        """What was accepted a moment ago is a connection afterwards.

        Asyncio's server makes one a turn of the loop after it has accepted, and drops it without a word when the server
        was closed in between: its caller would read a reset. So the loop stops looking first.
        """
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    async def _watch(self) -> None:
        """Probe for good: on this loop, so that a loop that hangs falls silent."""
        is_ready = False
        while True:
            problem = await self._probe.check()
            if problem:
                log.error("this process does not answer itself: %s", problem)
                await asyncio.sleep(PROBE_AGAIN_S)
                continue
            notify("WATCHDOG=1" if is_ready else "READY=1\nWATCHDOG=1")
            is_ready = True
            interval_s = watchdog_interval_s()
            if interval_s is None:
                return  # nobody listens for more
            await asyncio.sleep(interval_s)

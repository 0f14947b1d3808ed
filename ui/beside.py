"""Further ports of the dashboard's process, served by its own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

STOP_WITHIN_S = 3
"""Open connections are cut after so long when the process stops."""


class _Server(uvicorn.Server):
    """Leaves the signals to the process's first server, which stops us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Beside:
    """An application on a port of its own, beside the dashboard."""

    def __init__(self, app: ASGIApp, address: str, port: int) -> None:
        self._server = _Server(
            uvicorn.Config(
                app, host=address, port=port, lifespan="off", log_config=None, access_log=False, server_header=False,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )  # fmt: skip
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        self._serving = asyncio.create_task(self._server.serve())

    async def stop(self) -> None:
        """End, open connections too."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving

"""The Prefect server as one process on loopback: ``python -m flows.orchestrator``."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
import sys
from contextlib import closing
from datetime import datetime
from types import FrameType
from zoneinfo import ZoneInfo

import uvicorn

from appliance.clock import read_clock
from appliance.processes.loglines import adopt_loggers, start_log
from appliance.processes.notify import notify
from appliance.processes.pulse import feed_while_answering
from appliance.settings import Settings, load_settings
from flows.environment import enter_environment
from storage.layout import Layout
from storage.statedb import connect

log = logging.getLogger("appliance.orchestrator")

STOP_WITHIN_S = 10
"""Open connections are cut after so long when the server stops."""

END_WITHIN_S = 20
"""The process ends after so long in any case."""


class _Server(uvicorn.Server):
    """Tells who started it when requests are answered: after the migrations and the start of the services."""

    _pulse: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._pulse = asyncio.create_task(feed_while_answering(self.config.host, self.config.port, "/api/health"))
            notify("READY=1")
            log.info("the orchestrator listens on %s:%s", self.config.host, self.config.port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        signal.alarm(END_WITHIN_S)  # SIGALRM ends a process whose services do not stop; SQLite bears that
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        if self._pulse is not None:
            self._pulse.cancel()
        await super().shutdown(sockets)


def keep_by_believed_clock(layout: Layout) -> None:
    """Let Prefect judge the age of what it lets go by the day that is believed, see ``appliance.clock``.

    It looks every hour, and at once after a jump: a clock that is a year ahead would cost every finished job and its
    log. There is no setting for it.
    """
    from prefect.server.services import db_vacuum  # noqa: PLC0415  (as in run)

    def believed(zone: str) -> datetime:
        with closing(connect(layout.database, read_only=True)) as connection:
            return read_clock(connection).astimezone(ZoneInfo(zone))

    vars(db_vacuum)["now"] = believed


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 when it served, 1 when it could not start."""
    settings.layout.create()
    enter_environment(settings)
    from prefect.server.api.server import create_app  # noqa: PLC0415  (reads the environment when it is imported)

    keep_by_believed_clock(settings.layout)
    app = create_app(final=True)
    adopt_loggers()
    server = _Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=settings.orchestrator_port, access_log=False, log_level="warning",
            log_config=None, timeout_keep_alive=30, timeout_graceful_shutdown=STOP_WITHIN_S,
        )
    )  # fmt: skip
    asyncio.run(server.serve())
    return 0 if server.started else 1


def main() -> int:
    """Settings from the environment; logs to standard error."""
    start_log(quiet=("docket", "prefect"))  # they tell of every loop of every service
    faulthandler.enable()  # a watchdog ends a process that hangs with SIGABRT: it says where it hangs
    return run(load_settings())


if __name__ == "__main__":
    sys.exit(main())

"""Opens MLflow's own UI when somebody comes, and closes it after ten idle minutes.

MLflow's server weighs hundreds of MB and is looked at now and then. This process weighs little, holds the port, starts
the server with the first connection, passes the bytes through, and stops the server when nobody was connected for ten
minutes. With a socket from systemd it then ends itself, since systemd holds the port. The standard library alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import tomllib
from pathlib import Path

from appliance.processes.loglines import report, start_log
from appliance.processes.notify import notify
from appliance.processes.pulse import feed_while_turning
from storage.layout import Layout

IDLE_S = 600.0
_CHUNK = 64 << 10
_FIRST_SYSTEMD_FD = 3


class Door:
    """The port, and MLflow's server behind it while somebody is there."""

    def __init__(self, layout: Layout, *, idle_s: float = IDLE_S) -> None:
        self._layout = layout
        self._idle_s = idle_s
        self._server: asyncio.subprocess.Process | None = None
        self._address = ""
        self._starting = asyncio.Lock()
        self._connections: set[asyncio.Task[None]] = set()
        self._left_at = time.monotonic()

    async def serve(self, listener: socket.socket, *, end_when_idle: bool) -> None:
        """Serve until SIGTERM, or with ``end_when_idle`` until nobody was connected for ``idle_s``."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = await asyncio.start_server(self._admit, sock=listener)
        notify("READY=1\nSTATUS=asleep; the first connection starts MLflow")
        pulse = asyncio.create_task(feed_while_turning())
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=min(self._idle_s, 10.0))
            if self._is_idle():
                await self._close_mlflow()
                if end_when_idle:
                    break
        notify("STOPPING=1")
        pulse.cancel()
        server.close()
        for task in self._connections:
            task.cancel()
        await self._close_mlflow()

    def _is_idle(self) -> bool:
        return not self._connections and time.monotonic() - self._left_at >= self._idle_s

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a stream's callback always runs in one)
        self._connections.add(task)
        try:
            await self._open_mlflow()
            await self._pass_through(reader, writer)
        except (OSError, TimeoutError) as exc:
            report(f"mlflow: a connection ended: {exc}", level=logging.WARNING)
        finally:
            self._connections.discard(task)
            self._left_at = time.monotonic()
            writer.close()

    async def _pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection("\0" + self._address)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_copy(reader, inner_writer))
                directions.create_task(_copy(inner_reader, writer))
        except* OSError:
            pass  # one side hung up, which is how a connection ends
        finally:
            inner_writer.close()

    async def _open_mlflow(self) -> None:
        async with self._starting:
            if self._server is not None and self._server.returncode is None:
                return
            self._address = f"appliance-mlflow-{os.getpid()}-{time.monotonic_ns()}"
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
                inner.bind("\0" + self._address)
                inner.listen(64)  # a connection waits here until the server has started
                inner.set_inheritable(True)
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "appliance.processes.mlflow_server", str(inner.fileno()),
                    env=_mlflow_environment(self._layout), pass_fds=(inner.fileno(),), cwd=self._layout.mlflow,
                )  # fmt: skip
            notify("STATUS=MLflow is open")

    async def _close_mlflow(self) -> None:
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._server.terminate()
        try:
            await asyncio.wait_for(self._server.wait(), timeout=10.0)
        except TimeoutError:
            self._server.kill()
            await self._server.wait()
        self._server = None
        notify("STATUS=asleep; the first connection starts MLflow")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def _mlflow_environment(layout: Layout) -> dict[str, str]:
    """What ``mlflow server`` would set for its worker: mlflow 3.17, mlflow/server/constants.py."""
    store = f"sqlite:///{(layout.mlflow / 'mlflow.db').absolute()}"
    artifacts = str((layout.mlflow / "artifacts").absolute())
    removed = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"}
    return {key: value for key, value in os.environ.items() if key not in removed} | {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": artifacts,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _listener(port: int) -> tuple[socket.socket, bool]:
    """The socket that systemd holds for us, else our own; and which of the two it is."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_FIRST_SYSTEMD_FD), True
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener, False


def _read_settings() -> tuple[Path, int]:
    """The state directory and the port, without the settings' libraries, which weigh more than this process.

    Raises:
        ValueError: The settings file cannot be read, is no TOML or no UTF-8 (one that is not there holds nothing), or
            the port is none; a sentence that says where.
    """
    found: dict[str, object] = {}
    config = os.environ.get("APPLIANCE_CONFIG")
    try:
        if config and Path(config).exists():
            found = tomllib.loads(Path(config).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ValueError(f"settings file {config}: {exc}") from exc
    state = os.environ.get("APPLIANCE_STATE") or found.get("state", "/var/lib/appliance")
    given = os.environ.get("APPLIANCE_MLFLOW_PORT")
    port = str(given or found.get("mlflow_port", 5000)).strip()
    if not (port.isdecimal() and 0 < int(port) < 1 << 16):
        where = "APPLIANCE_MLFLOW_PORT" if given else f"settings file {config}: mlflow_port"
        raise ValueError(f"{where}: {port} is no port; give a whole number from 1 to 65535")
    return Path(str(state)), int(port)


def main() -> int:
    """Serve as ``appliance serve mlflow``; a sentence when the settings keep it from that."""
    start_log()
    try:
        state, port = _read_settings()
    except ValueError as exc:
        report(f"mlflow: {exc}")
        return os.EX_CONFIG
    layout = Layout(root=state)
    listener, from_systemd = _listener(port)
    listener.setblocking(False)
    asyncio.run(Door(layout).serve(listener, end_when_idle=from_systemd))
    return 0


if __name__ == "__main__":
    sys.exit(main())

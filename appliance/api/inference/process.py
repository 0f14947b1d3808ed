"""The inference API as a process: its socket, its workers, its end. ``python -m appliance.api.inference.process``."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

from appliance.api.inference.config import ApiConfig, read_config
from appliance.api.inference.workers import LISTENER_FD, SLOT, Workers
from appliance.errors import ApplianceError, BadSetting
from appliance.processes.loglines import report, start_log
from appliance.processes.openmp import OPENMP
from storage.errors import StorageError

DRAIN_S = 25
"""Seconds that requests in flight get after SIGTERM; systemd sends SIGKILL after 30."""

_FIRST_INHERITED_FD = 3
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until SIGTERM; exit code 1 with a sentence on stderr when that cannot even begin."""
    start_log()
    faulthandler.enable()  # a watchdog ends a process that hangs with SIGABRT: it says where it hangs
    try:
        run(read_config(os.environ))
    except (ApplianceError, StorageError) as exc:
        report(f"appliance api: {exc}")
        sys.exit(1)


def run(config: ApiConfig) -> None:
    """Serve on the inherited socket, or on one bound here, with as many workers as the settings say.

    Raises:
        BadSetting: The port is taken, or the state is not prepared.
        NotReady: LightGBM's library is missing or another one, or no worker could start.
        StorageError: The state cannot be opened.
    """
    config = replace(config, workers=count_workers(config.workers))
    _raise_descriptor_limit()
    if fd := os.environ.get(LISTENER_FD):
        _end_with_parent()
        _serve(config, socket.socket(fileno=int(fd)), int(os.environ[SLOT]))
        return
    listener = open_listener(config)
    _forget_last_run(config)
    if config.workers == 1:
        _serve(config, listener, 0)
    else:
        Workers(config.workers, listener, __spec__.name).run()


def _raise_descriptor_limit() -> None:
    """Let as many callers be connected as this host lets a process have: a shell gives 1,024, the unit says its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a host that has lowered its own bound since: serve with less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def count_workers(wanted: int) -> int:
    """The setting, or for 0 a worker for each core that this process may use but one, at least one."""
    return wanted or max(1, len(os.sched_getaffinity(0)) - 1)


def open_listener(config: ApiConfig) -> socket.socket:
    """Take systemd's socket when it gave one (``LISTEN_FDS``), else bind the settings' address.

    TCP_NODELAY is set on it, which the connections accepted from it inherit: without, each answer waits for the
    caller's delayed acknowledgement, 40 ms.

    Raises:
        BadSetting: The address cannot be bound; says who holds the port.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0":
        listener = socket.socket(fileno=_FIRST_INHERITED_FD)
    else:
        family = socket.AF_INET6 if ":" in config.listen else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.listen, config.port))
            listener.listen(2048)
        except OSError as exc:
            listener.close()
            raise BadSetting(_explain_bind(config, exc)) from exc
    if listener.family in {socket.AF_INET, socket.AF_INET6}:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _explain_bind(config: ApiConfig, exc: OSError) -> str:
    where = f"{config.listen}:{config.port}"
    if exc.errno == errno.EADDRINUSE:
        holder = find_holder(config.port) or "another user's process"
        return f"{where} is taken by {holder}; stop it, or choose another port with APPLIANCE_API_PORT"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{config.listen} is not an address of this host; choose another with APPLIANCE_LISTEN"
    return f"cannot listen on {where}: {exc.strerror}; choose another port with APPLIANCE_API_PORT"


def find_holder(port: int) -> str:
    """Who listens on a TCP port of this host, as far as this user may see it; else empty."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:] if Path(table).exists() else ():
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"process {process.name} ({command[:120]})"
        except OSError:  # it ended, or is another user's
            continue
    return ""


def _forget_last_run(config: ApiConfig) -> None:
    from appliance.serving.counts import wipe  # noqa: PLC0415  (the parent of many workers stays small)
    from appliance.serving.refusals import forget_workers  # noqa: PLC0415

    wipe(config.layout.run / "api-counts")
    forget_workers(config.layout, beyond=config.workers)


def _serve(config: ApiConfig, listener: socket.socket, worker: int) -> None:
    """Be one worker."""
    for name, value in OPENMP.items():
        os.environ.setdefault(name, value)  # read when LightGBM's library is loaded
    gc.disable()  # nothing that is imported below becomes garbage
    import uvicorn  # noqa: PLC0415  (the parent of many workers stays small)

    from appliance.api.inference.app import create_app  # noqa: PLC0415
    from appliance.api.inference.server import Server  # noqa: PLC0415
    from appliance.serving.lightgbm_c import open_library  # noqa: PLC0415

    open_library()  # one that cannot score is told here, not with the first deployment
    serving = create_app(config, worker=worker)
    gc.freeze()
    gc.enable()
    server = Server(
        uvicorn.Config(
            serving.app, loop="asyncio", http=serving.connect,  # type: ignore[arg-type]  # it calls what it is given
             ws="none", lifespan="on", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=75, timeout_graceful_shutdown=DRAIN_S,
        ),
        serving.router,
    )  # fmt: skip

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (the signature is signal's)
        """Holds before uvicorn's handler is there, and when it raises the signal again after draining: a good end."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run(sockets=[listener])


def _end_with_parent() -> None:
    """A worker whose parent was killed would hold the port for nobody: have the kernel end it too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()

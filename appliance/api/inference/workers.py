"""Equal workers on one socket: started, heard, started again when they die or hang, ended together."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from types import FrameType

from appliance.errors import NotReady
from appliance.processes.notify import notify, watchdog_interval_s

SLOT, LISTENER_FD = "APPLIANCE_WORKER_SLOT", "APPLIANCE_WORKER_FD"
"""Environment of a worker: which of the equal ones it is, and the descriptor of the socket they share."""

SILENT_S = 30.0
"""A worker that was ready and has said nothing for so long hangs."""

START_S = 120.0
"""Within which a worker must be ready; models are loaded and proved meanwhile."""

RESPAWN_S = 0.5
"""Between the ends of a worker and its new start."""

_LOOK_S = 0.1
_ABORT_S = 2.0

log = logging.getLogger("appliance.api")


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker process.

    Attributes:
        notices: Where it says READY and WATCHDOG, a socket of its own.
        heard_at: Monotonic seconds of its start, or of the last time it said something.
    """

    process: subprocess.Popen[bytes]
    notices: socket.socket
    heard_at: float
    ready: bool = False


class Workers:
    """The parent. It answers no request, and says of all workers together what one alone would say of itself.

    READY when every worker has been ready; WATCHDOG while one of them answers itself, since a worker that hangs is
    ended and started again here, while the others go on.
    """

    def __init__(self, count: int, listener: socket.socket, module: str, *, silent_s: float = SILENT_S) -> None:
        self._count = count
        self._listener = listener
        self._module = module
        self._silent_s = silent_s
        self._running: dict[int, Worker] = {}
        self._start_at: dict[int, float] = dict.fromkeys(range(count), 0.0)
        self._ending = False
        self._said_ready = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT.

        Raises:
            NotReady: A worker ended before any was ready; what it said on standard error is the reason.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        beat_s, beaten = watchdog_interval_s(), 0.0
        try:
            while not self._ending:
                self._start_missing()
                self._look()
                if not self._said_ready and self._are_all_ready():
                    self._said_ready = notify("READY=1") or True
                now = time.monotonic()
                if beat_s and now - beaten >= beat_s and any(worker.ready for worker in self._running.values()):
                    notify("WATCHDOG=1")
                    beaten = now
                time.sleep(_LOOK_S)
        finally:
            self._stop()

    def _are_all_ready(self) -> bool:
        return len(self._running) == self._count and all(worker.ready for worker in self._running.values())

    def _start_missing(self) -> None:
        now = time.monotonic()
        for slot in range(self._count):
            if slot not in self._running and now >= self._start_at[slot] and not self._ending:
                self._running[slot] = self._start(slot)

    def _start(self, slot: int) -> Worker:
        address = f"appliance-worker-{secrets.token_hex(12)}"
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        notices.bind("\0" + address)
        fd = self._listener.fileno()
        environment = {
            **os.environ, SLOT: str(slot), LISTENER_FD: str(fd), "NOTIFY_SOCKET": "@" + address,
            "WATCHDOG_USEC": str(int(self._silent_s * 1e6)),
        }  # fmt: skip
        safe = ["-P"] if sys.flags.safe_path else []
        process = subprocess.Popen([sys.executable, *safe, "-m", self._module], pass_fds=[fd], env=environment)
        return Worker(process=process, notices=notices, heard_at=time.monotonic())

    def _look(self) -> None:
        now = time.monotonic()
        for slot, worker in list(self._running.items()):
            _hear(worker)
            code = worker.process.poll()
            if code is None and now - worker.heard_at > (self._silent_s if worker.ready else START_S):
                log.error("worker %d has said nothing for %.0f s; ending it", slot, now - worker.heard_at)
                code = _abort(worker.process)
            if code is None or self._ending:
                continue
            worker.notices.close()
            del self._running[slot]
            if not self._said_ready and not any(other.ready for other in self._running.values()) and not worker.ready:
                raise NotReady(f"worker {slot} ended with code {code} before it was ready; its reason stands above")
            log.error("worker %d ended with code %d; starting it again", slot, code)
            self._start_at[slot] = now + RESPAWN_S

    def _stop(self) -> None:
        notify("STOPPING=1")
        for worker in self._running.values():
            worker.process.terminate()
        for worker in self._running.values():
            worker.process.wait()
            worker.notices.close()

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the signature is signal's)
        self._ending = True


def _hear(worker: Worker) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            said = worker.notices.recv(4096).decode(errors="replace").splitlines()
            worker.heard_at = time.monotonic()
            worker.ready = worker.ready or "READY=1" in said


def _abort(process: subprocess.Popen[bytes]) -> int:
    """End a process that hangs: SIGABRT, upon which it prints where it hangs, then SIGKILL."""
    process.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_ABORT_S)
    process.kill()
    return process.wait()

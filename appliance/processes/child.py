"""One supervised process: started, heard, started again after a pause when it ends by itself, stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

from appliance.processes.ledger import ProcessEntry, State
from appliance.processes.logfiles import log_path, open_log
from appliance.processes.procfs import find_start
from appliance.processes.roster import Service
from storage.layout import Layout

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Before the first, second, … restart in a row."""
STEADY_S = 60.0
"""A process that ran this long before it ended counts as a first failure again."""
ABORT_S = 5.0
"""From SIGABRT, upon which a process that hangs says where, to SIGKILL."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Child:
    """One process of the roster; its readiness comes by ``sd_notify`` on a socket of its own."""

    def __init__(self, service: Service, layout: Layout) -> None:
        self.service = service
        self._layout = layout
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0
        self._state: State = "stopped"
        self._since = datetime.now(UTC)
        self._started_clock = 0.0
        self._heard_clock = 0.0
        self._kill_at: float | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._restarts = 0
        self._detail = ""
        self._address = f"appliance-{secrets.token_hex(12)}"
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.notices.bind("\0" + self._address)

    @property
    def entry(self) -> ProcessEntry:
        """How it stands."""
        return ProcessEntry(
            name=self.service.name, state=self._state, pid=self._process.pid if self._process else 0,
            started=self._started, since=self._since.isoformat(timespec="seconds"),
            restarts=self._restarts, detail=self._detail,
        )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether there is a process, ready or not."""
        return self._process is not None

    def start(self) -> None:
        """Start it; its output goes to its log, it gets a session of its own and ends with this process."""
        log = open_log(log_path(self._layout, self.service.name))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHDOG_")}
        environment |= {"NOTIFY_SOCKET": "@" + self._address, "PYTHONUNBUFFERED": "1"}
        if self.service.watchdog_s:
            environment["WATCHDOG_USEC"] = str(round(self.service.watchdog_s * 1e6))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.service.module],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  (the supervisor has one thread)
            )  # fmt: skip
        except OSError as exc:
            self._fail(f"cannot be started: {exc.strerror}")
            return
        finally:
            os.close(log)
        self._started = find_start(self._process.pid) or 0
        self._started_clock = self._heard_clock = time.monotonic()
        self._kill_at = None
        self._detail = ""
        self._enter("starting")

    def hear(self) -> None:
        """Take in what the process said on its notify socket."""
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self.notices.recv(4096).decode(errors="replace").splitlines():
                    self._heard_clock = time.monotonic()
                    key, _, value = line.partition("=")
                    if key == "READY" and self._state == "starting":
                        self._enter("running")
                    elif key == "STATUS":
                        self._detail = value

    def look(self) -> None:
        """Notice that it ended or hangs, and start it again when its pause is over."""
        if self._process is not None:
            code = self._process.poll()
            if code is not None:
                self._process = None
                hung = f"hung: it said nothing for {self.service.watchdog_s:g} s; " if self._kill_at else ""
                self._fail(f"{hung}ended with {_describe(code)}")
            else:
                self._end_hung(self._process)
        elif self._state == "restarting" and time.monotonic() >= self._retry_at:
            self._restarts += 1
            self.start()

    def _end_hung(self, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        elif self._state == "running" and 0 < self.service.watchdog_s < now - self._heard_clock:
            process.send_signal(signal.SIGABRT)
            self._kill_at = now + ABORT_S

    def terminate(self) -> None:
        """Ask it to end; a process that waits for its restart is not started again."""
        if self._process is None:
            self._enter("stopped")
            return
        self._enter("stopping")
        self._process.terminate()

    def settle(self) -> bool:
        """While stopping: whether it has ended."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            self._enter("stopped")
        return self._process is None

    def kill(self) -> None:
        """End it and its session at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._detail = "did not end in time and was killed"
            self._enter("stopped")

    def _fail(self, how: str) -> None:
        if self._started_clock and time.monotonic() - self._started_clock >= STEADY_S:
            self._failures = 0
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        self._retry_at = time.monotonic() + pause_s
        self._detail = f"{how}; starts again in {pause_s:.0f} s"
        self._enter("restarting")

    def _enter(self, state: State) -> None:
        self._state, self._since = state, datetime.now(UTC)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

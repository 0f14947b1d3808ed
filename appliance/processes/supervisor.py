"""Keeps the appliance's processes running where there is no systemd.

One process, one thread, the standard library and msgspec alone, since it stays in memory as long as they do. It starts
all processes at once, restarts with growing pauses the ones that end, bounds their logs, and stops them in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import ApplianceError
from appliance.processes.child import Child
from appliance.processes.ledger import Ledger, exclusive, find_ledger, write_ledger
from appliance.processes.logfiles import Follower, bound_log, log_path
from appliance.processes.notify import notify
from appliance.processes.procfs import find_start, list_children
from appliance.processes.roster import Service
from storage.errors import StorageError
from storage.layout import Layout

STOP_S = 30.0
"""From the request to stop until the last process is killed."""
_LAST_TO_STOP = "orchestrator"
"""The others report their end to it."""
_LOG_LOOK_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to supervise, handed over as one JSON argument.

    Attributes:
        state: The state directory, absolute.
        services: The processes.
        foreground: Show their logs on standard output.
    """

    state: str
    services: tuple[Service, ...]
    foreground: bool


class Supervisor:
    """Starts, watches and stops the processes of one plan."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._layout = Layout(root=Path(plan.state))
        self._children = [Child(service, self._layout) for service in plan.services]
        self._foreground = plan.foreground
        self._say = say
        self._signals = 0
        self._written: Ledger | None = None
        self._reported: dict[str, str] = {}
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT.

        Raises:
            Conflict: Another supervisor runs on this state.
        """
        with exclusive(self._layout):
            end_leftovers(self._layout)
            self._listen()
            followers = self._followers()
            for child in self._children:
                child.start()
            next_log_look = 0.0
            ready = False
            while not self._signals:
                self._wait(0.5)
                for child in self._children:
                    child.look()
                self._record()
                _show(followers)
                if not ready and all(child.entry.state == "running" for child in self._children):
                    ready = notify("READY=1")
                if time.monotonic() >= next_log_look:
                    next_log_look = time.monotonic() + _LOG_LOOK_S
                    self._tidy()
            self._stop(followers)

    def _listen(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        self._selector.register(reader, selectors.EVENT_READ, lambda: _drain(reader))
        for child in self._children:
            self._selector.register(child.notices, selectors.EVENT_READ, child.hear)
        # What a killed process leaves behind becomes ours, so that nothing outlives the supervisor.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._wakeup = writer

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _wait(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()

    def _record(self) -> None:
        ledger = Ledger(
            pid=os.getpid(), started=find_start(os.getpid()) or 0,
            processes=tuple(child.entry for child in self._children),
        )  # fmt: skip
        if ledger == self._written:
            return
        for entry in ledger.processes:
            if self._reported.get(entry.name) != entry.state:
                self._reported[entry.name] = entry.state
                self._say(f"{entry.name}: {entry.state}" + (f" ({entry.detail})" if entry.detail else ""))
        try:
            write_ledger(self._layout, ledger)
            self._written = ledger
        except StorageError as exc:
            self._say(f"{exc}; the processes go on, 'appliance status' may be out of date")

    def _tidy(self) -> None:
        for child in self._children:
            bound_log(log_path(self._layout, child.service.name))
        ours = {child.entry.pid for child in self._children}
        for pid in list_children().get(os.getpid(), []):
            if pid not in ours:  # adopted from a process that was killed
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _followers(self) -> dict[str, Follower]:
        if not self._foreground:
            return {}
        return {child.service.name: Follower(log_path(self._layout, child.service.name)) for child in self._children}

    def _stop(self, followers: dict[str, Follower]) -> None:
        asked, end = self._signals, time.monotonic() + STOP_S
        first = [child for child in self._children if child.service.name != _LAST_TO_STOP]
        last = [child for child in self._children if child.service.name == _LAST_TO_STOP]
        for group, deadline in ((first, end - STOP_S / 3), (last, end - 2.0)):
            for child in group:
                child.terminate()
            while self._count_unsettled(group):
                if time.monotonic() >= deadline or self._signals > asked:
                    break
                self._wait(0.1)
                self._record()
                _show(followers)
            for child in group:
                child.kill()
        end_children(grace_s=1.0)
        self._record()
        _show(followers)

    @staticmethod
    def _count_unsettled(group: list[Child]) -> int:
        return sum(not child.settle() for child in group)


def end_leftovers(layout: Layout) -> None:
    """End what a supervisor that was killed has left running, so that its ports are free."""
    ledger = find_ledger(layout)
    leftovers = [entry for entry in ledger.processes if entry.is_alive()] if ledger else []
    for entry in leftovers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(entry.pid, signal.SIGTERM)
    end = time.monotonic() + 10.0
    while any(entry.is_alive() for entry in leftovers) and time.monotonic() < end:
        time.sleep(0.1)
    for entry in leftovers:
        if entry.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(entry.pid, signal.SIGKILL)


def end_children(*, grace_s: float) -> None:
    """End every process that is left below this one: flows of a runner that was killed."""
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 1.0)):
        for pid in list_children().get(os.getpid(), []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plan given as JSON; exit code 1 when it cannot be."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    plan = msgspec.json.decode(text, type=Plan)
    try:
        Supervisor(plan, _say).run()
    except (ApplianceError, StorageError) as exc:
        print(f"appliance: {exc}", file=sys.stderr)
        return 1
    return 0


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)


def _show(followers: dict[str, Follower]) -> None:
    for name, follower in followers.items():
        for line in follower.read_lines():
            print(f"{name:12} | {line}", flush=True)


def _drain(reader: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while reader.recv(4096):
            pass


if __name__ == "__main__":
    sys.exit(main())

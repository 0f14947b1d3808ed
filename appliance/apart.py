"""Work on datasets' rows in processes of their own, for a process that stays light and answers meanwhile.

``appliance.apart_child`` is such a process. It is started when it is needed, takes the next order where it is free, and
ends when nobody has needed it for a while, or when it has grown. What it had in memory goes with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, TypeVar, cast

import msgspec

from appliance import errors as own
from appliance.apart_frames import Reply, decode, encode, read_frame, write_frame
from appliance.errors import ApplianceError, NotReady, ProcessLost, Stopped
from appliance.orders import Compare, Describe, Head, Inspect, Order, StopButton
from appliance.settings import Settings
from storage import errors as stored
from storage.errors import StorageError

T = TypeVar("T")

MOST_AT_ONCE = 4
WAIT_S = 120.0
"""For one of them to be free."""
IDLE_S = 30.0
"""An idle process holds 100 MB or more, and takes about a second of a processor to start."""
STOP_GRACE_S = 3.0
"""Between being asked to end, upon which it tidies up, and being killed."""
MOST_KEPT = 32
"""Answers about snapshots, which never change."""


class Apart:
    """A ``Worker`` whose processes are children of this one; threads may share it."""

    def __init__(self, settings: Settings, *, idle_s: float = IDLE_S) -> None:
        self._settings = settings
        self._idle_s = idle_s
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._kept: OrderedDict[Order, object] = OrderedDict()
        self._closed = False

    def do(self, order: Order, answer: type[T], stop: StopButton | None = None) -> T:
        """``Worker.do``.

        Raises:
            NotReady: As many as may be at work are, for minutes; or no process can be started.
        """
        lasting = isinstance(order, Describe | Inspect | Compare | Head)
        if lasting and isinstance(kept := self._recall(order), answer):
            return kept
        with self._child() as child:
            found = child.ask(order, answer, stop)
        if lasting:
            self._keep(order, found)
        return found

    def warm(self) -> None:
        """Have a process ready for an order that is about to come; returns at once."""
        with self._lock:
            if self._idle or self._closed:
                return
        with contextlib.suppress(NotReady):
            self._rest(_Child(self._settings))

    def close(self) -> None:
        """End every idle process; those at work end by themselves, since nobody hears them any more."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    @contextlib.contextmanager
    def _child(self) -> Iterator[_Child]:
        if not self._free.acquire(timeout=WAIT_S):
            raise NotReady(f"{MOST_AT_ONCE} tables are being read already; try again when one of them is done")
        try:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None or not child.is_usable:
                child = _Child(self._settings)
            try:
                yield child
            finally:
                self._rest(child)
        finally:
            self._free.release()

    def _rest(self, child: _Child) -> None:
        with self._lock:
            keep = child.is_usable and not self._closed and not self._idle
            if keep:
                self._idle.append(child)
        if not keep:
            child.end()
            return
        reaper = threading.Timer(self._idle_s, self._reap, (child, child.orders))
        reaper.daemon = True
        reaper.start()

    def _reap(self, child: _Child, orders: int) -> None:
        with self._lock:
            if child not in self._idle or child.orders != orders:
                return
            self._idle.remove(child)
        child.end()

    def _recall(self, order: Order) -> object | None:
        with self._lock:
            if order in self._kept:
                self._kept.move_to_end(order)
            return self._kept.get(order)

    def _keep(self, order: Order, found: object) -> None:
        with self._lock:
            self._kept[order] = found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


class _Child:
    """One such process, asked by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self.orders = 0
        self._worn = False
        ours = ("NOTIFY_SOCKET", "WATCHDOG_")  # it shall not say that the dashboard is ready
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "appliance.apart_child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
            )  # fmt: skip
            self._in, self._out = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
            write_frame(self._in, msgspec.json.encode(settings.model_dump(mode="json")))
        except OSError as exc:
            raise NotReady(f"the process that works on tables cannot be started: {exc.strerror}; try again") from exc

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again."""
        return not self._worn and self._process.poll() is None

    def ask(self, order: Order, answer: type[T], stop: StopButton | None) -> T:
        """Give it an order and wait.

        Raises:
            Stopped: Somebody wished so.
            ProcessLost: It ended before it had answered.
        """
        self.orders += 1
        self._worn = True  # until it has answered: what was left unread would be the next answer
        try:
            with stop.held_by(self._stop) if stop else contextlib.nullcontext():
                write_frame(self._in, encode(order))
                reply = decode(read_frame(self._out), Reply)
        except (OSError, EOFError) as exc:
            code = self._process.wait()
            if stop is not None and stop.pressed:
                raise Stopped("it was stopped") from exc
            raise ProcessLost(_how_it_ended(code)) from exc
        stopped = stop is not None and stop.pressed
        self._worn = reply.worn or stopped
        if reply.kind:  # one that was told to end may still have said what DuckDB made of that
            raise Stopped("it was stopped") if stopped else _error(reply)
        return decode(reply.answer, answer)

    def _stop(self) -> None:
        self._worn = True
        self._process.terminate()
        killer = threading.Timer(STOP_GRACE_S, self._process.kill)
        killer.daemon = True
        killer.start()

    def end(self) -> None:
        """End it: it hears that nobody will ask any more."""
        with contextlib.suppress(OSError):
            self._in.close()
        threading.Thread(target=self._bury, daemon=True).start()

    def _bury(self) -> None:
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the process that worked on the table was killed, as the kernel does when memory runs out"
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"the process that worked on the table ended {how}; 'appliance logs ui' may say why"


def _error(reply: Reply) -> Exception:
    """What the process raised, as the same class with the same sentence."""
    kind = getattr(own, reply.kind, None) or getattr(stored, reply.kind, None)
    if isinstance(kind, type) and issubclass(kind, ApplianceError | StorageError) and kind is not own.BadRow:
        return kind(reply.message)
    return RuntimeError(f"{reply.kind}: {reply.message}")

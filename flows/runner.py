"""Runs the jobs, each in a process of its own, and the watch loop beside them: ``python -m flows.runner``."""

from __future__ import annotations

import faulthandler
import fcntl
import logging
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from appliance.deployments import Deployments
from appliance.disk import require_room_for_jobs
from appliance.errors import ApplianceError, BadInput, Conflict, NotFound, NotReady
from appliance.jobs import JobKind, bell
from appliance.orchestrator import (
    CANCELLED,
    CANCELLING,
    CRASHED,
    FAILED,
    PENDING,
    RUNNING,
    SCHEDULED,
    FlowRun,
    Orchestrator,
)  # fmt: skip
from appliance.processes import heap
from appliance.processes.loglines import start_log
from appliance.processes.notify import notify, watchdog_interval_s
from appliance.processes.priority import BEHIND_SERVING, step_back
from appliance.processes.release_journal import is_changing
from appliance.registry.left_runs import close_left_runs
from appliance.registry.released import drop_unreleased, find_released
from appliance.settings import Settings, load_settings
from flows.children import Children
from flows.feeding import Feeding
from flows.housekeeping import Housekeeping
from flows.planned_training import note_outcome
from flows.register import register_flows
from flows.schedules import Schedules, is_planned
from flows.studying import Studying
from storage.errors import StorageError

log = logging.getLogger("appliance.runner")

TICK_S = 0.1
"""How often the bell, the children and the stop signal are looked at; none of them costs a request."""

LOOK_S = 2.0
"""How often the orchestrator is asked when nobody rang."""

HUNG_S = 240.0
"""A watch loop that was silent for so long hangs: the watchdog is fed no more, and systemd starts the runner again."""

STOP_S = 20.0
"""How long the end waits for the watch loop; the unit's TimeoutStopSec= is longer."""

MOST_STARTS = 4
"""Of one job: one that dies each time it does what is left is not started for ever."""

MISSED_AFTER_S = 3600.0
"""A scheduled run that was overdue by more when this runner began was missed while the appliance was down; the next one
will do."""


class Runner:
    """Claims due runs, starts their processes, stops the cancelled, and settles what became of them."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """A runner of that state; ``clock`` tells the seconds since 1970."""
        self._settings = settings
        self._clock = clock
        self._ready_at = clock()
        self._orchestrator = Orchestrator(settings)
        self._children = Children()
        self._schedules = Schedules(settings)
        self._housekeeping = Housekeeping(settings)
        self._feeding = Feeding(settings)
        self._studying = Studying()
        self._unsettled: dict[str, tuple[str, str]] = {}  # state and message; none where the runner itself stops
        # Jobs whose runs in MLflow are to be ended; None: those before this runner.
        self._left: set[str | None] = {None}
        self._rung = 0
        self._looked = 0.0
        self._answers = False
        self._has_room = True
        self._holds = False

    def start(self, is_stopping: Callable[[], bool]) -> bool:
        """Wait for the orchestrator, register the flows, and settle what a runner before this one left; False on stop.

        Runs that were going then have no process any more.
        """
        self._close_left_runs()
        while not is_stopping():
            try:
                register_flows(self._orchestrator)
                for run in self._orchestrator.runs_in(PENDING, RUNNING, CANCELLING):
                    end = (CANCELLED, "cancelled") if run.state is not None and run.state.type == CANCELLING else None
                    left = end or self._resumed(run) or (CRASHED, self._say_stopped(run))
                    self._orchestrator.set_state(run.id, *left, force=True)
                    note_outcome(self._settings, run, *left)
                self._answers, self._ready_at = True, self._clock()
            except (NotReady, StorageError, sqlite3.Error) as exc:
                if not isinstance(exc, NotReady):  # which is an orchestrator that still starts
                    log.error("%s", exc)
                time.sleep(0.5)
            else:
                return True
        return False

    def tick(self) -> None:
        """One look; asks the orchestrator only when somebody rang, a job runs, or it is time."""
        for ended in self._children.reap():
            self._unsettled.setdefault(ended.run_id, (CRASHED, ended.describe()))
            self._left.add(ended.run_id)
            self._close_left_runs()
        self._holds = self._is_release_changing()
        if not self._holds:
            self._housekeeping.tick()
            self._feeding.tick()
            self._studying.tick()
        if not self._is_due():
            return
        self._looked = time.monotonic()
        self._close_left_runs()
        try:
            self._settle()
            self._look()
            self._schedules.follow(self._orchestrator)
            self._answers = True
        except NotReady as exc:
            if self._answers:
                log.warning("%s; jobs wait until it answers again", exc)
            self._answers = False
        except (ApplianceError, StorageError, sqlite3.Error) as exc:  # a job that runs goes on meanwhile
            log.error("%s", exc)

    def stop(self) -> None:
        """Stop every job's process and say so at the orchestrator, if it still answers."""
        self._housekeeping.stop()
        self._feeding.stop()
        self._studying.stop()
        for run_id in self._children.stop_all():
            self._unsettled[run_id] = (CRASHED, "")
            self._left.add(run_id)
        self._close_left_runs()
        try:
            self._settle()
        except NotReady:
            log.warning("the orchestrator is gone; the next runner says what became of the jobs")
        except (StorageError, sqlite3.Error) as exc:
            log.error("%s; the next runner says what became of the jobs", exc)
        self._orchestrator.close()

    def _is_release_changing(self) -> bool:
        """Whether nothing is begun: what it wrote would be lost if the new release is taken back, or was half done."""
        holds = is_changing(self._settings.layout)
        if holds and not self._holds:
            log.info("another release takes over; jobs wait until that is final")
        return holds

    def _close_left_runs(self) -> None:
        """End what jobs that are gone left open in MLflow; while somebody holds its store, later looks try again."""
        for job_id in list(self._left):
            if job_id is None and not self._children.has_room("train"):
                continue  # one that goes on is not to be ended with what is left of an earlier runner
            try:
                close_left_runs(self._settings.layout, job_id)
                drop_unreleased(self._settings.layout, job_id)
            except StorageError as exc:
                log.info("%s; tried again", exc)
                return
            self._left.discard(job_id)

    def _is_due(self) -> bool:
        try:
            rung = bell(self._settings.layout).stat().st_mtime_ns
        except OSError:
            rung = 0
        if rung != self._rung:
            self._rung = rung
            return True
        return time.monotonic() - self._looked >= LOOK_S or bool(self._unsettled)

    def _look(self) -> None:
        now = self._clock()
        waiting: set[str] = set()
        for run in self._orchestrator.runs_in(SCHEDULED, CANCELLING):
            if run.state is not None and run.state.type == CANCELLING:
                self._children.kill(run.id)
                self._unsettled[run.id] = (CANCELLED, "cancelled")
            elif (at := run.next_scheduled_start_time) is not None and (not is_planned(run) or at.timestamp() <= now):
                self._take_up(run, at.timestamp(), waiting)
        self._settle()

    def _take_up(self, run: FlowRun, due_at: float, waiting: set[str]) -> None:
        """Start a run that is due, let it wait, or drop it; ``waiting``: names of scheduled runs that wait longer."""
        if not is_planned(run):
            self._claim(run)
        elif due_at < self._ready_at - MISSED_AFTER_S:
            self._orchestrator.set_state(run.id, CANCELLED, "missed while the appliance was down", force=True)
        elif run.name in waiting:
            why = "an earlier scheduled run still waits for its turn, and will do"
            self._orchestrator.set_state(run.id, CANCELLED, why, force=True)
        elif not self._claim(run):
            waiting.add(run.name)

    def _claim(self, run: FlowRun) -> bool:
        """Whether a run that is due starts; else it waits."""
        kind = run.name.partition(" ")[0]
        if self._holds or not self._children.has_room(kind) or not self._has_disk():
            return False
        if self._orchestrator.set_state(run.id, PENDING, "starting"):
            self._children.start(kind, run.id, str(run.parameters.get("model", "")))
            log.info("job %s (%s) starts", run.id, run.name, extra={"job": run.id})
        return True

    def _has_disk(self) -> bool:
        """A run that is due waits on a full disk; it says so once."""
        try:
            require_room_for_jobs(self._settings)
        except Conflict as exc:
            if self._has_room:
                log.warning("%s", exc)
            self._has_room = False
            return False
        self._has_room = True
        return True

    def _settle(self) -> None:
        """Give runs whose process is gone a final state, unless they told their own."""
        for run_id, outcome in list(self._unsettled.items()):
            state, message = outcome
            if self._children.is_running(run_id):
                continue
            run = self._find_run(run_id)
            found = None if run is None else run.state
            if found is not None and found.type == CANCELLING:
                state, message = CANCELLED, "cancelled"
            elif run is not None and state == CRASHED:
                state, message = self._resumed(run) or (state, message or self._say_stopped(run))
            # A job that is killed may have said before that it crashed; one that was done before stays done.
            told = {CANCELLED: (CRASHED, FAILED), SCHEDULED: (CRASHED,)}.get(state, ())
            stale = {PENDING, RUNNING, CANCELLING, *told}
            if found is not None and found.type in stale:
                self._orchestrator.set_state(run_id, state, message, force=True)
            elif found is not None:
                state, message = found.type, found.message or ""
            if run is not None:
                note_outcome(self._settings, run, state, message)
            del self._unsettled[run_id]

    def _say_stopped(self, run: FlowRun) -> str:
        """Why a job ended that the runner did not outlive, and the way to have it after all."""
        why = "another release took over" if is_changing(self._settings.layout) else "the runner was stopped"
        way = f"'appliance jobs again {run.id}' starts it again"
        return f"{why} while this job ran; {'it comes again by itself' if run.name.startswith(JobKind.FEED) else way}"

    def _find_run(self, run_id: str) -> FlowRun | None:
        try:
            return self._orchestrator.get_run(run_id)
        except NotFound:
            return None  # somebody deleted it in Prefect's own pages

    def _resumed(self, run: FlowRun) -> tuple[str, str] | None:
        """The state of a job that died with its version published: it runs again, to do what is left; else None."""
        if run.state is None or run.state.type not in {PENDING, RUNNING, CRASHED}:
            return None
        try:
            released = find_released(self._settings.layout, run.id)
        except (StorageError, sqlite3.Error) as exc:
            log.warning("%s", exc, extra={"job": run.id})
            return None
        if released is None or run.run_count >= MOST_STARTS:
            return None
        return SCHEDULED, f"version {released.version} is published; the job goes on from there"


def run(settings: Settings) -> int:
    """Run jobs and the watch loop until SIGTERM or SIGINT.

    Raises:
        BadInput: Another runner works on this state already.
    """
    settings.layout.create()
    with (settings.layout.run / "runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BadInput(f"another runner works on {settings.state} already; stop it first") from exc
        return _run(settings)


class _StopSignals:
    """SIGTERM and SIGINT, remembered.

    A signal handler must not set an ``Event``: its lock may be held by the very thread that the handler interrupts.
    """

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def came(self) -> bool:
        """Whether this process was asked to end."""
        return self._came

    def _remember(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the signature is Python's)
        self._came = True


def _run(settings: Settings) -> int:
    signals = _StopSignals()
    _clean_tmp(settings)
    Deployments(settings).publish()
    stop = threading.Event()
    pulse = _Pulse()
    watch = threading.Thread(target=_watch, args=(settings, stop, pulse), name="watch", daemon=True)
    watch.start()
    runner = Runner(settings)
    try:
        _serve(runner, pulse, signals.came)
    finally:
        notify("STOPPING=1")
        stop.set()
        runner.stop()
        watch.join(timeout=STOP_S)
    return 0


class _Pulse:
    """When the watch loop last said that it does not hang."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def beat(self) -> None:
        """It lives."""
        self._at = time.monotonic()

    def is_felt(self) -> bool:
        """It said so lately."""
        return time.monotonic() - self._at < HUNG_S


def _serve(runner: Runner, pulse: _Pulse, is_stopping: Callable[[], bool]) -> None:
    beat_s, beaten = watchdog_interval_s(), 0.0
    notify("STATUS=waiting for the orchestrator")
    if runner.start(is_stopping):
        notify("READY=1\nSTATUS=")
        log.info("the runner is ready")
    while not is_stopping():
        runner.tick()
        if beat_s is not None and time.monotonic() - beaten >= beat_s and pulse.is_felt():
            notify("WATCHDOG=1")
            beaten = time.monotonic()
        time.sleep(TICK_S)


def _watch(settings: Settings, stop: threading.Event, pulse: _Pulse) -> None:
    """The watch loop; after an error that nobody foresaw it starts anew, since jobs must not suffer from it."""
    from appliance.monitoring.watch import watch_until  # noqa: PLC0415  (loads Polars)

    while not stop.is_set():
        try:
            watch_until(settings, stop, alive=pulse.beat)
        except Exception:
            log.exception("the watch loop failed; it starts again in 10 s")
            stop.wait(10.0)


def _clean_tmp(settings: Settings) -> None:
    """Half-made bundles of trainings that were killed."""
    for path in settings.layout.tmp.glob("bundle-*"):
        shutil.rmtree(path, ignore_errors=True)


def main() -> int:
    """Settings from the environment; logs to standard error."""
    start_log()
    faulthandler.enable()  # a watchdog ends a process that hangs with SIGABRT: it says where it hangs
    step_back(BEHIND_SERVING)
    heap.keep_small()
    try:
        return run(load_settings())
    except (ApplianceError, StorageError) as exc:
        log.error("%s", exc)
        return os.EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())

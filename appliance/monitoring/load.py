"""How loaded the appliance is now: requests in work, the shadows' queue, each process, the disk, the watch loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import ApplianceError
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.service_report import Lag
from appliance.monitoring.spans import State
from appliance.monitoring.watchdog import SILENT
from appliance.processes.control import status
from appliance.processes.procfs import find_cpu_s
from appliance.processes.report import ProcessReport
from appliance.serving.counts import Counts
from appliance.serving.shadow import WAITING
from appliance.settings import Settings
from storage.disk_budget import Pressure, judge_disk, read_disk

NEARLY_FULL = 0.8
"""From here on a limit is near: the share at which the shipped rule of Prometheus fires, too."""
SHORTEST_S, LONGEST_S = 2.0, 60.0
"""Between two readings of processor time: the kernel counts in hundredths of a second, and an hour ago is not now."""
_API = "api"
_PRESSURES = {Pressure.NONE: State.OK, Pressure.ALERT: State.WARN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """So much of what there is room for.

    Attributes:
        used: Requests or bytes.
        limit: As many there may be, > 0.
        state: Whether the limit is near (``warn``) or reached (``alarm``).
    """

    used: int
    limit: int
    state: State

    @property
    def share(self) -> float:
        """``used / limit``."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLoad:
    """What the inference API has in its hands.

    Attributes:
        workers: Processes that answer.
        busy: Those among them that have a request in work.
        requests: In work, in all workers; beyond the limit callers get a 503.
        queue: Requests that wait for a shadow, of all models; further ones are dropped.
        queued_here: Those among them that wait for a shadow of the model asked about; None when none was.
    """

    workers: int
    busy: int
    requests: Filling
    queue: Filling
    queued_here: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLoad:
    """One process and all below it.

    Attributes:
        process: How it stands and what it weighs.
        cpu_share: Of one core, since the last look, so above 1 where it kept several busy; None in the first look, or
            while it does not run.
    """

    process: ProcessReport
    cpu_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """How loaded the appliance is at one moment.

    Attributes:
        api: None while the inference API does not run, or sleeps.
        processes: Empty where systemd does not say how they stand.
        disk: Bytes of the file system below the state directory, as ``df`` counts; None when it cannot be asked.
        lag: How far the watch loop is behind.
        watch: ``alarm`` when the loop has been silent for so long that an alert opens; ``not_enough_data`` when it has
            never looked.
    """

    api: ApiLoad | None
    processes: tuple[ProcessLoad, ...]
    disk: Filling | None
    lag: Lag
    watch: State


@dataclass(frozen=True, slots=True)
class _Reading:
    """Processor time of one run of a process, and the share that was told with it."""

    run: object
    cpu_s: float
    at_s: float
    share: float | None


class Load:
    """Looks anew at every call and keeps the last reading of processor time; may be asked from several threads."""

    def __init__(
        self, settings: Settings, monitoring: Monitoring, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._monitoring = monitoring
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}

    def look(self, model: str | None = None) -> LoadReport:
        """The load now; what cannot be read is left empty and hides nothing else."""
        try:
            processes = status(self._settings).services
        except ApplianceError:  # systemd does not answer
            processes = ()
        runs = any(one.name == _API and one.pid is not None for one in processes)
        lag = self._monitoring.lag()
        return LoadReport(
            api=self._api(model) if runs else None,
            processes=tuple(ProcessLoad(process=one, cpu_share=self._cpu_share(one)) for one in processes),
            disk=self._disk(), lag=lag, watch=judge_watch(lag, datetime.now(UTC)),
        )  # fmt: skip

    def _api(self, model: str | None) -> ApiLoad | None:
        """From the workers' shared counts; None before the first worker has said how much it takes."""
        counts = Counts(self._settings.layout.run / "api-counts", 0)
        workers = [one for one in counts.workers() if one.room]
        if not workers:
            return None
        queued = {key: int(tally.queued) for key, tally in counts.totals().items() if tally.queued}
        return ApiLoad(
            workers=len(workers), busy=sum(one.in_flight > 0 for one in workers),
            requests=judge_filling(int(sum(one.in_flight for one in workers)), int(sum(one.room for one in workers))),
            queue=judge_filling(sum(queued.values()), WAITING * len(workers)),
            queued_here=None if model is None else sum(
                waiting for (name, _), waiting in queued.items() if name == model
            ),
        )  # fmt: skip

    def _disk(self) -> Filling | None:
        try:
            use = read_disk(self._settings.state)
        except OSError:
            return None
        if not use.size:
            return None
        return Filling(used=use.size - use.free, limit=use.size, state=_PRESSURES.get(judge_disk(use), State.ALARM))

    def _cpu_share(self, process: ProcessReport) -> float | None:
        cpu_s = process.cpu_s if process.cpu_s is not None or process.pid is None else find_cpu_s(process.pid)
        if cpu_s is None:
            return None
        run, now = (process.pid, process.since), self._clock()
        with self._lock:
            before = self._readings.get(process.name)
            share = None
            if before is not None and before.run == run and now - before.at_s <= LONGEST_S:
                if now - before.at_s < SHORTEST_S:
                    return before.share  # another tab looked just now
                # A child that ends while this reads may be missed once, so that the sum may fall a little.
                share = max(0.0, cpu_s - before.cpu_s) / (now - before.at_s)
            self._readings[process.name] = _Reading(run, cpu_s, now, share)
        return share


def judge_filling(used: int, limit: int) -> Filling:
    """``warn`` above four fifths of the limit, ``alarm`` from the limit on.

    Args:
        used: At least 0.
        limit: At least 1.
    """
    state = State.ALARM if used >= limit else State.WARN if used > NEARLY_FULL * limit else State.OK
    return Filling(used=used, limit=limit, state=state)


def judge_watch(lag: Lag, now: datetime) -> State:
    """Whether the watch loop looks, by the silence after which its alert opens."""
    if lag.heartbeat_at is None:
        return State.NOT_ENOUGH_DATA
    return State.ALARM if now - lag.heartbeat_at > SILENT else State.OK

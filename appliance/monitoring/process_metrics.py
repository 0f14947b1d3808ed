"""The appliance's processes and its disk, as Prometheus sees them; read from the kernel, no process is asked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from appliance.processes.control import status
from appliance.processes.procfs import find_cpu_s
from appliance.settings import Settings


class ProcessFigures:
    """Reads them anew at every call; keeps what a counter has said, so that it never goes back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._said: dict[str, tuple[object, float]] = {}

    def families(self) -> Iterator[Metric]:
        """Whether each process runs, its memory and processor time, and the room below the state directory."""
        up = GaugeMetricFamily("appliance_process_up", "1 while the process runs.", labels=["process"])
        memory = GaugeMetricFamily(
            "appliance_process_memory_bytes", "Of the process and all below it, shared pages in parts.",
            labels=["process"],
        )  # fmt: skip
        processor = CounterMetricFamily(
            "appliance_process_cpu_seconds", "Processor time of the process and all below it, ended ones too.",
            labels=["process"],
        )  # fmt: skip
        for service in status(self._settings).services:
            up.add_metric([service.name], float(service.state == "running"))
            if service.pss_mb is not None:
                memory.add_metric([service.name], service.pss_mb * 1e6)
            seconds = service.cpu_s
            if seconds is None and service.pid is not None:
                seconds = find_cpu_s(service.pid)
            if seconds is not None:
                processor.add_metric([service.name], self._steady(service.name, (service.pid, service.since), seconds))
        usage = shutil.disk_usage(self._settings.state)
        yield from (up, memory, processor)
        yield GaugeMetricFamily("appliance_disk_free_bytes", "Below the state directory.", usage.free)
        yield GaugeMetricFamily("appliance_disk_size_bytes", "Of the file system of the state directory.", usage.total)

    def _steady(self, name: str, run: object, seconds: float) -> float:
        """At least what was said before of the same run; a process that was started anew begins anew."""
        with self._lock:
            before, said = self._said.get(name, (run, 0.0))
            seconds = max(seconds, said) if before == run else seconds
            self._said[name] = run, seconds
            return seconds

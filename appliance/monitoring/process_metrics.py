"""The appliance's processes and its disk, as Prometheus sees them; read from the kernel, no process is asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from appliance.processes.control import status
from appliance.settings import Settings

_TICKS = os.sysconf("SC_CLK_TCK")


def process_families(settings: Settings) -> Iterator[Metric]:
    """Whether each process runs, its memory and processor time, and the room below the state directory."""
    up = GaugeMetricFamily("appliance_process_up", "1 while the process runs.", labels=["process"])
    memory = GaugeMetricFamily(
        "appliance_process_memory_bytes", "Of the process and all below it, shared pages in parts.", labels=["process"]
    )
    processor = CounterMetricFamily(
        "appliance_process_cpu_seconds", "Processor time of the process and its ended children.", labels=["process"]
    )
    for service in status(settings).services:
        up.add_metric([service.name], float(service.state == "running"))
        if service.pss_mb is not None:
            memory.add_metric([service.name], service.pss_mb * 1e6)
        seconds = _cpu_seconds(service.pid)
        if seconds is not None:
            processor.add_metric([service.name], seconds)
    usage = shutil.disk_usage(settings.state)
    yield from (up, memory, processor)
    yield GaugeMetricFamily("appliance_disk_free_bytes", "Below the state directory.", usage.free)
    yield GaugeMetricFamily("appliance_disk_size_bytes", "Of the file system of the state directory.", usage.total)


def _cpu_seconds(pid: int | None) -> float | None:
    if pid is None:
        return None
    try:
        # The name may hold spaces and parentheses: fields are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return sum(int(field) for field in fields[11:15]) / _TICKS

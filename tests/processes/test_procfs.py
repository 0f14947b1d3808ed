"""The processor time of a tree of processes: live children are in it, and nothing is lost when they end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.monitoring.process_metrics import ProcessFigures
from appliance.processes.ledger import Ledger, ProcessEntry, write_ledger
from appliance.processes.procfs import find_cpu_s, find_start
from appliance.settings import Settings

WORKER = """
import sys, time
while time.process_time() < 0.5:
    pass
print("worked", flush=True)
sys.stdin.readline()
"""
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WORKER!r}], stdin=subprocess.PIPE)
sys.stdin.readline()
child.communicate(b"go")
print("ended", flush=True)
sys.stdin.readline()
"""
FORGETFUL = PARENT.replace("import os,", "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); import os,")
"""Takes no note of how its child ended, so the kernel throws the child's times away."""


@contextmanager
def tree(program: str) -> Iterator[subprocess.Popen[str]]:
    """A process and its child, which has worked for half a second."""
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout
        assert parent.stdout.readline() == "worked\n"
        yield parent
    finally:
        parent.communicate("\n\n")


def end_child(parent: subprocess.Popen[str]) -> None:
    assert parent.stdin
    assert parent.stdout
    parent.stdin.write("\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "ended\n"


def test_a_live_child_counts_and_its_end_neither_adds_nor_takes() -> None:
    with tree(PARENT) as parent:
        live = find_cpu_s(parent.pid)
        end_child(parent)
        ended = find_cpu_s(parent.pid)
    assert live is not None
    assert ended is not None
    assert live >= 0.5
    assert live <= ended < live + 0.4, "the end of an interpreter is all that comes"
    assert find_cpu_s(parent.pid) is None


def test_the_counter_of_a_process_never_goes_back(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    settings.layout.create()
    figures = ProcessFigures(settings)

    def said() -> float:
        (family,) = (one for one in figures.families() if one.name == "appliance_process_cpu_seconds")
        return next(sample.value for sample in family.samples if sample.labels == {"process": "api"})

    with tree(FORGETFUL) as parent:
        started = find_start(parent.pid)
        assert started is not None
        entry = ProcessEntry(
            name="api", state="running", pid=parent.pid, started=started, since="2026-03-01T00:00:00Z"
        )  # fmt: skip
        write_ledger(settings.layout, Ledger(pid=parent.pid, started=started, processes=(entry,)))
        before = said()
        end_child(parent)
        measured = find_cpu_s(parent.pid)
        assert measured is not None
        assert measured < before <= said()
    assert before >= 0.5

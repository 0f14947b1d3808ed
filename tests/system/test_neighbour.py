"""A training that takes all it gets, beside callers of the API: they hardly notice it, and it dies alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.processes.priority import FIRST_TO_GO
from tests.system.machine import SOURCE, SYSTEM_PYTHON, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

CALLERS = 4
LOOKED_S = 10
TIGHT = "MemoryMax=600M"
"""Less than a training on the large table needs, more than the runner itself does."""

LARGE = """
import numpy as np, polars as pl
rng = np.random.default_rng(1)
rows, columns = 600_000, 30
frame = pl.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(columns)})
frame = frame.with_columns(y=pl.col("x0") * 3 + pl.col("x1") * pl.col("x2") + rng.normal(size=rows))
frame.write_parquet("/root/large.parquet")
"""

MODEL = """
name = "large"
dataset = "large"
target = "y"
rounds = 100000
early_stopping = 10000
[params]
learning_rate = 0.0001
"""
"""Its fit outlasts the look at it."""


@contextmanager
def callers(machine: Machine) -> Iterator[dict[str, object]]:
    """Callers that ask without pause; what they met is in the dictionary afterwards."""
    found: dict[str, object] = {}
    machine.ok("rm -f /root/stop /root/load.json")
    machine.ok(
        "systemd-run --unit=callers -p StandardOutput=file:/root/load.json"
        f" {SYSTEM_PYTHON} {SOURCE}/tests/system/load.py 8100 /root/stop {CALLERS}"
    )
    try:
        yield found
    finally:  # callers that go on fill the event log and take the processors from every test that follows
        machine.ok("touch /root/stop; while systemctl is-active -q callers.service; do sleep 0.1; done")
    found.update(json.loads(machine.ok("cat /root/load.json")))


def look(machine: Machine) -> dict[str, object]:
    with callers(machine) as found:
        machine.ok(f"sleep {LOOKED_S}")
    assert found["failures"] == []
    return found


def job(machine: Machine, job_id: str) -> tuple[str, str]:
    """Its state, and what is said of it."""
    (found,) = [one for one in json.loads(machine.ok("appliance jobs list --json"))["jobs"] if one["id"] == job_id]
    return found["state"], found["message"]


def start(machine: Machine) -> str:
    return str(json.loads(machine.ok("appliance train large --json"))["job"])


@pytest.fixture(scope="module")
def large(serving: Machine) -> Machine:
    """With a table of 600,000 rows and 30 columns, and a model on it that is not trained yet."""
    serving.ok(f"cat > /root/large.py <<'E'\n{LARGE}\nE\n/opt/appliance/current/venv/bin/python /root/large.py")
    serving.ok(f"cat > /root/large.toml <<'E'\n{MODEL}\nE\ncd /root && appliance data add large large.parquet")
    serving.ok("cd /root && appliance apply large.toml && rm large.parquet")
    return serving


def test_callers_beside_a_training_of_a_large_table(large: Machine) -> None:
    """Figures, not limits, since they depend on the machine: seen with ``-s``; twice the idle p99 is what is asked."""
    idle = look(large)
    job_id = start(large)
    try:
        fits = f"appliance jobs log {job_id} | grep -q 'fit: '"
        large.ok(f"for i in $(seq 600); do {fits} && exit 0; sleep 0.5; done; appliance jobs log {job_id}; exit 1")
        beside = look(large)
        assert job(large, job_id)[0] == "running", "it trained all the while"
    finally:
        large.ok(f"appliance jobs cancel {job_id}")
    sys.stdout.write(
        f"\nAPI with {CALLERS} callers, p50/p99 ms: idle {idle['p50_ms']}/{idle['p99_ms']},"
        f" beside a training {beside['p50_ms']}/{beside['p99_ms']},"
        f" p99 {float(str(beside['p99_ms'])) / float(str(idle['p99_ms'])):.2f} x idle\n"
    )
    large.ok("timeout 280 sh -c 'while pgrep -f [f]lows.child; do sleep 0.2; done'")


def test_a_training_that_eats_all_memory_dies_alone_and_its_job_says_why(large: Machine) -> None:
    before = large.main_pids()
    limits = "systemctl set-property --runtime appliance-batch.slice"
    large.ok(f"{limits} {TIGHT}")
    try:
        with callers(large) as met:
            job_id = start(large)
            ended = f"appliance jobs list --json | grep -A12 {job_id} | grep -Eq 'crashed|failed|completed'"
            begun = "pgrep -f [f]lows.child | sed 's,.*,/proc/&/oom_score_adj,' | xargs cat"
            seen = f'for i in $(seq 600); do [ "$({begun})" = {FIRST_TO_GO} ] && exit 0; sleep 0.1; done'
            large.ok(f"{seen}; pgrep -af [f]lows.child; {begun}; exit 1")
            large.ok(f"for i in $(seq 600); do {ended} && exit 0; sleep 0.5; done; exit 1", timeout_s=400)
    finally:
        large.ok(f"{limits} MemoryMax=55%")
    state, message = job(large, job_id)
    journal = large.ok("journalctl -u appliance-runner --no-pager -n 60")
    assert state == "crashed", journal
    assert message.startswith("the kernel ended the job for want of memory; train on fewer rows"), journal
    assert large.main_pids() == before
    assert met["failures"] == []

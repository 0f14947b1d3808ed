"""Control groups of version 2, as every customer's host has them: who weighs what, and who goes when memory ends."""

from __future__ import annotations

import json

import pytest

from tests.system.test_neighbour import LARGE, MODEL
from tests.vm.conftest import PREDICT, PYTHON
from tests.vm.guest import SLOWER, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200 * SLOWER)]

SERVICES = ("api", "ui", "orchestrator", "runner")
TIGHT = "MemoryMax=600M"
GROUP = "/sys/fs/cgroup"


def group(guest: Guest, unit: str) -> str:
    return GROUP + guest.ok(f"systemctl show --value -p ControlGroup {unit}").strip()


def test_the_machine_has_one_hierarchy_of_version_2(guest: Guest) -> None:
    assert guest.ok(f"stat -fc %T {GROUP}").strip() == "cgroup2fs"


def test_status_weighs_every_process(guest: Guest) -> None:
    report = json.loads(guest.ok("appliance status --json"))
    weighed = {one["name"]: (one["pss_mb"], one["cpu_s"]) for one in report["services"]}
    for name in SERVICES:
        memory, processor = weighed[name]
        assert memory > 1, name
        assert processor > 0, name


def test_doctor_and_the_dashboards_unit_see_what_each_process_has(guest: Guest) -> None:
    checks = json.loads(guest.ok("appliance doctor --json"))["checks"]
    told = {one["name"]: one["message"] for one in checks if one["name"].startswith("memory of ")}
    assert "MiB, cache of its files included, of at most" in told["memory of ui"]
    guest.ok(PREDICT)
    asked = 'curl -sf -H "X-API-Key: $(cat /root/key)" http://127.0.0.1:8080/api/load'
    for one in json.loads(guest.ok(asked))["processes"]:
        if one["process"]["name"] in SERVICES:
            assert one["process"]["pss_mb"] > 1, one


def test_the_kernel_has_the_weights_and_limits_of_the_units(guest: Guest) -> None:
    def read(unit: str, file: str) -> str:
        return guest.ok(f"cat {group(guest, unit)}/{file}").strip()

    assert read("appliance-serving.slice", "cpu.weight") == "400"
    assert read("appliance-batch.slice", "cpu.weight") == "50"
    assert read("appliance-ui.service", "cpu.weight") == "200"
    assert read("appliance-serving.slice", "memory.low") == str(256 << 20)
    total = int(guest.ok("awk '/^MemTotal:/ { print $2 }' /proc/meminfo")) * 1024
    assert abs(int(read("appliance-batch.slice", "memory.max")) / total - 0.55) < 0.01
    for name in ("ui", "orchestrator"):
        assert int(read(f"appliance-{name}.service", "memory.max")) < total, name
    # One process of the group goes, not all of it: the job, not the runner; the reader of a table, not the dashboard.
    for name in ("runner", "ui"):
        assert read(f"appliance-{name}.service", "memory.oom.group") == "0", name


def test_a_training_that_eats_all_memory_dies_alone_and_its_job_says_why(guest: Guest) -> None:
    guest.ok(f"cat > /root/large.py <<'E'\n{LARGE}\nE\n{PYTHON} -P /root/large.py", timeout_s=300)
    guest.ok(f"cat > /root/large.toml <<'E'\n{MODEL}\nE\nappliance data add large large.parquet", timeout_s=300)
    guest.ok("appliance apply large.toml && rm large.parquet")
    before = guest.main_pids()
    guest.ok(f"systemctl set-property --runtime appliance-batch.slice {TIGHT}")
    guest.wipe()
    guest.ok("systemd-run -q --unit=caller python3 /opt/source/tests/vm/caller.py")
    try:
        job_id = json.loads(guest.ok("appliance train large --json"))["job"]
        ended = f"appliance jobs list --json | grep -A12 {job_id} | grep -Eq 'crashed|failed|completed'"
        guest.until(ended, timeout_s=400)
    finally:
        guest.ok("systemctl stop caller; systemctl set-property --runtime appliance-batch.slice MemoryMax=55%")
    (job,) = [one for one in json.loads(guest.ok("appliance jobs list --json"))["jobs"] if one["id"] == job_id]
    journal = guest.ok("journalctl -u appliance-runner --no-pager -n 60")
    assert job["state"] == "crashed", journal
    assert job["message"].startswith("the kernel ended the job for want of memory; train on fewer rows"), journal
    assert guest.main_pids() == before
    met = guest.lines("acknowledged")
    assert len(met) > 20
    assert [line for line in met if line.startswith("failed")] == []

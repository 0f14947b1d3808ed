"""The appliance as systemd units, installed and used on a booted machine without a network."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.system.machine import SOURCE, SYSTEM_PYTHON, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

PREDICT = (
    'curl -s -w " %{http_code}" -H "X-API-Key: $(cat /root/key)" -d @/root/body.json'
    " http://127.0.0.1:8100/models/penguins/predict"
)
SERVICES = ("api", "ui", "orchestrator", "runner")
ELSEWHERE = "tests/system/elsewhere.py"


def test_every_unit_runs_and_status_says_so(installed: Machine) -> None:
    for name in SERVICES:
        assert installed.ok(f"systemctl is-active appliance-{name}.service").strip() == "active"
    report = json.loads(installed.ok("appliance status --json"))
    assert {service["name"]: service["state"] for service in report["services"]} == dict.fromkeys(
        (*SERVICES, "mlflow"), "running"
    )
    assert all(service["pss_mb"] > 1 for service in report["services"] if service["name"] != "mlflow")
    now = datetime.now(UTC)
    since = [datetime.fromisoformat(service["since"]) for service in report["services"] if service["name"] != "mlflow"]
    assert all(timedelta(0) < now - one < timedelta(hours=2) for one in since), "of this boot"
    assert installed.run("systemctl is-active appliance-mlflow.service").out.strip() == "inactive"


def test_a_model_is_trained_and_predicts_under_the_hardening(serving: Machine) -> None:
    body, _, code = serving.ok(PREDICT).rpartition(" ")
    assert code == "200", body
    prediction = json.loads(body)["predictions"][0]
    assert prediction["label"] in {"Adelie", "Chinstrap", "Gentoo"}


def test_the_load_is_told_to_root_and_by_the_dashboards_own_unit(serving: Machine) -> None:
    asked = 'curl -sf -H "X-API-Key: $(cat /root/key)" "http://127.0.0.1:8080/api/load?model=penguins"'
    serving.ok(PREDICT)
    serving.ok(asked)
    time.sleep(3)  # a share of the processor is that since the look before
    for answer in (serving.ok("appliance load penguins --json"), serving.ok(asked)):
        found = json.loads(answer)
        weighed = {one["process"]["name"]: (one["process"]["pss_mb"], one["cpu_share"]) for one in found["processes"]}
        assert set(SERVICES) <= set(weighed)
        for name in SERVICES:
            memory, share = weighed[name]
            assert memory > 1, name
            assert 0 <= share < 2, name
        assert found["api"]["requests"]["limit"] > 0
        assert found["api"]["queued_here"] == 0
        assert found["watch"] == "ok"
        assert 0 < found["disk"]["used"] < found["disk"]["limit"]
    metrics = serving.ok(asked.replace("/api/load?model=penguins", "/api/metrics"))
    for name in SERVICES:
        for metric in ("memory_bytes", "cpu_seconds_total"):
            assert re.search(rf'^appliance_process_{metric}{{process="{name}"}} [0-9]', metrics, re.MULTILINE), name
    owners = serving.ok("stat -c %U /var/lib/appliance/appliance.db*").split()
    assert set(owners) == {"appliance"}, "a look by root leaves no file of root's"


def test_the_dashboards_unit_sees_the_host_and_reaches_what_is_not_on_it(serving: Machine) -> None:
    key = serving.ok("appliance key create everything --scope admin").strip()
    asked = f'curl -sf -H "X-API-Key: {key}" http://127.0.0.1:8080/api'
    host = json.loads(serving.ok(f"{asked}/host"))
    assert 0 < host["memory_available"] < host["memory_total"]
    assert 0 <= host["cpu_share"] <= 1
    found = {check["name"]: check["state"] for check in json.loads(serving.ok(f"{asked}/doctor"))["checks"]}
    assert found["memory"] == "ok"
    filtered = serving.ok("systemctl show -p IPAddressDeny --value appliance-ui.service").strip()
    assert filtered == "", "channels are tried, and tables read, at other addresses"
    serving.ok(f"ip addr add 10.9.8.7/32 dev lo && systemd-run --unit=elsewhere {SYSTEM_PYTHON} {SOURCE}/{ELSEWHERE}")
    try:
        serving.ok("curl -sf --retry 20 --retry-connrefused http://10.9.8.7:9000/rows.csv")
        body = '{"name": "far", "source": "http://10.9.8.7:9000/rows.csv"}'
        assert json.loads(serving.ok(f"{asked}/datasets -H 'content-type: application/json' -d '{body}'"))["rows"] == 99
        body = '{"name": "hook", "address": "http://10.9.8.7:9000/hook"}'
        serving.ok(f"{asked}/alert-channels -H 'content-type: application/json' -d '{body}'")
        assert json.loads(serving.ok(f"{asked}/alert-channels/hook/test -X POST"))["state"] == "sent"
    finally:
        serving.run("systemctl stop elsewhere; ip addr del 10.9.8.7/32 dev lo")


def test_a_training_runs_in_the_batch_slice_at_the_lowest_priority(serving: Machine) -> None:
    serving.ok("appliance train penguins")
    found = serving.ok(
        "timeout 200 sh -c 'until pid=$(pgrep -nf [f]lows.child) && [ $(ps -o ni= -p $pid) = 19 ]; do sleep 0.02; done;"
        " cat /proc/$pid/cgroup; ps -o sid= -p $pid; echo $pid'"
    ).split()
    assert found[0].endswith("/appliance-batch.slice/appliance-runner.service")
    assert found[-1] == found[-2], "a session of its own"
    api = serving.main_pids()["appliance-api.service"]
    assert serving.ok(f"cat /proc/{api}/cgroup").split()[0].endswith("/appliance-serving.slice/appliance-api.service")
    weights = [
        int(serving.ok(f"systemctl show --value -p CPUWeight appliance-{name}.slice")) for name in ("serving", "batch")
    ]
    assert weights[0] >= 8 * weights[1]
    serving.ok("timeout 280 sh -c 'while pgrep -f [f]lows.child; do sleep 0.2; done'")


def test_everything_belongs_to_the_user_of_the_appliance(serving: Machine) -> None:
    assert serving.ok("find /var/lib/appliance ! -user appliance").strip() == ""
    assert serving.ok("find /opt/appliance -user appliance").strip() == ""
    assert serving.ok("stat -c '%U:%G %a' /etc/appliance/appliance.toml").strip() == "root:appliance 640"
    assert serving.ok("stat -c '%U %a' /var/lib/appliance/admin-password").strip() == "appliance 600"


def test_a_second_run_changes_and_restarts_nothing(serving: Machine) -> None:
    listing = "find /etc/appliance /etc/systemd/system /opt/appliance -newer /root/mark ! -type d"
    before = serving.main_pids()
    serving.ok("touch /root/mark; sleep 0.1")
    said = serving.ok(f"sh {SOURCE}/install.sh")
    assert "nothing was changed" in said
    assert serving.main_pids() == before
    assert serving.ok(listing).strip() == ""


def test_a_killed_api_is_back_and_the_socket_refused_nobody(serving: Machine) -> None:
    before = serving.main_pids()["appliance-api.service"]
    serving.ok(f"kill -KILL {before}")
    body, _, code = serving.ok(PREDICT).rpartition(" ")
    assert code == "200", body
    assert serving.main_pids()["appliance-api.service"] not in {before, "0"}


def test_three_restarts_under_16_kept_connections_lose_no_request(serving: Machine) -> None:
    serving.ok("rm -f /root/stop /root/load.json")
    serving.ok(
        "systemd-run --unit=load -p StandardOutput=file:/root/load.json"
        f" {SYSTEM_PYTHON} {SOURCE}/tests/system/load.py 8100 /root/stop"
    )
    serving.ok("for i in 1 2 3; do sleep 1; systemctl restart appliance-api.service; done; sleep 1")
    serving.ok("touch /root/stop; while systemctl is-active -q load.service; do sleep 0.1; done")
    found = json.loads(serving.ok("cat /root/load.json"))
    assert found["failures"] == []
    assert found["reopened"] >= 3 * 16
    assert found["answers"] > 200


@contextmanager
def changed(machine: Machine, unit: str, *lines: str) -> Iterator[None]:
    """A unit with a drop-in of the operator's."""
    folder = f"/etc/systemd/system/{unit}.d"
    text = "\\n".join(["[Service]", *lines, ""])
    machine.ok(f"mkdir -p {folder} && printf '{text}' > {folder}/50-own.conf && systemctl daemon-reload")
    machine.ok(f"systemctl restart {unit}")
    try:
        yield
    finally:
        machine.ok(f"rm {folder}/50-own.conf && systemctl daemon-reload && systemctl restart {unit}")


def test_an_api_that_hangs_is_started_again_by_its_watchdog(serving: Machine) -> None:
    with changed(serving, "appliance-api.service", "WatchdogSec=3", "TimeoutAbortSec=3"):
        before = serving.main_pids()["appliance-api.service"]
        serving.ok("sleep 5")
        assert serving.main_pids()["appliance-api.service"] == before, "it is fed while it answers"
        serving.ok(f"kill -STOP {before}")
        body, _, code = serving.ok(PREDICT).rpartition(" ")  # waits at the port meanwhile
        assert code == "200", body
        assert serving.main_pids()["appliance-api.service"] not in {before, "0"}
        assert "Watchdog timeout" in serving.ok("journalctl -u appliance-api.service --no-pager")


@pytest.mark.parametrize("name", ["ui", "orchestrator", "runner"])
def test_whoever_hangs_is_started_again_by_its_watchdog(serving: Machine, name: str) -> None:
    unit = f"appliance-{name}.service"
    with changed(serving, unit, "WatchdogSec=8", "TimeoutAbortSec=3"):
        before = serving.main_pids()[unit]
        serving.ok("sleep 12")
        assert serving.main_pids()[unit] == before, "it is fed while it is well"
        serving.ok(f"kill -STOP {before}")
        back = f'[ "$(systemctl show --value -p MainPID {unit})" != {before} ] && systemctl is-active -q {unit}'
        serving.ok(f"for i in $(seq 900); do {back} && exit 0; sleep 0.1; done; systemctl status {unit}; exit 1")
        assert "Watchdog timeout" in serving.ok(f"journalctl -u {unit} --no-pager")


def test_several_workers_are_ready_together_and_one_that_dies_comes_back(serving: Machine) -> None:
    with changed(serving, "appliance-api.service", "Environment=APPLIANCE_API_WORKERS=2"):
        parent = serving.main_pids()["appliance-api.service"]
        workers = serving.ok(f"pgrep -P {parent}").split()
        assert len(workers) == 2
        serving.ok(f"kill -KILL {workers[0]}")
        for _ in range(3):
            body, _, code = serving.ok(PREDICT).rpartition(" ")
            assert code == "200", body
        serving.ok(f'for i in $(seq 900); do [ "$(pgrep -c -P {parent})" = 2 ] && exit 0; sleep 0.1; done; exit 1')
        assert serving.main_pids()["appliance-api.service"] == parent


def test_mlflow_wakes_when_somebody_comes(installed: Machine) -> None:
    assert installed.ok("curl -s --max-time 280 http://127.0.0.1:5000/health").strip() == "OK"
    assert installed.ok("systemctl is-active appliance-mlflow.service").strip() == "active"
    installed.ok("systemctl stop appliance-mlflow.service")


def test_a_job_writes_to_the_journal_as_the_other_processes_do(serving: Machine) -> None:
    """Prefect's own lines, which have the time and a form of their own in a file; each says of which job it is."""
    jobs = json.loads(serving.ok("appliance jobs list --json"))["jobs"]
    job = next(one for one in jobs if (one["kind"], one["model"]) == ("train", "penguins"))
    asked = f"journalctl -u appliance-runner -o json APPLIANCE_JOB={job['id']} APPLIANCE_MODEL=penguins"
    entries = [json.loads(line) for line in serving.ok(asked).splitlines()]
    told = {entry["PRIORITY"] for entry in entries if entry["MESSAGE"].startswith("read: ")}
    assert (told, {entry["LOGGER"] for entry in entries} >= {"prefect.flow_runs"}) == ({"6"}, True)
    shown = serving.ok(f"appliance logs --job {job['id']} --since 1d")
    assert (" read: " in shown, f"job {job['id']} (train penguins) starts" in shown) == (True, True)
    assert "the orchestrator listens on" not in shown


def test_last_words_are_found_under_their_unit(installed: Machine) -> None:
    """The journal asks the kernel which unit a writer is of; a process that ends at once waits until it has."""
    said = "tls: tls_cert and tls_key are not set"
    for _ in range(5):
        installed.run("systemctl restart appliance-tls.service")
    installed.ok("systemctl stop appliance-tls.service; journalctl --sync")
    entries = [json.loads(line) for line in installed.ok("journalctl SYSLOG_IDENTIFIER=appliance -o json").splitlines()]
    told = [entry for entry in entries if str(entry["MESSAGE"]).startswith(said)]
    assert len(told) >= 5
    assert {entry.get("_SYSTEMD_UNIT") for entry in told} == {"appliance-tls.service"}
    assert {(entry["_TRANSPORT"], entry["PRIORITY"]) for entry in told} == {("journal", "3")}


def test_an_error_is_found_by_its_priority_in_the_journal(installed: Machine) -> None:
    """A unit without its certificate, which says so and ends; the others tell what they do, which is no error."""
    installed.ok("systemctl start appliance-tls.service || true; sleep 1; systemctl stop appliance-tls.service")
    said = "tls: tls_cert and tls_key are not set; './install.sh --tls self' makes both"
    assert said in installed.ok("appliance logs tls --priority err")
    entries = [json.loads(line) for line in installed.ok("journalctl -u appliance-tls -o json -n 99").splitlines()]
    assert {entry["PRIORITY"] for entry in entries if entry["MESSAGE"] == said} == {"3"}
    listens = "the orchestrator listens on"
    assert listens in installed.ok("appliance logs orchestrator --priority info --lines 1000")
    assert listens not in installed.ok("appliance logs --priority err --lines 1000")


@pytest.mark.parametrize("name", [*SERVICES, "mlflow", "backup", "tls", "recover", "reopen"])
def test_each_unit_is_exposed_by_no_more_than_15(installed: Machine, name: str) -> None:
    said = installed.ok(f"systemd-analyze security --no-pager --threshold=15 appliance-{name}.service")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= 1.5


def test_memory_and_processors_are_shared_as_the_host_allows(installed: Machine) -> None:
    total_mb = int(installed.ok("awk '/^MemTotal:/ { print $2 }' /proc/meminfo")) >> 10
    for name, percent, least, most in (
        ("ui", 40, 1024, 8192),
        ("orchestrator", 15, 768, 2048),
        ("mlflow", 20, 1024, 4096),
    ):
        limit = int(installed.ok(f"systemctl show --value -p MemoryMax appliance-{name}.service")) >> 20
        assert limit == min(max(total_mb * percent // 100 // 64 * 64, least), most), name
    names = ("ui", "orchestrator", "mlflow")
    weights = [int(installed.ok(f"systemctl show --value -p CPUWeight appliance-{name}.service")) for name in names]
    assert weights == [200, 100, 50]
    checks = json.loads(installed.ok("appliance doctor --json"))["checks"]
    told = {check["name"]: check["state"] for check in checks if check["name"].startswith("memory of ")}
    assert told == {f"memory of {name}": "ok" for name in names}


def test_doctor_finds_nothing_wrong(serving: Machine) -> None:
    report = json.loads(serving.ok("appliance doctor --json"))
    assert [check for check in report["checks"] if check["state"] == "fail"] == []


def test_stop_is_orderly_and_start_serves_again(serving: Machine) -> None:
    units = " ".join(f"appliance-{name}.service" for name in SERVICES)
    serving.ok(
        "systemctl stop appliance.target;"
        f" timeout 120 sh -c 'while systemctl show --value -p ActiveState {units} | grep -q ing; do sleep 0.1; done'"
    )
    for name in SERVICES:
        shown = serving.ok(f"systemctl show -p ActiveState -p Result appliance-{name}.service").split()
        assert shown == ["Result=success", "ActiveState=inactive"], name
    assert serving.run("curl -s http://127.0.0.1:8100/health/live").code == 7, "nobody listens"
    serving.ok("systemctl start appliance.target")
    body, _, code = serving.ok(PREDICT).rpartition(" ")
    assert code == "200", body


@pytest.mark.parametrize("how", ["start", "reboot"])
def test_how_soon_it_answers(serving: Machine, how: str) -> None:
    """Figures, not limits: they depend on the machine; seen with ``-s``. A reboot's hold the boot itself."""
    serving.ok("systemctl stop appliance.target; sleep 2") if how == "start" else serving.kill()
    began = time.monotonic()
    serving.ok("systemctl start --no-block appliance.target") if how == "start" else serving.up()
    serving.ok(f'until [ "$({PREDICT} | tail -c 3)" = 200 ]; do sleep 0.05; done', timeout_s=120)
    predicted_s = time.monotonic() - began
    serving.ok("until curl -sf -o /dev/null http://127.0.0.1:8080/login; do sleep 0.05; done", timeout_s=120)
    shown_s = time.monotonic() - began
    sys.stdout.write(f"\n{how}: first prediction {predicted_s:.1f} s, dashboard {shown_s:.1f} s\n")
    assert serving.ok(PREDICT).strip().endswith("200")


def test_a_settings_change_is_taken_over(installed: Machine) -> None:
    installed.ok(f"sh {SOURCE}/install.sh --ui-port 8181", timeout_s=400)
    assert installed.ok("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8181/login").strip() == "200"

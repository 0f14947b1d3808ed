"""A broken page, a missing interface: each ends in a running appliance or a clear line of doctor, with nothing lost."""

from __future__ import annotations

import json

import pytest

from tests.system.machine import SOURCE, SYSTEM_PYTHON, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

DATABASE = "/var/lib/appliance/appliance.db"
ADDRESS = "10.77.0.1"
ASK = 'curl -s -H "X-API-Key: $(cat /root/key)" -d @/root/body.json'
PREDICT = "models/penguins/predict"


def ask(machine: Machine, address: str = "127.0.0.1") -> str:
    """The id of an answered prediction."""
    said = machine.ok(f"{ASK} http://{address}:8100/{PREDICT}")
    return str(json.loads(said)["predictions"][0]["id"])


def doctor(machine: Machine, name: str) -> list[tuple[str, str, str]]:
    """State, message and fix of its lines of that name."""
    report = json.loads(machine.run("appliance doctor --json").out)
    return [(one["state"], one["message"], one["fix"]) for one in report["checks"] if one["name"] == name]


def recorded(machine: Machine, folder: str, prediction: str) -> bool:
    """Whether a prediction stands in the event log below a folder."""
    return machine.run(f"grep -rqF {prediction.partition('.')[0]} {folder}").code == 0


def test_broken_pages_are_said_by_all_and_lose_no_acknowledged_prediction(serving: Machine) -> None:
    serving.ok("appliance backup create", timeout_s=200)
    acknowledged = [ask(serving) for _ in range(20)]
    page = (
        f"import os, sqlite3; db = sqlite3.connect('{DATABASE}'); db.execute('PRAGMA wal_checkpoint(TRUNCATE)'); "
        f"size = os.path.getsize('{DATABASE}'); file = open('{DATABASE}', 'r+b'); file.seek(4096); "
        "file.write(os.urandom(size - 4096)); os.fsync(file.fileno())"
    )
    serving.ok("systemctl stop appliance-runner.service appliance-ui.service")
    try:
        serving.ok(f'{SYSTEM_PYTHON} -c "{page}"')
        said = serving.ok(f"{ASK} -w ' %{{http_code}}' http://127.0.0.1:8100/{PREDICT}")
        if not said.endswith(" 200"):  # it looked for the key after the pages broke
            assert said.endswith(" 503")
            assert f"{DATABASE} cannot be read" in said
        ((message, fix),) = [(one[1], one[2]) for one in doctor(serving, "database") if one[0] == "fail"]
        assert (DATABASE in message, "appliance backup restore" in fix) == (True, True)
        assert "'appliance doctor' says which, and what to do" in serving.run("appliance models").out
    finally:
        serving.ok("appliance down")
        serving.ok("appliance backup restore --replace")
        serving.ok("appliance up --detach", timeout_s=200)
    assert {state for state, _, _ in doctor(serving, "database")} == {"ok"}
    ask(serving)
    for prediction in acknowledged:  # made after the backup, so they lie with what it replaced
        assert recorded(serving, "/var/lib/appliance/replaced-*", prediction)
    serving.ok("rm -r /var/lib/appliance/replaced-*")


def test_a_port_that_was_taken_at_the_start_is_opened_once_it_is_free(serving: Machine) -> None:
    serving.ok("appliance down")
    serving.ok(f"systemd-run --unit=taker {SYSTEM_PYTHON} -m http.server --bind 127.0.0.1 8100")
    serving.ok("for i in $(seq 100); do curl -so /dev/null http://127.0.0.1:8100 && exit 0; sleep 0.1; done; exit 1")
    try:
        serving.ok("date +%s > /root/began; systemctl start --no-block appliance.target")
        waits = "journalctl -u appliance-reopen --since @$(cat /root/began) | grep -c 'is taken by another program'"
        serving.ok(f'for i in $(seq 300); do [ "$({waits})" -ge 1 ] && exit 0; sleep 0.2; done; exit 1')
        serving.ok("sleep 17")  # it looked three times more
        tried = "journalctl -u appliance-api.socket --since @$(cat /root/began) | grep -c 'Failed to listen on sockets'"
        assert serving.ok(tried).strip() == "1"  # and wrote nothing
        assert serving.ok(waits).strip() == "1"
        ((state, message, fix),) = doctor(serving, "api")
        assert state == "fail"
        assert "tried again every 5 s: port 8100 is taken by python3" in message
        assert "end that" in fix
        serving.ok("appliance down && systemctl start --no-block appliance.target")  # it has failed already
        serving.ok("for i in $(seq 100); do systemctl is-active appliance-reopen && exit 0; sleep 0.1; done; exit 1")
        serving.ok("systemctl is-failed appliance-api.socket")
    finally:
        serving.ok("systemctl stop taker.service")
    active = "systemctl is-active -q appliance"
    serving.ok(f"for i in $(seq 300); do {active}-api.service && exit 0; sleep 0.2; done; exit 1")
    ask(serving)
    serving.ok(f"for i in $(seq 100); do {active}-reopen.service || exit 0; sleep 0.2; done; exit 1")
    serving.ok("appliance up --detach", timeout_s=200)
    assert [state for state, _, _ in doctor(serving, "api")] == ["ok"]


def test_no_port_is_opened_of_an_appliance_that_was_stopped(serving: Machine) -> None:
    """The API's socket has failed, the target is stopped, and MLflow's socket, started by hand, fails as well."""
    serving.ok("appliance down")
    for port, name in ((8100, "api"), (5000, "mlflow")):
        serving.ok(f"systemd-run --unit=taker-{name} {SYSTEM_PYTHON} -m http.server --bind 127.0.0.1 {port}")
        listens = f"curl -so /dev/null http://127.0.0.1:{port}"
        serving.ok(f"for i in $(seq 100); do {listens} && exit 0; sleep 0.1; done; exit 1")
    try:
        for name in ("api", "mlflow"):
            assert serving.run(f"systemctl start appliance-{name}.socket").code != 0
        serving.ok("systemctl stop taker-api.service")  # its port is free
        active = "systemctl is-active -q appliance"
        serving.ok(f"for i in $(seq 300); do {active}-reopen.service || exit 0; sleep 0.2; done; exit 1")
        assert serving.ok("systemctl is-active appliance-api.service || true").strip() == "inactive"
        serving.ok("systemctl is-failed appliance-api.socket")
    finally:
        serving.run("systemctl stop taker-api.service taker-mlflow.service")
        serving.ok("appliance up --detach", timeout_s=200)


def test_an_interface_that_is_missing_at_boot_is_waited_for(serving: Machine) -> None:
    serving.ok(f"ip link set lo up; ip address add {ADDRESS}/32 dev lo")
    serving.ok(f"sh {SOURCE}/install.sh --listen {ADDRESS}", timeout_s=400)
    try:
        ask(serving, ADDRESS)
        serving.kill()
        serving.up()  # without the address
        rest = "systemctl is-active appliance-orchestrator.service appliance-runner.service"
        serving.ok(f"for i in $(seq 600); do {rest} && exit 0; sleep 0.2; done; exit 1", timeout_s=200)
        ((state, message, fix),) = doctor(serving, "address")
        assert (state, ADDRESS in message, "bring the interface up" in fix) == ("fail", True, True)
        serving.ok(f"ip address add {ADDRESS}/32 dev lo")
        asked = f"{ASK} -f -o /dev/null http://{ADDRESS}:8100/{PREDICT}"
        shown = f"curl -sf -o /dev/null http://{ADDRESS}:8080/login"
        serving.ok(f"for i in $(seq 600); do {asked} && {shown} && exit 0; sleep 0.2; done; exit 1", timeout_s=200)
        assert [state for state, _, _ in doctor(serving, "address")] == ["ok"]
    finally:
        serving.ok(f"sh {SOURCE}/install.sh --listen 127.0.0.1", timeout_s=400)
    ask(serving)

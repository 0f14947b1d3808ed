"""Upgrades on a booted machine: under load, of a bad release, with the power cut; then uninstalled without a trace."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.releases import make_next_release
from tests.system.machine import BASE, PACKAGES, ROOT, SOURCE, SYSTEM_PYTHON, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

PREDICT = (
    'curl -s -w " %{http_code}" -H "X-API-Key: $(cat /root/key)" -d @/root/body.json'
    " http://127.0.0.1:8100/models/penguins/predict"
)
BEYOND = (
    "README.md",
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "requirements.uv.lock",
    "requirements.postgres.lock",
    "install.sh",
)


def make_checkout(name: str) -> Path:
    """A checkout of the next release, where the machine sees it: /opt/packages/NAME."""
    folder = PACKAGES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    make_next_release(folder)
    shutil.copytree(ROOT / "systemd", folder / "systemd")
    for file in BEYOND:
        shutil.copy(ROOT / file, folder / file)
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@contextmanager
def load(machine: Machine) -> Iterator[dict[str, object]]:
    """16 kept connections that predict without pause; what they met is in the dictionary afterwards."""
    found: dict[str, object] = {}
    machine.ok("rm -f /root/stop /root/load.json")
    machine.ok(
        "systemd-run --unit=load -p StandardOutput=file:/root/load.json"
        f" {SYSTEM_PYTHON} {SOURCE}/tests/system/load.py 8100 /root/stop"
    )
    try:
        yield found
    finally:  # a load that goes on fills the event log and takes the processors from every test that follows
        machine.ok("sleep 1; touch /root/stop; while systemctl is-active -q load.service; do sleep 0.1; done")
    found.update(json.loads(machine.ok("cat /root/load.json")))


def release(machine: Machine) -> str:
    return machine.ok("readlink /opt/appliance/current").strip()


def schema(machine: Machine) -> str:
    program = (
        'import sqlite3; db = sqlite3.connect("/var/lib/appliance/appliance.db");'
        ' print(db.execute("PRAGMA user_version").fetchone()[0])'
    )
    return machine.ok(f"{SYSTEM_PYTHON} -c '{program}'").strip()


def answers(machine: Machine) -> bool:
    return machine.ok(PREDICT).rpartition(" ")[2] == "200"


@pytest.fixture(scope="module")
def old(serving: Machine) -> tuple[str, str]:
    """The release and the schema that run before any upgrade."""
    return release(serving), schema(serving)


def test_the_nightly_backup_runs_as_its_unit_and_is_proved(serving: Machine) -> None:
    assert "appliance-backup.timer" in serving.ok("systemctl list-timers --all --no-pager")
    serving.ok("systemctl start appliance-backup.service")
    (backup, *_) = json.loads(serving.ok("appliance backup list --json"))["backups"]
    assert backup["notes"]["verified_at"]
    assert not backup["notes"]["problem"]
    said = serving.ok("systemd-analyze security --no-pager --threshold=15 appliance-backup.service")
    assert "exposure level" in said


def test_a_lost_state_comes_back_from_its_backup_and_predicts_the_same(serving: Machine) -> None:
    before = json.loads(serving.ok(PREDICT).rpartition(" ")[0])["predictions"][0]
    made = json.loads(serving.ok("appliance backup create --json"))["path"]
    serving.ok(f"cp {made} /root/kept.backup")
    assert "stop them first with 'appliance down'" in serving.run("appliance backup restore --replace").out
    serving.ok("appliance down")
    serving.ok("find /var/lib/appliance -mindepth 1 -delete")
    serving.ok("appliance backup restore /root/kept.backup")
    serving.ok("appliance up --detach", timeout_s=200)
    after = json.loads(serving.ok(PREDICT).rpartition(" ")[0])["predictions"][0]
    assert after["probabilities"] == before["probabilities"]
    assert serving.ok("find /var/lib/appliance ! -user appliance").strip() == ""


def test_a_bad_release_goes_back_by_itself_and_no_request_is_lost(serving: Machine, old: tuple[str, str]) -> None:
    folder = make_checkout("bad")
    change(
        folder / "appliance" / "api" / "inference" / "process.py",
        "    config = replace(config, workers=count_workers(config.workers))\n",
        '    raise BadSetting("this release does not start")\n',
    )
    with load(serving) as met:
        done = serving.run("sh /opt/packages/bad/install.sh", timeout_s=600)
    assert done.code == 3, done.out
    assert f"The release {old[0].removeprefix('releases/')} is in place as before" in done.out
    assert "package index" not in done.out
    assert "going back to" in serving.ok("cat /var/log/appliance-install.log")
    assert "this release does not start" in serving.ok("journalctl -u appliance-api --no-pager -n 200")
    assert (release(serving), schema(serving)) == old
    assert met["failures"] == []
    assert isinstance(met["answers"], int)
    assert met["answers"] > 500
    serving.ok("appliance up --detach")
    assert answers(serving)


def test_an_upgrade_under_load_loses_no_request_and_can_be_taken_back(serving: Machine, old: tuple[str, str]) -> None:
    make_checkout("next")
    with load(serving) as met:
        serving.ok("sh /opt/packages/next/install.sh", timeout_s=600)
    assert met["failures"] == []
    assert release(serving) != old[0]
    assert schema(serving) == str(int(old[1]) + 1)
    assert serving.ok("find /var/lib/appliance ! -user appliance").strip() == ""
    assert json.loads(serving.ok("appliance doctor --json"))["ok"]
    assert "nothing was changed" in serving.ok("sh /opt/packages/next/install.sh")
    refused = serving.run(f"sh {SOURCE}/install.sh --rollback")
    assert (refused.code, "Add --yes" in refused.out) == (1, True)
    with load(serving) as met:
        said = serving.ok(f"sh {SOURCE}/install.sh --rollback --yes", timeout_s=300)
    assert "can still be activated" not in said, "what is meant needs no warning"
    assert met["failures"] == []
    assert (release(serving), schema(serving)) == old
    assert answers(serving)


def test_tls_runs_the_release_that_is_current_after_an_upgrade_and_a_step_back(installed: Machine) -> None:
    installed.ok(f"sh {SOURCE}/install.sh --tls self", timeout_s=300)
    before = release(installed)
    make_checkout("next")
    installed.ok("sh /opt/packages/next/install.sh", timeout_s=600)
    after = release(installed)
    assert after != before
    require_tls(installed, after)
    installed.ok(f"sh {SOURCE}/install.sh --rollback --yes", timeout_s=300)
    require_tls(installed, before)
    installed.ok(f"sh {SOURCE}/install.sh --tls off", timeout_s=300)


def require_tls(machine: Machine, name: str) -> None:
    """The door is of that release, and answers; it is started again without anybody waiting for it."""
    machine.ok(
        f"for i in $(seq 300); do pid=$(systemctl show --value -p MainPID appliance-tls.service);"
        f" tr '\\0' ' ' </proc/$pid/cmdline | grep -q /{name}/"
        " && curl -s --cacert /etc/appliance/tls/cert.pem https://localhost:8443/health/live >/dev/null && exit 0;"
        " sleep 0.1; done; exit 1"
    )


@pytest.mark.timeout(1500)
def test_a_power_cut_in_the_middle_of_an_upgrade_is_taken_back_at_boot(serving: Machine, old: tuple[str, str]) -> None:
    folder = make_checkout("slow")
    change(
        folder / "appliance" / "api" / "inference" / "process.py",
        "    config = replace(config, workers=count_workers(config.workers))\n",
        "    import time\n\n    time.sleep(600)\n",
    )
    serving.ok(
        "systemd-run --unit=slow -p WorkingDirectory=/ -E UV_OFFLINE=1 -E UV_CACHE_DIR=/opt/packages/uv"
        " -E PIP_NO_INDEX=1 -E PIP_FIND_LINKS=/opt/packages/wheels sh /opt/packages/slow/install.sh"
    )
    flipped = f'[ "$(readlink /opt/appliance/current)" != "{old[0]}" ]'
    said = "cat /var/log/appliance-install.log; systemctl status --no-pager slow.service"
    # Most of it is the installation of the packages, which takes a busy host minutes before the upgrade begins.
    ends = "systemctl is-active -q slow.service || break"
    serving.ok(f"for i in $(seq 7000); do {flipped} && exit 0; {ends}; sleep 0.1; done; {said}; exit 1", timeout_s=1000)
    assert schema(serving) != old[1]
    serving.kill()
    serving.up()
    serving.ok("for i in $(seq 300); do appliance status >/dev/null && exit 0; sleep 0.3; done; exit 1")
    assert (release(serving), schema(serving)) == old
    assert "going back" in serving.ok("journalctl -u appliance-recover --no-pager")
    assert not serving.ok("ls /var/lib/appliance/upgrade | grep journal || true").strip()
    assert answers(serving)


def test_a_reboot_serves_again_by_itself(serving: Machine) -> None:
    serving.kill()
    serving.up()
    serving.ok("for i in $(seq 300); do appliance status >/dev/null && exit 0; sleep 0.3; done; exit 1")
    assert answers(serving)
    assert json.loads(serving.ok("appliance doctor --json"))["ok"]


def test_uninstalling_keeps_the_data_and_installing_again_finds_it(serving: Machine) -> None:
    said = serving.ok(f"sh {SOURCE}/install.sh --uninstall")
    assert "the state and its backups in /var/lib/appliance" in said
    assert (
        serving.ok("ls -d /opt/appliance /etc/systemd/system/appliance* /usr/local/bin/appliance 2>/dev/null; true")
        == ""
    )
    assert serving.run("curl -s http://127.0.0.1:8100/health/live").code == 7
    serving.ok(f"sh {SOURCE}/install.sh", timeout_s=600)
    assert answers(serving)


def test_a_purge_leaves_nothing(serving: Machine) -> None:
    refused = serving.run(f"sh {SOURCE}/install.sh --uninstall --purge")
    assert (refused.code, "add --yes" in refused.out) == (1, True)
    serving.ok(f"sh {SOURCE}/install.sh --uninstall --purge --yes")
    named = ["find", "/", "-xdev", "-iname", "*appliance*"]
    # The machine's root is the host's, with the machine's own writes above: what lies there on the host is not its.
    host = subprocess.run(["chroot", BASE, *named], capture_output=True, text=True, check=False).stdout.splitlines()
    left = serving.ok(
        f"{shlex.join(named)} -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/journal/*'"
        " -not -path '/opt/source/*' -not -path '/opt/packages/*' -not -path '/tmp/*' -not -path '/var/tmp/*'"
        " -newer /etc/hostname 2>/dev/null; getent passwd appliance; true"
    ).splitlines()
    assert set(left) - set(host) == set()

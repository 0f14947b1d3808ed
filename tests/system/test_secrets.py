"""Secrets are files that root alone reads; systemd hands each to the units that need it, and to no other."""

from __future__ import annotations

import json

import pytest

from tests.system.machine import SOURCE, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

PASSPHRASE = "/etc/appliance/backup-passphrase"


def ask(machine: Machine) -> tuple[int, dict[str, object]]:
    """What Back up now does; the status and the answer."""
    said = machine.ok(
        "curl -s -w ' %{http_code}' -X POST -H \"X-API-Key: $(cat /root/admin-key)\" http://127.0.0.1:8080/api/backups"
    )
    body, _, code = said.rpartition(" ")
    return int(code), json.loads(body)


def sealed(machine: Machine) -> list[bool]:
    """Of each backup, newest first."""
    return [one["notes"]["sealed"] for one in json.loads(machine.ok("appliance backup list --json"))["backups"]]


def test_where_there_is_a_passphrase_no_backup_is_made_in_clear(serving: Machine) -> None:
    serving.ok("appliance key create upkeep --scope admin > /root/admin-key")
    before = len(sealed(serving))
    assert ask(serving)[0] == 201
    assert sealed(serving)[0] is False, "nobody wished for it"
    serving.ok(f"umask 077; echo 'correct horse' > {PASSPHRASE}")

    code, said = ask(serving)
    assert code == 422, "the dashboard was not handed it yet"
    assert "run './install.sh' again, which hands it over" in json.dumps(said)
    assert serving.run("systemctl start appliance-backup.service").code != 0
    assert len(sealed(serving)) == before + 1

    serving.ok(f"sh {SOURCE}/install.sh", timeout_s=300)
    code, said = ask(serving)
    assert (code, said["problems"]) == (201, [])
    serving.ok("systemctl start appliance-backup.service")
    serving.ok("appliance backup create", timeout_s=300)  # as an upgrade does
    assert sealed(serving)[:3] == [True, True, True]
    assert json.loads(serving.ok("appliance backup verify latest --json"))["problems"] == []
    for unit in ("runner", "api"):
        pid = serving.main_pids()[f"appliance-{unit}.service"]
        assert serving.run(f"nsenter -m -t {pid} ls -A /run/credentials/appliance-ui.service").code != 0

    serving.ok(f"rm {PASSPHRASE} && systemctl restart appliance-ui.service")
    assert serving.run("appliance backup create").code == 1
    code, said = ask(serving)
    assert (code, "was not there, or empty" in json.dumps(said)) == (422, True), "it starts, and makes none in clear"
    serving.ok(f"sh {SOURCE}/install.sh", timeout_s=300)
    assert ask(serving)[0] == 201
    assert sealed(serving)[0] is False

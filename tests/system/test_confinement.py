"""From inside each unit everything that its hardening forbids is tried; TLS is in front where it was asked for."""

from __future__ import annotations

import json

import pytest

from tests.system.machine import SOURCE, SYSTEM_PYTHON, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

UNITS = ("api", "ui", "orchestrator", "runner", "backup", "mlflow")


@pytest.mark.parametrize("name", UNITS)
def test_what_is_forbidden_is_refused_inside_the_unit(serving: Machine, name: str) -> None:
    probe(serving, name)


def probe(serving: Machine, name: str) -> None:
    """Try all that is forbidden before the unit's own program starts."""
    folder = f"/run/systemd/system/appliance-{name}.service.d"
    out = f"/var/lib/appliance/tmp/probe-{name}.json"
    line = f"ExecStartPre={SYSTEM_PYTHON} {SOURCE}/tests/system/probe.py {out}"
    serving.ok(
        f"mkdir -p {folder} && printf '[Service]\\n{line}\\n' > {folder}/90-probe.conf && systemctl daemon-reload"
    )
    try:
        serving.ok(f"systemctl restart appliance-{name}.service", timeout_s=200)
    finally:
        serving.ok(f"rm {folder}/90-probe.conf && systemctl daemon-reload")
    found = json.loads(serving.ok(f"cat {out} && rm {out}"))
    assert len(found) > 20
    assert {attempt for attempt, how in found.items() if how is None} == set()


def test_tls_is_in_front_when_it_was_asked_for_and_gone_when_not(serving: Machine) -> None:
    serving.ok(f"sh {SOURCE}/install.sh --tls self", timeout_s=300)
    trusted = "curl -s --cacert /etc/appliance/tls/cert.pem"
    assert serving.ok(f"{trusted} -o /dev/null -w '%{{http_code}}' https://localhost:8443/health/ready") == "200"
    assert serving.ok(f"{trusted} -o /dev/null -w '%{{http_code}}' https://localhost:8444/login") == "200"
    assert serving.run("curl -s https://localhost:8443/health/ready").code == 60, "nobody else trusts it"
    assert serving.ok("stat -c '%U:%G %a' /etc/appliance/tls/key.pem").strip() == "root:root 600"
    for unit in ("api", "ui", "runner"):
        pid = serving.main_pids()[f"appliance-{unit}.service"]
        inside = f"nsenter -m -t {pid} setpriv --reuid=appliance --regid=appliance --clear-groups"
        handed = "/run/credentials/appliance-tls.service/tls-key"
        assert serving.run(f"{inside} cat {handed} || {inside} cat /etc/appliance/tls/key.pem").code != 0, unit
    serving.ok("systemd-analyze security --no-pager --threshold=15 appliance-tls.service")
    checks = json.loads(serving.ok("appliance doctor --json"))["checks"]
    assert {check["state"] for check in checks if check["name"] in {"certificate", "configuration"}} == {"ok"}
    probe(serving, "tls")
    before = serving.ok("sha256sum /etc/appliance/tls/cert.pem")
    assert "nothing was changed" in serving.ok(f"sh {SOURCE}/install.sh")
    assert serving.ok("sha256sum /etc/appliance/tls/cert.pem") == before, "made once"
    python = "/opt/appliance/current/venv/bin/python -P"
    serving.ok(f"{python} -m appliance.processes.certificate /root/pair 127.0.0.1 && umask 077")
    serving.ok(f"sh {SOURCE}/install.sh --tls /root/pair/cert.pem,/root/pair/key.pem", timeout_s=300)
    assert (
        serving.ok(
            "curl -s --cacert /root/pair/cert.pem --retry 20 --retry-connrefused -o /dev/null -w '%{http_code}'"
            " https://localhost:8443/health/live"
        )
        == "200"
    ), "another pair is served at once"
    serving.ok(f"sh {SOURCE}/install.sh --tls off", timeout_s=300)
    assert serving.run("curl -s https://localhost:8443/health/ready").code == 7, "nobody listens"
    assert "tls" not in serving.ok("systemctl show -p Wants appliance.target"), "nor will anybody at the next start"

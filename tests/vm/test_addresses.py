"""Which unit reaches another address than loopback: ``IPAddressDeny=`` is a filter of the kernel's, a real one here."""

from __future__ import annotations

import pytest

from tests.vm.guest import SLOWER, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900 * SLOWER)]

ELSEWHERE = "10.9.8.7"
"""Of an interface of the guest's own; its port 9000 answers everybody whom the kernel lets through."""
ASK = (
    "import socket, sys; socket.setdefaulttimeout(20); "  # what is filtered is dropped, not refused
    f"found = [socket.socket().connect_ex((address, 9000)) for address in ('{ELSEWHERE}', '127.0.0.1')]; "
    "print(*found, file=open(sys.argv[1], 'w'))"
)


@pytest.fixture(scope="module")
def elsewhere(guest: Guest) -> Guest:
    guest.ok(f"ip link add other type dummy && ip addr add {ELSEWHERE}/24 dev other && ip link set other up")
    guest.ok("systemd-run -q --unit=elsewhere python3 -m http.server --bind 0.0.0.0 9000")
    guest.until(f"curl -sf -o /dev/null http://{ELSEWHERE}:9000/")
    return guest


@pytest.mark.parametrize(
    ("name", "reaches"),
    [("api", False), ("orchestrator", False), ("mlflow", False), ("ui", True), ("runner", True), ("tls", True)],
)
def test_a_unit_reaches_another_address_only_where_it_must(elsewhere: Guest, name: str, reaches: bool) -> None:
    """All of the unit but its program, in whose place one asks."""
    folder, out = f"/run/systemd/system/appliance-{name}.service.d", f"/var/lib/appliance/tmp/reached-{name}"
    lines = ["Type=oneshot", "Restart=no", "ExecStart=", f"ExecStart=/usr/bin/python3 /opt/ask.py {out}"]
    text = "\\n".join(["[Service]", *lines, ""])
    elsewhere.ok(f"cat > /opt/ask.py <<'E'\n{ASK}\nE\nmkdir -p {folder} && printf '{text}' > {folder}/90-ask.conf")
    elsewhere.ok(f"systemctl daemon-reload && systemctl stop appliance-{name}.service")
    elsewhere.ok(f"systemctl start appliance-{name}.service; rm {folder}/90-ask.conf; systemctl daemon-reload")
    other, loopback = elsewhere.ok(f"cat {out}").split()
    assert loopback == "0"
    assert (other == "0") == reaches, f"connecting ended with errno {other}"


@pytest.mark.parametrize("name", ["backup", "recover"])
def test_units_without_a_network_have_none_at_all(elsewhere: Guest, name: str) -> None:
    shown = elsewhere.ok(f"systemctl show -p PrivateNetwork appliance-{name}.service").strip()
    assert shown == "PrivateNetwork=yes"


def test_nobody_from_another_address_gets_an_answer_of_the_ports_socket(elsewhere: Guest) -> None:
    """Once the API listens everywhere by a drop-in of somebody else, its filter still lets loopback in alone."""
    folder = "/run/systemd/system/appliance-api.socket.d"
    elsewhere.ok("systemctl stop appliance-api.service appliance-api.socket")
    elsewhere.ok(
        f"mkdir -p {folder} && printf '[Socket]\\nListenStream=\\nListenStream=0.0.0.0:8100\\n' > {folder}/99.conf"
        " && systemctl daemon-reload && systemctl start appliance-api.socket appliance-api.service"
    )
    try:
        elsewhere.ok("curl -sf --max-time 20 http://127.0.0.1:8100/health/live")
        assert elsewhere.run(f"curl -s --max-time 5 http://{ELSEWHERE}:8100/health/live").code == 28, "no answer at all"
    finally:
        elsewhere.ok(f"systemctl stop appliance-api.service appliance-api.socket; rm -r {folder}")
        elsewhere.ok("systemctl daemon-reload && systemctl start appliance-api.socket appliance-api.service")

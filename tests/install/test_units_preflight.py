"""With units: what could not run as one is said before anything is touched; TLS stays on the address of before."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.host import STATE, UNITS, Host, installed, pretended
from tests.install.place import ROOT

SETTINGS = "/etc/appliance/appliance.toml"
ALL = "0.0.0.0"  # noqa: S104  (told to the installer, which starts nothing)
UNSEEN = ("/home/me/state", "/root/state", "/run/user/0/state", "/tmp/state", "/var/tmp", "/link/s")  # noqa: S108


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with pretended(tmp_path) as host:
        host.place_release()
        yield host


def said(host: Host, flags: str) -> str:
    """Why that cannot be."""
    done = host.install(f"{flags} --dry-run")
    assert done.code == 2, done.out + done.err
    return done.err


def settings(host: Host) -> dict[str, object]:
    return tomllib.loads(host.ok(f"cat {SETTINGS}"))


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("--ui-port 81", "ui-port"), ("--orchestrator-port 81", "orchestrator-port"),
        ("--ui-mlflow-port 81", "ui-mlflow-port"), ("--ui-prefect-port 81", "ui-prefect-port"),
        ("--tls self --tls-api-port 81", "tls-api-port"), ("--tls self --tls-ui-port 81", "tls-ui-port"),
    ],
)  # fmt: skip
def test_a_port_that_needs_root_is_none_for_a_unit(host: Host, flags: str, name: str) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= 81:
        pytest.skip("on this host anybody may listen on any port")
    problem = (
        f"E007  port 81 needs root, which its unit does not have\n        -> choose one from {first} on with --{name}\n"
    )
    assert problem in said(host, flags)
    local = host.run(f"sh {ROOT}/install.sh --python {host.python} --local /opt/place {host.ports} {flags} --dry-run")
    assert "which its unit" not in local.err, "root's own processes may"


@pytest.mark.parametrize("name", ["api-port", "mlflow-port"])
def test_systemd_itself_opens_two_ports_which_may_be_low(host: Host, name: str) -> None:
    assert "needs root" not in host.install(f"--{name} 81 --dry-run").err


def test_localhost_is_an_address_and_other_names_are_said(host: Host) -> None:
    installed(host, "--listen localhost")
    assert settings(host)["listen"] == "127.0.0.1"
    assert "ListenStream=127.0.0.1:" in host.ok(f"cat {UNITS}/appliance-api.socket.d/20-listen.conf")
    for wrong in ("$(uname -n)", "[::1]", "::1%lo", "'127.0.0.1 '"):
        assert "is no address, and units take no names" in said(host, f"--listen {wrong}")
    all_at_once = said(host, "--tls self --listen somewhere --ui-port 0")
    assert all_at_once.count("is no address, and units take no names") == 1
    assert "--ui-port 0 is no port" in all_at_once


@pytest.mark.parametrize(
    "path",
    ["/srv/a b", "/srv/100%", '/srv/a"b', "/srv/a'b", "/srv/a|b", "/srv/a&b", "/srv/a\\b", "/srv/a$b", "/srv/a;b"],
)
def test_a_state_directory_whose_name_goes_into_no_unit_is_said(host: Host, path: str) -> None:
    quoted = "'" + path.replace("'", "'\\''") + "'"
    assert f"E016  {path} has a character that does not go into units" in said(host, f"--state {quoted}")


@pytest.mark.parametrize("path", UNSEEN)
def test_a_state_directory_that_units_do_not_see_is_said(host: Host, path: str) -> None:
    """Also through a link, and from within."""
    if path.startswith("/link"):
        host.ok("ln -s /home /opt/link")
        path = f"/opt{path}"
    assert f"E016  {path} lies where units see nothing" in said(host, f"--state {path}")
    assert "E016" not in host.run(f"sh {ROOT}/install.sh --local /opt/place --state {path} {host.ports} --dry-run").err


def test_what_an_installation_has_already_is_its_operator_s(host: Host) -> None:
    """Whose drop-ins may let the units see a home directory, or open a low port."""
    host.ok("mkdir -p /etc/appliance")
    (host.folder / "toml").write_text('state = "/home/me/state"\nui_port = 81\n')
    host.ok(f"cp {host.folder}/toml {SETTINGS}")
    done = host.run(f"sh {ROOT}/install.sh --python {host.python} --no-start --dry-run")
    assert "E016" not in done.err
    assert "port 81 needs root" not in done.err


def test_a_state_directory_of_any_other_name_will_do(host: Host) -> None:
    assert "E016" not in host.install("--state /srv/größe_1.a-b/@home:x --dry-run").err
    assert "E016" not in host.install("--state /homes/a --dry-run").err


def listening(host: Host) -> tuple[object, object]:
    """The address of the plain ports, and that of TLS."""
    found = settings(host)
    assert f"ListenStream={found['listen']}:" in host.ok(f"cat {UNITS}/appliance-api.socket.d/20-listen.conf")
    return found["listen"], found.get("tls_listen")


@pytest.mark.parametrize(
    ("address", "outer", "after"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"), (ALL, ALL, ALL), ("127.0.0.2", ALL, "127.0.0.1"),
    ],
)  # fmt: skip
def test_tls_stays_on_the_address_of_before_and_gives_it_back(host: Host, address: str, outer: str, after: str) -> None:
    """Loopback aside, on which TLS is of no use, and which opens to nobody when TLS goes."""
    if shutil.which("ip") is None:
        pytest.skip("needs the program ip")
    (host.folder / "install").write_text(
        "ip link set lo up && ip address add 192.0.2.1/24 dev lo\n"
        f'exec sh {ROOT}/install.sh --python {host.python} --state {STATE} --no-start {host.ports} "$@"\n'
    )
    install = f"unshare -n sh -e {host.folder}/install"
    host.ok(f"{install} --listen {address}")
    assert listening(host) == (address, None)
    for _ in range(2):
        host.ok(f"{install} --tls self")
        assert listening(host) == ("127.0.0.1", outer)
        assert "nothing was changed" in host.ok(install)
        host.ok(f"{install} --tls off")
        assert listening(host) == (after, None)
        assert "nothing was changed" in host.ok(install)
    host.ok(f"{install} --tls self --listen 192.0.2.1")
    assert listening(host) == ("127.0.0.1", "192.0.2.1")
    host.ok(f"{install} --tls off --listen 127.0.0.1")
    assert listening(host) == ("127.0.0.1", None)

"""Before anything is touched: what is missing is listed, all of it; wrong use is said. Nothing is installed here."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.install.place import ROOT, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.below(tmp_path)


def test_everything_that_is_missing_is_listed_at_once(place: Place) -> None:
    (place.home / "file").touch()
    state = place.home / "file" / "state"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = place.install(
            "--state", str(state), "--api-port", str(port), "--ui-port", "4711", "--mlflow-port", "4711",
            "--orchestrator-port", "70000",
        )  # fmt: skip
    assert done.code == 2
    assert "This host is not ready; nothing was changed:" in done.err
    assert f"E009  port {port} is taken" in done.err
    assert "choose another with --api-port (APPLIANCE_API_PORT)" in done.err
    assert f"E006  {state} cannot be written" in done.err
    assert "E007  --ui-port and --mlflow-port are both 4711" in done.err
    assert "E007  --orchestrator-port 70000 is no port" in done.err
    assert not place.base.exists()


def test_a_python_that_is_too_old_or_absent_is_said(place: Place) -> None:
    done = place.install("--python", "/nowhere/python3")
    assert done.code == 2
    assert "E003  there is no Python 3.11, 3.12 or 3.13" in done.err
    assert "apt-get install python3 python3-venv" in done.err


def test_an_address_that_is_not_this_hosts_is_said(place: Place) -> None:
    done = place.install(*place.port_flags, "--listen", "192.0.2.1")
    assert done.code == 2
    assert "E008  --listen 192.0.2.1 is not an address of this host" in done.err


@pytest.mark.parametrize(
    ("flags", "message"), [(["--prot", "1"], "there is no option --prot"), (["--api-port"], "--api-port needs a value")]
)
def test_wrong_use_is_said(place: Place, flags: list[str], message: str) -> None:
    done = place.install(*flags)
    assert done.code == 1
    assert message in done.err


def test_help_names_every_flag_and_its_twin(place: Place) -> None:
    text = place.install("--help").out
    for name in ("local", "state", "listen", "api-port", "ui-port", "orchestrator-port", "mlflow-port", "demo"):
        assert f"--{name}" in text
        assert f"APPLIANCE_{name.upper().replace('-', '_')}" in text


def test_a_dry_run_touches_nothing(place: Place) -> None:
    done = place.install(*place.port_flags, "--dry-run")
    assert done.code == 0, done.err
    assert "would: Installing the locked packages" in done.out
    assert "Nothing was changed." in done.out
    assert not place.base.exists()


def test_the_codes_are_the_ones_that_the_document_lists_and_the_script_uses(place: Place) -> None:
    listed = place.install("--codes").out.splitlines()
    document = (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (E\d{3}) \| (.*) \|$", document, flags=re.MULTILINE)
    assert [f"{code} {text}" for code, text in rows] == listed
    script = (ROOT / "install.sh").read_text(encoding="utf-8")
    used = set(re.findall(r"(?:problem |print\(f\"|check_directory )(E\d{3})", script))
    assert used == {line.split()[0] for line in listed}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--purge"], "--purge goes with --uninstall"),
        (["--uninstall", "--purge"], "add --yes"),
        (["--upgrade", "--rollback"], "exclude each other"),
        (["--upgrade"], "nothing is installed below"),
        (["--rollback"], "nothing is installed below"),
        (["--uninstall"], "nothing is installed below"),
        (["--make-bundle", "/nowhere/at/all"], "there is no directory /nowhere/at"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(place: Place, flags: list[str], message: str) -> None:
    done = place.install(*flags)
    assert (done.code, message in done.err) == (1, True), done.err
    assert not place.base.exists()


def test_every_flag_has_its_environment_twin(place: Place) -> None:
    text = place.install("--help").out
    flags = set(re.findall(r"^  (?:--uninstall )?(--[a-z-]+)", text, flags=re.MULTILINE)) - {"--codes"}
    for flag in flags:
        assert f"APPLIANCE_{flag[2:].upper().replace('-', '_')}" in text, flag
    twin = Place.below(place.home / "twin", APPLIANCE_UNINSTALL="1", APPLIANCE_PURGE="1")
    assert "add --yes" in twin.install().err


def test_a_directory_of_something_else_is_left_alone(place: Place) -> None:
    place.base.mkdir()
    (place.base / "thesis.tex").touch()
    done = place.install(*place.port_flags)
    assert done.code == 2
    assert f"E013  {place.base} is not empty and holds no appliance (thesis.tex)" in done.err
    (place.base / "state").mkdir()
    (place.base / "state" / "thesis.tex").touch()
    done = place.install("--uninstall", "--purge", "--yes")
    assert done.code == 1
    assert (place.base / "state" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "E010  this is debian 11"),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', "E010  this is ubuntu 20.04"),
        ('ID="rocky"\nVERSION_ID="8.9"\n', "E010  this is rocky 8.9"),
        ('ID=debian\nVERSION_ID="12"\n', ""),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', ""),
        ('ID="rocky"\nVERSION_ID="9.4"\n', ""),
        ("ID=gentoo\n", ""),
    ],
)
def test_distributions_that_are_too_old_are_said(place: Place, tmp_path: Path, text: str, message: str) -> None:
    """In a mount namespace of its own, where /etc/os-release is another file."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    (tmp_path / "os-release").write_text(text)
    ports = " ".join(place.port_flags)
    done = place.sh(
        f'unshare -m sh -c "mount --bind {tmp_path}/os-release $(readlink -f /etc/os-release)'
        f' && sh {ROOT}/install.sh --local {place.base} {ports} --dry-run"'
    )
    assert (done.code, message in done.err) == (2 if message else 0, True), done.err


def test_proxies_are_carried_over_but_never_for_our_own_addresses(place: Place) -> None:
    asked = Place.below(place.home / "asked", https_proxy="http://user:p$a@proxy.invalid:3128", no_proxy="internal")
    done = asked.install(*asked.port_flags, "--dry-run")
    assert f"would: Writing the proxies to {asked.base}/proxy.env" in done.out
    assert "would: Writing the proxies" not in place.install(*place.port_flags, "--dry-run").out


def test_a_certificate_that_cannot_be_used_is_said(place: Place) -> None:
    (place.home / "cert.pem").write_text("no certificate")
    done = place.install(*place.port_flags, "--tls", f"{place.home}/cert.pem,{place.home}/nowhere.pem")
    assert done.code == 2
    assert "E014  " in done.err
    done = place.install("--tls", "maybe")
    assert (done.code, "--tls is self, off, or CERT,KEY" in done.err) == (1, True)
    done = place.install(*place.port_flags, "--tls", "self", "--tls-ui-port", str(place.ports["api"]), "--dry-run")
    assert (done.code, "are both" in done.err) == (2, True)
    done = place.install(*place.port_flags, "--tls", "self", "--dry-run")
    assert f"would: Writing the certificate to {place.base}/tls" in done.out

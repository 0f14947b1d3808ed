"""Before anything is touched: what is missing is listed, all of it; wrong use is said. Nothing is installed here."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.install.place import ROOT, Done, Place


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
    assert "3.13 at /nowhere/python3\n" in done.err
    assert re.search(r"-> install one \(.*python3.*\), or name it with --python", done.err)
    assert "E004" not in done.err, "a library that is there is not missed"


def test_an_address_that_is_not_this_hosts_is_said(place: Place) -> None:
    done = place.install(*place.port_flags, "--listen", "192.0.2.1")
    assert done.code == 2
    assert done.err.count("E008  --listen 192.0.2.1 is not an address of this host") == 1, done.err


@pytest.mark.parametrize("port", ["08000", "\u0668\u0660", "\u00b2"])
def test_a_number_that_the_settings_file_would_not_take_is_no_port(place: Place, port: str) -> None:
    done = place.install(*place.port_flags, "--api-port", port, "--dry-run")
    assert (done.code, f"E007  --api-port {port} is no port" in done.err) == (2, True), done.err


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


def test_what_postgres_sources_need_is_asked_for_by_flag_or_environment(place: Place) -> None:
    said = "Postgres sources among them, hashes checked"
    assert said in place.install(*place.port_flags, "--with", "postgres", "--dry-run").out
    asked = replace(place, environment={"APPLIANCE_WITH": "postgres"})
    assert said in asked.install(*place.port_flags, "--dry-run").out
    assert said not in asked.install(*place.port_flags, "--with", "none", "--dry-run").out
    wrong = place.install("--with", "mysql")
    assert (wrong.code, "--with is postgres or none" in wrong.err) == (1, True)


def test_an_upgrade_keeps_what_postgres_sources_need(place: Place) -> None:
    """As it is said beside the release that runs."""
    (place.base / "releases" / "old").mkdir(parents=True)
    (place.base / "releases" / "old" / "with").write_text("postgres\n")
    (place.base / "current").symlink_to("releases/old")
    assert "Postgres sources among them" in place.install(*place.port_flags, "--dry-run").out
    assert "Postgres sources" not in place.install(*place.port_flags, "--with", "none", "--dry-run").out


@pytest.mark.parametrize(("bundled", "flags", "code"), [("none", ["--with", "postgres"], 2), ("postgres", [], 0)])
def test_a_bundle_says_whether_it_has_what_postgres_sources_need(
    place: Place, bundled: str, flags: list[str], code: int
) -> None:
    """Its packages are looked at later, one by one."""
    (place.home / "bundle.conf").write_text(
        f"python={sys.version_info[0]}.{sys.version_info[1]}\nmachine={os.uname().machine}\nversion=1\nwith={bundled}\n"
    )
    bundle = place.home / "bundle"
    place.sh(f"tar -C '{place.home}' -cf '{bundle}' bundle.conf")
    done = place.install(*place.port_flags, "--offline", str(bundle), *flags, "--dry-run")
    assert ("the bundle has no packages for Postgres sources" in done.err) is (code == 2)


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
    used = set(re.findall(r"(?:problem |print\(f\"|check_room )(E\d{3})", script))
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
        (["--state", ""], "--state needs a value"),
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


@pytest.mark.parametrize("said", ["0", "false", "No", "OFF", ""])
def test_a_twin_that_says_no_is_no(place: Place, said: str) -> None:
    names = ("UNINSTALL", "PURGE", "YES", "UPGRADE", "ROLLBACK", "NO_START", "NO_BACKUP", "DEMO")
    no = {f"APPLIANCE_{name}": said for name in names}
    done = replace(place, environment=no | {"APPLIANCE_DRY_RUN": "True"}).install(*place.port_flags)
    assert (done.code, "Nothing was changed." in done.out) == (0, True), done.err
    assert "would: Starting the appliance" in done.out


def test_a_twin_that_says_neither_yes_nor_no_is_said(place: Place) -> None:
    done = replace(place, environment={"APPLIANCE_PURGE": "maybe"}).install(*place.port_flags, "--dry-run")
    assert (done.code, "APPLIANCE_PURGE is 1 or 0 (true or false, yes or no, on or off), not maybe" in done.err) == (
        1,
        True,
    )
    both = {"APPLIANCE_UNINSTALL": "yes", "APPLIANCE_PURGE": "on"}
    assert "add --yes" in replace(place, environment=both).install().err


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
        ('ID="rhel"\nVERSION_ID="8.10"\n', "E010  this is rhel 8.10"),
        ('ID=debian\nVERSION_ID="12"\n', ""),
        ('ID=debian\nVERSION_ID="13"\n', ""),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', ""),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', ""),
        ('ID="rocky"\nVERSION_ID="9"\n', ""),
        ('ID="rocky"\nVERSION_ID="9.4"\n', ""),
        ('ID="rocky"\nVERSION_ID="9.10"\n', ""),
        ('ID="rhel"\nVERSION_ID="9.6"\n', ""),
        ("ID=debian\nVERSION_CODENAME=sid\n", ""),
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


def test_the_guests_ports_are_looked_at_and_0_is_none(place: Place) -> None:
    api = str(place.ports["api"])
    done = place.install(*place.port_flags, "--ui-prefect-port", api, "--dry-run")
    assert (done.code, f"--api-port and --ui-prefect-port are both {api}" in done.err) == (2, True)
    done = place.install(*place.port_flags, "--ui-prefect-port", "0", "--ui-mlflow-port", "0", "--dry-run")
    assert done.code == 0


def stub(folder: Path, name: str, text: str) -> None:
    """A program of the host's that says something else."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def on_another_host(place: Place, changes: str, *flags: str) -> Done:
    """The installer in a mount namespace of its own, after some changes to what it sees."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    line = f"{changes}\nexec sh {ROOT}/install.sh {' '.join(flags or ('--local', str(place.base)))} "
    script = place.home / "script"
    script.write_text(line + " ".join([*place.port_flags, "--dry-run"]))
    return place.sh(f"unshare -m sh -e {script}")


@pytest.mark.parametrize(
    ("program", "text", "message"),
    [
        (
            "uname",
            'case $1 in -m) echo armv7l ;; *) exec /bin/uname "$@" ;; esac',
            "E001  there are no packages for arm",
        ),
        ("uname", 'case $1 in -s) echo Darwin ;; *) exec /bin/uname "$@" ;; esac', "E001  this is Darwin"),
        ("getconf", "echo glibc 2.27", "E001  glibc 2.27 is too old"),
        ("getconf", "exit 1", "E001  this host has no glibc"),
    ],
)
def test_platforms_without_packages_are_said(place: Place, program: str, text: str, message: str) -> None:
    stub(place.home / "bin", program, text)
    done = on_another_host(place, f"PATH={place.home}/bin:$PATH")
    assert (done.code, message in done.err) == (2, True), done.err


@pytest.mark.parametrize("glibc", ["2.28", "2.34", "2.35", "2.36", "2.39", "2.41"])
def test_the_glibc_of_each_distribution_that_is_named_will_do(place: Place, glibc: str) -> None:
    """The oldest; Rocky 9, Ubuntu 22.04, Debian 12, Ubuntu 24.04, Debian 13."""
    stub(place.home / "bin", "getconf", f"echo glibc {glibc}")
    done = on_another_host(place, f"PATH={place.home}/bin:$PATH")
    assert done.code == 0, done.err


def test_too_little_memory_is_said(place: Place) -> None:
    (place.home / "meminfo").write_text("MemTotal:        1024000 kB\n")
    done = on_another_host(place, f"mount --bind {place.home}/meminfo /proc/meminfo")
    assert (done.code, "E002  this host has 1000 MB of memory" in done.err) == (2, True), done.err


def test_a_missing_libgomp_is_said(place: Place) -> None:
    changes = (
        f"touch {place.home}/empty\n"
        f"for file in /lib/*/libgomp.so.1 /usr/lib/*/libgomp.so.1 /usr/lib64/libgomp.so.1; do\n"
        f'  if [ -e "$file" ]; then mount --bind {place.home}/empty "$(readlink -f "$file")"; fi\ndone'
    )
    done = on_another_host(place, changes)
    assert (done.code, "E004  libgomp.so.1 is missing" in done.err) == (2, True), done.err
    assert "apt-get install libgomp1, or dnf install libgomp" in done.err


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "apt-get install python3 python3-venv"),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "apt-get install python3 python3-venv"),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', "apt-get install python3.11 python3.11-venv"),
        ('ID="rocky"\nVERSION_ID="9.4"\n', "dnf install python3.11"),
        ("ID=gentoo\n", "apt-get install python3 python3-venv; dnf install python3.11"),
    ],
)
def test_without_a_python_the_packages_of_the_distribution_are_named(place: Place, text: str, advice: str) -> None:
    (place.home / "os-release").write_text(text)
    changes = f"mount --bind {place.home}/os-release $(readlink -f /etc/os-release)\nexport APPLIANCE_PYTHON=/nowhere"
    done = on_another_host(place, changes)
    assert (done.code, f"-> install one ({advice}), or name it with --python" in done.err) == (2, True), done.err


def test_a_python_without_venv_is_said_with_its_own_package(place: Place) -> None:
    stub(place.home / "bin", "python3", f'case "$*" in *ensurepip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac')
    done = place.install("--python", str(place.home / "bin" / "python3"), *place.port_flags)
    assert (done.code, "has no venv module" in done.err) == (2, True), done.err
    assert f"-> install it: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.err


def test_too_little_room_is_said_for_each_directory(place: Place) -> None:
    mounts = "\n".join(
        f"mkdir {place.home}/{name} && mount -t tmpfs -o size=100m tmpfs {place.home}/{name}" for name in "ab"
    )
    done = on_another_host(place, mounts, "--local", f"{place.home}/a/base", "--state", f"{place.home}/b/state")
    assert done.code == 2
    assert f"E005  {place.home}/a has 100 MB free\n        -> free 3000 MB there" in done.err
    assert f"E006  {place.home}/b has 100 MB free\n        -> free 500 MB there" in done.err


def test_two_directories_on_one_file_system_must_fit_together(place: Place) -> None:
    """Each alone would."""
    small = place.home / "small"
    mount = f"mkdir -p {small} && mount -t tmpfs -o size={{}}m tmpfs {small}"
    flags = ("--local", f"{small}/base", "--state", f"{small}/state")
    done = on_another_host(place, mount.format(3200), *flags)
    assert (done.code, done.err.count("MB free")) == (2, 1), done.err
    said = "free 3500 MB there (3000 for the program, 500 for the state)"
    assert f"E005  {small} has 3200 MB free\n        -> {said}" in done.err
    done = on_another_host(place, mount.format(3600), *flags)
    assert done.code == 0, done.err


@pytest.mark.parametrize(("text", "said"), [("echo 'systemd 245 (245.4-4ubuntu3)'", "245"), ("exit 0", "0")])
def test_a_systemd_that_is_too_old_is_said(place: Place, text: str, said: str) -> None:
    """Or that does not say which one it is."""
    stub(place.home / "bin", "systemctl", text)
    changes = f"mount -t tmpfs tmpfs /run\nmkdir -p /run/systemd/system\nPATH={place.home}/bin:$PATH"
    done = on_another_host(place, changes, "--state", str(place.base))
    assert (done.code, f"E011  systemd is {said}\n" in done.err) == (2, True), done.err
    assert "Illegal number" not in done.err
    assert "or --local DIR" in done.err


def test_guests_whose_ports_nobody_chose_never_stand_in_the_way(place: Place) -> None:
    names = ("api", "ui", "orchestrator", "mlflow")
    four = [part for name in names for part in (f"--{name}-port", str(place.ports[name]))]
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # somebody else's already, which does as well
            other.bind(("127.0.0.1", place.ports["ui"] + 1))
            other.listen(1)
        done = place.install(*four, "--dry-run")
        assert done.code == 0, done.err
        chosen = place.install(*four, "--ui-mlflow-port", str(place.ports["ui"] + 1), "--dry-run")
        assert (chosen.code, f"port {place.ports['ui'] + 1} is taken" in chosen.err) == (2, True)

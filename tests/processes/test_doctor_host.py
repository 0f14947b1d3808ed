"""The doctor judges a host as the installer's pre-flight does, and sees who may read what lies beside the settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.processes import doctor_host
from appliance.processes.check import Check
from appliance.processes.doctor import run_checks
from appliance.settings import Settings
from storage.migrations import migrate
from tests.install.place import ROOT

HOST = {"platform": "E001", "distribution": "E010", "memory": "E002", "python": "E003", "libgomp": "E004"}
CONFIG = "APPLIANCE_CONFIG"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a folder for the settings file, as the installer leaves it."""
    made = Settings(
        state=tmp_path / "state", tls_cert=tmp_path / "tls" / "cert.pem", tls_key=tmp_path / "tls" / "key.pem"
    )
    made.layout.create()
    migrate(made.layout.database)
    (tmp_path / "tls").mkdir()
    modes = {"appliance.toml": 0o640, "proxy.env": 0o600, "backup-passphrase": 0o600, "tls/key.pem": 0o640}
    for name, mode in modes.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    monkeypatch.setenv(CONFIG, str(tmp_path / "appliance.toml"))
    return made


def found(settings: Settings, name: str) -> Check:
    (one,) = [check for check in run_checks(settings) if check.name == name]
    return one


def test_the_checks_of_the_pre_flight_are_among_those_of_the_doctor(settings: Settings) -> None:
    checks = {check.name: check for check in run_checks(settings)}
    assert {name: checks[name].code for name in HOST} == HOST
    assert "systemd" not in checks, "nobody asked for units"
    listed = subprocess.run(["sh", ROOT / "install.sh", "--codes"], capture_output=True, text=True, check=True).stdout
    known = {line.split()[0] for line in listed.splitlines()}
    assert {check.code for check in checks.values()} - {""} <= known
    assert (checks["disk"].code, checks["address"].code, checks["certificate"].code) == ("E006", "E008", "E014")


@pytest.mark.parametrize(
    ("system", "machine", "libc", "state"),
    [
        ("Linux", "x86_64", "glibc 2.28", "ok"),
        ("Linux", "aarch64", "glibc 2.36", "ok"),
        ("Linux", "x86_64", "glibc 2.27", "fail"),
        ("Linux", "x86_64", "", "fail"),
        ("Linux", "armv7l", "glibc 2.36", "fail"),
        ("Darwin", "x86_64", "glibc 2.36", "fail"),
    ],
)
def test_platforms(system: str, machine: str, libc: str, state: str) -> None:
    assert doctor_host.check_platform(system, machine, libc).state == state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "fail"),
        ('ID=debian\nVERSION_ID="12"\n', "ok"),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', "fail"),
        ('NAME="Ubuntu"\nVERSION_ID="22.04"\nID=ubuntu\n', "ok"),
        ('ID="rocky"\nVERSION_ID="8.9"\n', "fail"),
        ('ID="rocky"\nVERSION_ID="9.10"\n', "ok"),
        ("ID=debian\nVERSION_CODENAME=sid\n", "ok"),
        ("ID=gentoo\n", "ok"),
        ("", "ok"),
    ],
)
def test_distributions(text: str, state: str) -> None:
    assert doctor_host.check_distribution(text).state == state


def test_memory_python_libgomp_and_systemd() -> None:
    assert doctor_host.check_memory("MemTotal:        1024000 kB\n").state == "fail"
    assert doctor_host.check_memory("MemTotal:        2048000 kB\nMemFree: 1 kB\n").state == "ok"
    python = doctor_host.check_python
    assert python((3, 10), "/usr", has_venv=True, units=False).state == "fail"
    assert python((3, 14), "/usr", has_venv=True, units=False).state == "fail"
    assert python((3, 11), "/usr", has_venv=True, units=True).state == "ok"
    assert python((3, 11), "/root/python", has_venv=True, units=False).state == "ok"
    assert "which the units cannot see" in python((3, 11), "/root/python", has_venv=True, units=True).message
    without = python((3, 12), "/usr", has_venv=False, units=True)
    assert (without.state, "apt-get install python3.12-venv" in without.fix) == ("warn", True)
    assert doctor_host.check_libgomp("libnothing.so.1").state == "fail"
    assert doctor_host.check_systemd("systemd 245 (245.4-4ubuntu3)\n+PAM\n").state == "fail"
    assert doctor_host.check_systemd("systemd 249 (249.11)\n").state == "ok"


def test_a_process_near_its_memory_limit_is_told() -> None:
    def look(most: str, used: str) -> Check:
        return doctor_host.check_limit("ui", f"MemoryMax={most}\nMemoryCurrent={used}\n")

    assert (look("1073741824", "262144000").state, look("1073741824", "1073000000").state) == ("ok", "warn")
    assert look("1073741824", "262144000").message == "250 MiB, cache of its files included, of at most 1024"
    assert "drop-in of its unit" in look("1073741824", "1073000000").fix
    assert look("1073741824", "[not set]").message == "at most 1024 MiB"
    assert look("infinity", "262144000").message == "it has no limit"


def test_the_limits_are_the_installers() -> None:
    script = (ROOT / "install.sh").read_text(encoding="utf-8")
    assert f'[ "$memory_mb" -ge {doctor_host.LEAST_MEMORY_MB} ]' in script
    assert f'[ "$systemd" -ge {doctor_host.OLDEST_SYSTEMD} ]' in script
    assert f"not {doctor_host.PYTHONS[0]} <= sys.version_info < {doctor_host.PYTHONS[1]}" in script
    named = re.findall(r"^    ([a-z| ]+)\) oldest=([0-9.]+) ;;$", script, flags=re.MULTILINE)
    oldest = {
        name: tuple(int(one) for one in version.split(".")) for names, version in named for name in names.split(" | ")
    }
    assert oldest == doctor_host.OLDEST_RELEASE


def test_what_lies_beside_the_settings_is_read_by_whom_it_is_meant_for(settings: Settings) -> None:
    folder = settings.state.parent
    assert found(settings, "configuration").state == "ok"
    for name, mode in {
        "appliance.toml": "640",
        "proxy.env": "600",
        "backup-passphrase": "600",
        "tls/key.pem": "640",
    }.items():
        was = (folder / name).stat().st_mode
        (folder / name).chmod(0o644)
        one = found(settings, "configuration")
        assert (one.state, one.fix) == ("fail", f"run 'chmod {mode} {folder / name}'")
        (folder / name).chmod(was)


def test_a_key_that_systemd_hands_over_is_roots_alone(settings: Settings) -> None:
    """As an earlier release left it, it is read by the group."""
    handed = Path("/run/credentials/appliance-tls.service/tls-key")
    units, key = settings.model_copy(update={"tls_key": handed}), settings.state.parent / "tls" / "key.pem"
    (one,) = doctor_host.check_configuration(units)
    assert (one.state, one.fix) == ("fail", f"run 'chmod 600 {key}'")
    key.chmod(0o600)
    (one,) = doctor_host.check_configuration(units)
    assert one.state == "ok"


def test_with_units_the_settings_are_roots_and_the_processes_can_read_them(settings: Settings) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    folder, units = settings.state.parent, settings.model_copy(update={"systemd": True})
    os.chown(settings.state, 12345, 12345)
    os.chown(folder / "appliance.toml", 0, 12345)
    os.chown(folder / "tls" / "key.pem", 0, 12345)
    assert doctor_host.check_configuration(units)[0].state == "ok"
    os.chown(folder / "appliance.toml", 0, 0)
    one = doctor_host.check_configuration(units)[0]
    assert (one.state, "the processes cannot read" in one.message, "chgrp 12345" in one.fix) == ("fail", True, True)
    os.chown(folder / "appliance.toml", 12345, 12345)
    assert "belongs to uid 12345, not to root" in doctor_host.check_configuration(units)[0].message


def test_the_command_says_the_code_of_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "appliance.cli.main", "doctor"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "APPLIANCE_STATE": str(settings.state)}
    environment["APPLIANCE_LISTEN"] = "192.0.2.1"
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout
    assert "FAIL  address (E008): " in said
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, env=environment).stdout
    assert {check["name"]: check["code"] for check in json.loads(told)["checks"]}["memory"] == "E002"

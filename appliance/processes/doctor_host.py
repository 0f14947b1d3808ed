"""What ``appliance doctor`` sees of the host, as the installer's pre-flight with its codes, and of the settings' files.

A host changes after an installation: memory is taken away, a distribution's upgrade brings another Python, somebody
makes a file readable. Each look is a function of what was found, so that it can be tried with what this host is not.
"""

from __future__ import annotations

import ctypes
import grp
import os
import platform
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from appliance.processes.check import Check
from appliance.settings import CONFIG_VARIABLE, Settings

OLDEST_GLIBC = (2, 28)
LEAST_MEMORY_MB = 1500
PYTHONS = ((3, 11), (3, 14))
"""The first that will do, and the first that will not any more."""
OLDEST_RELEASE = {
    "debian": (12,), "ubuntu": (22, 4), "rhel": (9,), "rocky": (9,), "almalinux": (9,), "centos": (9,), "ol": (9,),
}  # fmt: skip
OLDEST_SYSTEMD = 249
MACHINES = ("x86_64", "aarch64")
LIMITED = ("ui", "orchestrator", "mlflow")
"""Processes with a memory limit of their own; jobs have that of their slice."""
NEAR = 0.95
"""Of its limit; the kernel gives file cache back before that matters, so that less would be no news."""
CREDENTIALS = Path("/run/credentials")
"""Below it, a unit finds what systemd reads as root and hands to it alone."""
_HOMES = ("/root", "/home")


def check_host(settings: Settings) -> list[Check]:
    """The host is still one that the installer would accept."""
    checks = [
        check_platform(platform.system(), platform.machine(), os.confstr("CS_GNU_LIBC_VERSION") or ""),
        check_distribution(_read(Path("/etc/os-release"))),
        check_memory(_read(Path("/proc/meminfo"))),
        check_python(sys.version_info[:2], sys.base_prefix, has_venv=_has_venv(), units=settings.systemd),
        check_libgomp("libgomp.so.1"),
    ]
    if settings.systemd:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
        checks += [check_systemd(said), *(check_limit(name, _show_memory(name)) for name in LIMITED)]
    return checks


def check_platform(system: str, machine: str, libc: str) -> Check:
    """E001: there are packages for it.

    Args:
        system: As ``uname -s`` says.
        machine: As ``uname -m`` says.
        libc: As ``getconf GNU_LIBC_VERSION`` says; empty without a glibc.
    """
    message = f"{system}, {machine}, {libc or 'no glibc'}"
    fits = system == "Linux" and machine in MACHINES and _numbers(libc) >= OLDEST_GLIBC
    fix = "move to a Linux host, x86_64 or aarch64, with glibc 2.28 or newer ('appliance bundle export', or a backup)"
    return _check("platform", "E001", message, fix, fits=fits)


def check_distribution(os_release: str) -> Check:
    """E010: a release that is not too old; distributions that nobody named are not judged.

    Args:
        os_release: The text of ``/etc/os-release``.
    """
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', os_release, flags=re.MULTILINE))
    name, version = found.get("ID", ""), found.get("VERSION_ID", "")
    oldest = OLDEST_RELEASE.get(name, ())
    fits = not version or _numbers(version) >= oldest
    fix = f"upgrade it to {'.'.join(str(one) for one in oldest)} or newer"
    return _check("distribution", "E010", f"{name} {version}".strip() or "it has no name", fix, fits=fits)


def check_memory(meminfo: str) -> Check:
    """E002: enough of it.

    Args:
        meminfo: The text of ``/proc/meminfo``.
    """
    found = re.search(r"^MemTotal: +(\d+) kB", meminfo, flags=re.MULTILINE)
    if found is None:
        return Check(name="memory", state="warn", message="/proc/meminfo does not say how much there is", code="E002")
    memory_mb = int(found[1]) // 1024
    return _check("memory", "E002", f"{memory_mb} MB", "give it 2 GB or more", fits=memory_mb >= LEAST_MEMORY_MB)


def check_python(version: tuple[int, int], prefix: str, *, has_venv: bool, units: bool) -> Check:
    """E003: one that we know, from which the next release's environment can be made.

    Args:
        version: Major and minor.
        prefix: ``sys.base_prefix``.
        has_venv: Whether it brings ``venv`` and ``ensurepip``.
        units: Whether systemd runs the processes, which then see no home directory.
    """
    name = f"Python {version[0]}.{version[1]} in {prefix}"
    if not PYTHONS[0] <= version < PYTHONS[1]:
        return _check("python", "E003", name, "run './install.sh' again with a Python 3.11 to 3.13", fits=False)
    if units and prefix.startswith(_HOMES):
        message = f"{name}, a home directory, which the units cannot see"
        return _check("python", "E003", message, "run './install.sh' again with the distribution's own", fits=False)
    if not has_venv:
        fix = f"before the next upgrade: 'apt-get install python{version[0]}.{version[1]}-venv'"
        return Check(name="python", state="warn", message=f"{name} has no venv module", fix=fix, code="E003")
    return _check("python", "E003", name, "", fits=True)


def check_libgomp(library: str) -> Check:
    """E004: the system's OpenMP library, which LightGBM's package needs.

    Args:
        library: Its name.
    """
    try:
        ctypes.CDLL(library)
    except OSError:
        fix = "install it: 'apt-get install libgomp1' or 'dnf install libgomp'"
        return _check("libgomp", "E004", f"{library} is missing, which LightGBM needs", fix, fits=False)
    return _check("libgomp", "E004", f"{library} is there", "", fits=True)


def check_systemd(said: str) -> Check:
    """E011: one that knows what the units ask for.

    Args:
        said: What ``systemctl --version`` prints.
    """
    version = (_numbers(said) or (0,))[0]
    fix = "upgrade the host, or install with --local DIR"
    return _check("systemd", "E011", f"systemd {version}", fix, fits=version >= OLDEST_SYSTEMD)


def check_limit(name: str, shown: str) -> Check:
    """A process stays away from its memory limit, which the installer sized by the host.

    Args:
        name: Of the process.
        shown: ``NAME=VALUE`` lines with ``MemoryMax`` and ``MemoryCurrent``, bytes, as ``systemctl show`` prints them.
    """
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    label, limit, used = f"memory of {name}", found.get("MemoryMax", ""), found.get("MemoryCurrent", "")
    if not limit.isdigit():
        return Check(name=label, state="ok", message="it has no limit")
    if not used.isdigit():
        return Check(name=label, state="ok", message=f"at most {int(limit) >> 20} MiB")
    message = f"{int(used) >> 20} MiB, cache of its files included, of at most {int(limit) >> 20}"
    if int(used) <= int(limit) * NEAR:
        return Check(name=label, state="ok", message=message)
    fix = f"if it was ended for memory ('appliance logs {name}'), raise MemoryMax= in a drop-in of its unit"
    return Check(name=label, state="warn", message=message, fix=fix)


def _show_memory(name: str) -> str:
    command = ["systemctl", "show", "--property=MemoryMax,MemoryCurrent", f"appliance-{name}.service"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def check_configuration(settings: Settings) -> list[Check]:
    """The settings, the proxies, the passphrase and the certificate's key are read by whom they are meant for alone."""
    config = os.environ.get(CONFIG_VARIABLE)
    if not config:
        return []
    file = Path(config)
    folder = file.absolute().parent
    shared, secret = [file], {folder / "proxy.env", folder / "backup-passphrase", settings.backup_passphrase_file}
    if settings.tls_key is not None and settings.tls_key.is_relative_to(CREDENTIALS):
        secret.add(folder / "tls" / "key.pem")  # what systemd hands over; the rest of its way nobody can widen
    elif settings.tls_key is not None:
        shared.append(settings.tls_key)
    checks = [_check_mode(path, 0o640, settings) for path in shared if path.exists()]
    checks += [_check_mode(path, 0o600, settings) for path in sorted(one for one in secret if one) if path.exists()]
    found = [check for check in checks if check is not None]
    return found or [Check(name="configuration", state="ok", message=f"what lies in {folder} is private")]


def _check_mode(path: Path, mode: int, settings: Settings) -> Check | None:
    """None when nobody else may read or change it, and those who must can read it."""
    facts, state = path.stat(), settings.state
    if facts.st_mode & 0o777 & ~(mode | 0o100):
        message, fix = f"others than it is meant for may read or change {path}", f"run 'chmod {mode:o} {path}'"
        return Check(name="configuration", state="fail", message=message, fix=fix)
    if not settings.systemd or not state.is_dir():
        return None
    if facts.st_uid != 0:
        message, fix = f"{path} belongs to uid {facts.st_uid}, not to root", f"run 'chown root {path}'"
        return Check(name="configuration", state="fail", message=message, fix=fix)
    if mode & 0o040 and not (facts.st_mode & 0o040 and facts.st_gid == state.stat().st_gid):
        message = f"the processes cannot read {path}"
        fix = f"run 'chgrp {_group(state.stat().st_gid)} {path}' and 'chmod {mode:o} {path}'"
        return Check(name="configuration", state="fail", message=message, fix=fix)
    return None


def _group(gid: int) -> str:
    """Its name, where the host knows one."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _check(name: str, code: str, message: str, fix: str, *, fits: bool) -> Check:
    return Check(name=name, state="ok" if fits else "fail", message=message, fix="" if fits else fix, code=code)


def _numbers(text: str) -> tuple[int, ...]:
    """Those of the first version in it: ``glibc 2.36`` is ``(2, 36)``."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(one) for one in found[0].split(".")) if found else ()


def _has_venv() -> bool:
    return all(find_spec(name) for name in ("venv", "ensurepip"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

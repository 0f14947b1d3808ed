"""Who did it, as the datasets and the audit tell it of what was typed."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli import caller
from tests.cli.shell import ROOT, Shell

PENGUINS = ROOT / "tests" / "data" / "penguins.csv"
LOGIN = Path("/proc/self/loginuid")


def test_no_verb_is_of_nobody() -> None:
    named = {
        path.name for path in (ROOT / "appliance" / "cli").glob("*.py") if re.search(r"who=[\"']", path.read_text())
    }
    assert named == set()


def test_a_version_and_the_audit_name_who_called_sudo(shell: Shell) -> None:
    if LOGIN.exists() and int(LOGIN.read_text()) != 0xFFFFFFFF:
        pytest.skip("somebody logged in to this host, which says more than sudo does")
    for name in ("anna", "bert"):
        person = replace(shell, environment={"SUDO_USER": name})
        person.ok("data", "add", "penguins", str(PENGUINS))
        person.ok("key", "create", f"of-{name}", "--scope", "read")
    versions = shell.ok("data", "versions", "penguins", "--json").json()["versions"]
    assert [(one["version"], one["who"]) for one in versions] == [(2, "cli:bert"), (1, "cli:anna")]
    entries = shell.ok("audit", "--json").json()["audit"]
    told = {one["subject"]: one["who"] for one in entries if one["action"] == "key.create"}
    assert told == {"of-anna": "cli:anna", "of-bert": "cli:bert"}
    assert shell.ok("audit", "verify")


def test_behind_su_it_is_who_logged_in() -> None:
    """As a login tells the kernel, once: what is started from there cannot be of another."""
    daemon = pwd.getpwnam("daemon")
    done = subprocess.run(
        ["sh", "-c", f'echo {daemon.pw_uid} >{LOGIN} || exit 77; exec "$0" "$@"', sys.executable, "-c",
         "from appliance.cli.caller import caller; print(caller())"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode in {2, 77}:  # 2: dash, of a file that does not open
        pytest.skip("this host lets nobody say who logged in, or somebody did already")
    assert done.stdout == "cli:daemon\n", done.stderr


def test_a_user_that_the_host_has_no_name_for_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", find)
    assert caller.caller() == f"cli:uid {os.getuid()}"

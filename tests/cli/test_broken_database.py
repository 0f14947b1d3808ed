"""A database that is damaged, or a disk that cannot be written: told as what it is, not as a fault of the program."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace

import polars as pl
import pytest

from appliance.house import open_appliance
from appliance.model_spec import ModelSpec
from appliance.settings import Settings
from tests.cli.shell import Shell
from tests.training.state import add, train_now


def test_broken_pages_are_told_with_the_way_out(shell: Shell) -> None:
    database = shell.state / "appliance.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    database.write_bytes(content)
    done = shell.run("models")
    assert done.code == 1
    assert done.err.startswith("appliance: a database is damaged: ")
    assert "'appliance doctor' says which, and what to do" in done.err


def test_one_that_may_not_be_opened_is_not_called_damaged(shell: Shell) -> None:
    for name, label in (("appliance.db", "database"), ("prefect/prefect.db", "database of prefect")):
        database = shell.state / name
        database.touch()
        database.chmod(0)
        doctor = replace(shell, is_somebody=True).run("doctor", "--json").json()["checks"]
        (found,) = [one for one in doctor if one["name"] == label]
        assert found["state"] == "fail"
        assert found["message"] == f"{database} cannot be read: unable to open database file"
        assert f"'ls -l {database}*' shows who owns it" in found["fix"]


def test_a_file_system_that_became_read_only_is_told_with_the_way_out(shell: Shell) -> None:
    house = open_appliance(Settings(state=shell.state))
    add(house, "d", pl.DataFrame({"a": [at % 7 for at in range(400)], "y": [float(at % 5) for at in range(400)]}))
    train_now(house, ModelSpec(name="m", dataset="d", target="y"))
    state = str(shell.state)
    bind = f"mount --bind {state} {state} && mount -o remount,bind,ro {state}"
    if os.geteuid() != 0 or subprocess.run(["sh", "-c", bind], check=False, capture_output=True).returncode:
        subprocess.run(["umount", state], check=False, capture_output=True)
        pytest.skip("mounting needs root")
    try:
        done = shell.run("deploy", "m")
        assert (done.code, "fault of the program" in done.err) == (1, False), done.err
        assert done.err.startswith("appliance: a database cannot be written: ")
        done = shell.run("card", "m", "--html", f"{state}/card.html")
        assert "file system is read-only" in done.err.lower() or "read-only file system" in done.err.lower(), done.err
        assert "fault of the program" not in done.err
        doctor = {one["name"]: one for one in shell.run("doctor", "--json").json()["checks"]}
        assert "file system that is read-only" in doctor["state"]["message"]
        assert "dmesg" in doctor["state"]["fix"]
        assert "is damaged" not in doctor["database"]["message"], "a backup restored would be the wrong way out"
    finally:
        subprocess.run(["umount", state], check=True)

"""The installed command, as install.sh writes it: which release it runs, and what it waits for."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.install.place import ROOT

WRITES = 'parse_arguments --local "$WANTED"; choose_layout; mkdir -p "$BASE"; write_command'


@pytest.fixture(params=["base", """it's "my" $HOME `base`"""])
def base(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two releases whose Python says which one it is and what it was given; below a directory of any name."""
    base = tmp_path / str(request.param)
    for name in ("one", "two"):
        (base / "releases" / name / "venv" / "bin").mkdir(parents=True)
        python = base / "releases" / name / "venv" / "bin" / "python"
        python.write_text(f'#!/bin/sh\nshift 3\necho "{name}: $*"\n')
        python.chmod(0o755)
    (base / "current").symlink_to("releases/one")
    functions = tmp_path / "functions.sh"
    functions.write_text((ROOT / "install.sh").read_text().rsplit("\n", 2)[0] + "\n")
    done = subprocess.run(
        ["sh", "-c", f". '{functions}'; {WRITES}"],
        capture_output=True, text=True, check=False, env={**os.environ, "WANTED": str(base)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return base


@contextmanager
def held(base: Path, name: str) -> Iterator[None]:
    """As an upgrade holds it."""
    with (base / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ask(base: Path, *words: str) -> str:
    done = subprocess.run([base / "bin" / "appliance", *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_may_write_waits_for_an_upgrade_and_runs_the_release_of_then(base: Path) -> None:
    with held(base, ".changing"):
        waiting = subprocess.Popen(
            [base / "bin" / "appliance", "--state", "x", "key", "list"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert waiting.stderr is not None
        assert "the release is being changed; this waits until that is over" in waiting.stderr.readline()
        (base / "current").unlink()
        (base / "current").symlink_to("releases/two")
        assert waiting.poll() is None
    assert waiting.communicate()[0] == "two: --state x key list\n"


@pytest.mark.parametrize("verb", ["status", "doctor", "logs", "serve", "up", "down", "--help"])
def test_what_an_upgrade_starts_and_what_looks_at_it_does_not_wait_for_its_end(base: Path, verb: str) -> None:
    with held(base, ".changing"):
        assert ask(base, verb) == f"one: {verb}\n"


def test_processes_wait_while_releases_change_places(base: Path) -> None:
    with held(base, ".switch"):
        waiting = subprocess.Popen([base / "bin" / "appliance", "serve", "api"], stdout=subprocess.PIPE, text=True)
        (base / "current").unlink()
        (base / "current").symlink_to("releases/two")
        assert waiting.poll() is None
    assert waiting.communicate()[0] == "two: serve api\n"


@pytest.mark.parametrize("flags", ["--dry-run", "--dry-run --rollback"])
def test_the_jobs_that_a_change_of_the_release_ends_are_told_before(base: Path, flags: str) -> None:
    verb = "roll_back" if "--rollback" in flags else "NAME=two BEFORE=one; change_release; NEW=1; start"
    done = subprocess.run(
        ["sh", "-c", f". '{base.parent}/functions.sh'; parse_arguments --local \"$WANTED\" {flags}; choose_layout;"
         f" TOLD=''; {verb}"],
        capture_output=True, text=True, check=False, env={**os.environ, "WANTED": str(base)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    jobs, change = done.stdout.index("\none: jobs list --running\n"), done.stdout.index("  would: ")
    assert done.stdout.startswith("These jobs run; to change the release ends them.")
    assert jobs < change
    assert done.stdout.count("These jobs run") == 1


def test_without_any_upgrade_nothing_waits(base: Path) -> None:
    assert ask(base, "key", "list") == "one: key list\n"

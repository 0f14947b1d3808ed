"""What the command line does where its output goes nowhere: a full disk, a closed stream, a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.cli.shell import ROOT, Shell


def run(shell: Shell, stdout: int | IO[bytes], *words: str) -> tuple[int, str]:
    """Exit code, and what stands on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli.main", *words], stdout=stdout, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "APPLIANCE_STATE": str(shell.state)}, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("models", "--json"), ("models",)])
def test_a_reader_that_has_gone_is_no_error(fresh: Shell, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(fresh, writer, *words) == (0, "")
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", [("models", "--json"), ("models",)])
def test_a_full_disk_under_the_output_is_said(fresh: Shell, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, told = run(fresh, full, *words)
    assert (code, told) == (1, "appliance: cannot write, to standard output maybe: no space is left there; free some\n")


def test_a_closed_output_takes_nothing_and_hides_no_error(fresh: Shell) -> None:
    for words, expected in (("models", 0), ("card nothing", 1)):
        done = subprocess.run(
            ["sh", "-c", f'exec "{sys.executable}" -m appliance.cli.main {words} >&-'], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "APPLIANCE_STATE": str(fresh.state)}, check=False,
        )  # fmt: skip
        assert done.returncode == expected, done.stderr
        assert ("nothing" in done.stderr) == bool(expected)
        assert "Traceback" not in done.stderr

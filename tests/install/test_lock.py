"""The lock has a wheel for each Python and architecture that the installer takes, as uv reads it; none is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.place import ROOT

pytestmark = pytest.mark.install

UV = Path(sys.executable).with_name("uv")


LOCKS = ("requirements.lock", "requirements.postgres.lock")


def resolve(platform: str, python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    index = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return subprocess.run(
        [
            UV, "pip", "install", "--dry-run", "--target", folder, "--python-platform", platform, "--python-version",
            python, "--only-binary", ":all:", "--require-hashes",
            *(part for lock in LOCKS for part in ("-r", ROOT / lock)),
        ],
        capture_output=True, text=True, check=False, env={"UV_DEFAULT_INDEX": index, **os.environ},
    )  # fmt: skip


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_has_a_wheel_for(machine: str, python: str, tmp_path: Path) -> None:
    """With glibc 2.28, the oldest that the pre-flight takes; Debian 12, Ubuntu 22.04 and Rocky 9 have newer ones."""
    done = resolve(f"{machine}-manylinux_2_28", python, tmp_path / "nothing")
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stderr


def test_what_postgres_sources_need_is_locked_as_the_tests_have_it() -> None:
    locked = (ROOT / "requirements.postgres.lock").read_text()
    assert locked in (ROOT / "tests" / "requirements.lock").read_text()
    assert [line.split("=")[0] for line in locked.splitlines() if "==" in line] == [
        "adbc-driver-manager", "adbc-driver-postgresql",
    ]  # fmt: skip


def test_what_has_no_wheels_is_noticed(tmp_path: Path) -> None:
    """Alpine, which the pre-flight refuses: else the tests above could not fail."""
    assert resolve("x86_64-unknown-linux-musl", "3.11", tmp_path / "nothing").returncode != 0

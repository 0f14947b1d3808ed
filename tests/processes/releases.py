"""An installation of two releases: this checkout, and a next one whose state database has a table more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("appliance", "flows", "storage", "ui")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """As install.sh leaves it: ``releases/NAME/venv/bin/python`` and ``current``."""

    base: Path
    state: Path
    environment: dict[str, str]

    @property
    def current(self) -> str:
        return (self.base / "current").readlink().name

    def python(self, release: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a release's Python."""
        return subprocess.run(
            [self.base / "releases" / release / "venv" / "bin" / "python", "-P", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip

    def upgrade(self, by: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a release's upgrade program."""
        return self.python(by, "-m", "appliance.processes.upgrade", *arguments, "--base", str(self.base))

    def appliance(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command of the current release."""
        return self.python(self.current, "-m", "appliance.cli.main", *arguments)


def make_installation(folder: Path, **environment: str) -> Installation:
    """Release ``one`` is this checkout and current; ``two`` is installed beside it."""
    base, state = folder / "base", folder / "state"
    for name, source in (("one", ROOT), ("two", folder / "next")):
        binary = base / "releases" / name / "venv" / "bin"
        binary.mkdir(parents=True)
        (binary / "python").write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} "$@"\n')
        (binary / "python").chmod(0o755)
    make_next_release(folder / "next")
    (base / "current").symlink_to("releases/one")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("APPLIANCE_", "PYTEST"))}
    made = Installation(base=base, state=state, environment={**clean, "APPLIANCE_STATE": str(state), **environment})
    done = made.appliance("migrate")
    assert done.returncode == 0, done.stderr
    return made


def make_next_release(folder: Path) -> None:
    """This checkout with one more migration."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "tour"))
    statedb = folder / "storage" / "statedb.py"
    text = statedb.read_text()
    version = int(re.search(r"^SCHEMA_VERSION = (\d+)$", text, flags=re.MULTILINE)[1])  # type: ignore[index]
    statedb.write_text(text.replace(f"SCHEMA_VERSION = {version}", f"SCHEMA_VERSION = {version + 1}"))
    migrations = folder / "storage" / "migrations.py"
    added = '@migrations()\ndef m999_next(db: Database) -> None:\n    db.execute("CREATE TABLE extra (x)")\n\n\n'
    migrations.write_text(migrations.read_text().replace("def migrate(path", added + "def migrate(path", 1))

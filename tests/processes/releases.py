"""An installation of two releases: this checkout, and a next one whose state database has a table more."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
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
            self._command(release, *arguments),
            env=self.environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip

    def upgrade(self, by: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a release's upgrade program; it hears signals that whoever runs the tests may have ignored."""
        return subprocess.run(
            ["env", "--default-signal", *self.upgrade_command(by, *arguments)],
            env=self.environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip

    def upgrade_command(self, by: str, *arguments: str) -> list[str]:
        return self._command(by, "-m", "appliance.processes.upgrade", *arguments, "--base", str(self.base))

    def _command(self, release: str, *arguments: str) -> list[str]:
        return [str(self.base / "releases" / release / "venv" / "bin" / "python"), "-P", *arguments]

    def changing(self, verb: str, deed: str, step: str) -> subprocess.CompletedProcess[str]:
        """Upgrade (or go back, or recover), and do something at a step, see ``upgrading_child``."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "tests.processes.upgrading_child", self.base, verb, deed, step],
            env={**self.environment, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
        )  # fmt: skip

    @property
    def is_under_way(self) -> bool:
        return (self.state / "upgrade" / "journal.json").exists()

    def read(self) -> tuple[bool, list[str]]:
        """Whether the database is the next release's, and the keys in it."""
        with closing(sqlite3.connect(self.state / "appliance.db")) as connection:
            extra = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()[0]
            names = [row[0] for row in connection.execute("SELECT name FROM keys ORDER BY name")]
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return bool(extra), names

    def add_key(self, name: str) -> None:
        done = self.appliance("key", "create", name, "--scope", "read")
        assert done.returncode == 0, done.stderr

    def copy(self, folder: Path) -> Installation:
        """A copy of the state and of what names the current release."""
        base = folder / "base"
        (base / "releases").mkdir(parents=True)
        for path in (self.base / "releases").iterdir():
            (base / "releases" / path.name).symlink_to(path.resolve())
        (base / "current").symlink_to(f"releases/{self.current}")
        state = Path(shutil.copytree(self.state, folder / "state"))
        return replace(self, base=base, state=state, environment={**self.environment, "APPLIANCE_STATE": str(state)})

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

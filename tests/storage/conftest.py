from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import statedb
from storage.layout import Layout
from storage.migrations import migrate
from tests.storage.desk import Desk


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state directory, made."""
    made = Layout(root=tmp_path / "state")
    made.create()
    return made


@pytest.fixture
def db(layout: Layout) -> Iterator[sqlite3.Connection]:
    """The state database, current."""
    migrate(layout.database)
    connection = statedb.connect(layout.database)
    yield connection
    connection.close()


@pytest.fixture
def desk(tmp_path: Path, layout: Layout) -> Desk:
    path = tmp_path / "desk"
    path.mkdir()
    return Desk(path, layout)


class SmallDisk:
    """A real file system of little room, which can be made read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)

    def fill(self) -> Path:
        """Take every byte that is left; removing the file that is returned gives them back."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        return ballast


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A tmpfs of 2 MB; needs root, who alone may mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"this host does not let us mount: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)

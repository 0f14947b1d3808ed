"""A state that 'appliance migrate' made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.shell import Shell


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Made once and only looked at."""
    shell = Shell(state=tmp_path_factory.mktemp("fresh") / "state")
    shell.ok("migrate")
    return shell


@pytest.fixture
def shell(fresh: Shell, tmp_path: Path) -> Shell:
    """A copy that a test may change."""
    return Shell(state=Path(shutil.copytree(fresh.state, tmp_path / "state")))

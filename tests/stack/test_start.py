"""Starting what cannot start: ``up`` says which process, what it said, and does not wait for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.stack.conftest import make_stack

pytestmark = pytest.mark.stack


def test_a_process_that_ends_again_and_again_ends_the_waiting(tmp_path: Path) -> None:
    box = make_stack(tmp_path / "state")
    box.run("migrate")
    (secret,) = [path for path in box.state.rglob("secret*") if path.is_file()]
    secret.chmod(0o600)
    secret.write_bytes(b"short")
    try:
        done = box.run("up", "--detach", "--wait-s", "500", check=False)
        assert done.returncode == 3
        assert re.search(r"api is (re)?starting after 3 restarts", done.stderr)
        assert "5 bytes, 32 are needed" in done.stderr
        assert str(box.state / "logs" / "api.log") in done.stderr
    finally:
        box.run("down", check=False)

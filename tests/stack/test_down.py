"""``appliance down`` ends the jobs that run, and says which before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.conftest import make_stack

pytestmark = pytest.mark.stack


def test_down_names_the_jobs_that_it_ends(tmp_path: Path) -> None:
    box = make_stack(tmp_path / "state")
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,y\n" + "".join(f"{n % 977},{n * 7919 % 1009},{n % 13}\n" for n in range(200_000)))
    try:
        box.run("up", "--detach")
        assert "these jobs run" not in box.run("down").stderr
        box.run("up", "--detach")
        box.run("data", "add", "rows", str(rows))
        box.run("model", "create", "rows", "--dataset", "rows", "--target", "y", "--task", "regression")
        job = box.json("train", "rows")["job"]
        box.until(lambda: bool(box.json("jobs", "list", "--running")["jobs"]))
        done = box.run("down")
    finally:
        box.run("down", check=False)
    assert "these jobs run and are ended; 'appliance jobs again ID' starts one again" in done.stderr
    assert job in done.stdout
    assert done.stdout.endswith("stopped\n")

"""The processes of jobs, as they are started."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path

import pytest

from appliance.processes.openmp import OPENMP
from flows.children import Children


@pytest.mark.parametrize(("given", "found"), [(None, OPENMP["GOMP_SPINCOUNT"]), ("77", "77")])
def test_threads_of_a_job_that_wait_for_each_other_soon_sleep(
    given: str | None, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_STATE", str(tmp_path / "nothing"))
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if given is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", given)
    run, children = str(uuid.uuid4()), Children()
    children.start("train", run, "none")
    try:
        environment = environment_of(run)
    finally:
        children.stop_all()
    assert f"GOMP_SPINCOUNT={found}".encode() in environment


def environment_of(run: str) -> list[bytes]:
    """What the process of a run was given; the kernel shows a new program's words a moment after it began."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if run.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    return (process / "environ").read_bytes().split(b"\0")
        time.sleep(0.01)
    raise AssertionError(f"no process of run {run}")

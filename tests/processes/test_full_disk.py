"""A file system of its own, loop-mounted, filled step by step beneath a serving appliance."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from appliance.disk import DISK, require_room_for_jobs, watch_disk
from appliance.errors import Conflict
from appliance.house import prepare_state
from appliance.jobs import Jobs
from appliance.processes.doctor import run_checks
from appliance.processes.doctor_state import check_databases
from appliance.schema import Task
from appliance.settings import Settings
from storage.alert_rows import list_alerts
from storage.disk_budget import Pressure, read_disk
from storage.eventlog import list_segments
from storage.statedb import connect
from tests.model_bundles import deploy, numeric_columns, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

SIZE_MB = 200
COLUMNS = numeric_columns(3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system in a file."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    image, mounted = tmp_path / "image", tmp_path / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, mounted], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this host mounts no loop device: {done.stderr}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def fill(disk: Path, share: float) -> None:
    """Bring a file system to a share of use, up or down."""
    ballast = disk / "ballast"
    use = read_disk(disk)
    there = ballast.stat().st_size if ballast.exists() else 0
    wanted = there + int(use.size * share) - (use.size - use.free)
    ballast.touch()
    os.truncate(ballast, min(there, wanted))
    fd = os.open(ballast, os.O_WRONLY)
    os.posix_fallocate(fd, 0, wanted)
    os.close(fd)


def alert(settings: Settings) -> tuple[str, str] | None:
    with closing(connect(settings.layout.database)) as connection:
        for row in list_alerts(connection, open_only=True):
            if row.subject == DISK:
                return row.state, row.message
    return None


def predict(api: ServedApi) -> tuple[int, bool]:
    """The answer's status, and whether it was recorded."""
    rows = sample_rows(COLUMNS, 1)
    before = recorded(api)
    answer = api.client.post("/models/m/predict", json={"rows": rows})
    captured = "x-capture" not in answer.headers
    assert recorded(api) - before == captured
    return answer.status_code, captured


def recorded(api: ServedApi) -> int:
    folder = api.layout.events / "predictions"
    return sum(path.read_bytes().count(b"\n") for path in list_segments(folder))


def until_captured(api: ServedApi, *, captured: bool) -> None:
    """The API looks at the disk several times a second; it answers meanwhile."""
    deadline = time.monotonic() + 120
    while predict(api) != (200, captured):
        assert time.monotonic() < deadline, f"captured did not become {captured}"
        time.sleep(0.1)


def test_a_database_beside_a_full_disk_is_no_failing_disk(disk: Path) -> None:
    """Nothing runs: whoever reads has to make the file that readers share."""
    settings = Settings(state=disk / "state")
    prepare_state(settings)
    fill(disk, 0.9999)
    with suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(1024))
    ((message, fix),) = [(one.message, one.fix) for one in check_databases(settings) if one.state == "fail"]
    assert "cannot be looked at while its disk is full" in message
    assert fix == "free space, then run 'appliance doctor' again"


def test_what_gives_way_first_while_the_disk_fills_up_and_empties(disk: Path) -> None:
    settings = Settings(state=disk / "state", capture_reserve_mb=0)
    prepare_state(settings)
    publish(settings.layout, train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS))
    deploy(settings.layout, {"m": 1})
    with serve_api(settings.layout, {"APPLIANCE_CAPTURE_RESERVE_MB": "0"}) as api:
        api.wait_until_serving("m", 1)
        assert predict(api) == (200, True)
        assert watch_disk(settings) is Pressure.NONE
        assert alert(settings) is None
        fill(disk, 0.82)
        assert watch_disk(settings) is Pressure.ALERT
        found = alert(settings)
        assert found is not None
        assert found[0] == "warn"
        assert "82% of the disk below" in found[1]
        assert predict(api) == (200, True)
        fill(disk, 0.91)
        assert watch_disk(settings) is Pressure.NO_CAPTURE
        found = alert(settings)
        assert found is not None
        assert found[0] == "alarm"
        until_captured(api, captured=False)
        require_room_for_jobs(settings)
        fill(disk, 0.96)
        assert watch_disk(settings) is Pressure.NO_JOBS
        with pytest.raises(Conflict, match=r"96% of the disk below .* jobs are refused from 95 % on; free space"):
            Jobs(settings).start_training("m", who="test")
        (check,) = [one for one in run_checks(settings) if one.name == "disk"]
        assert (check.state, "96%" in check.message) == ("fail", True)
        assert predict(api) == (200, False)
        fill(disk, 0.9999)
        assert predict(api) == (200, False)
        assert api.client.get("/health/live").status_code == 200
        fill(disk, 0.5)
        assert watch_disk(settings) is Pressure.NONE
        assert alert(settings) is None
        require_room_for_jobs(settings)
        until_captured(api, captured=True)

"""A job registers one version, wherever it is killed, and however often it is tried again.

strace stops the job as it enters a system call on one path, and kills it there: the call is not made any more.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.house import Appliance
from appliance.model_card import TrainingReport
from appliance.model_spec import ModelSpec
from appliance.registry.released import drop_unreleased, find_released
from appliance.training.job import TrainingOrder, run_training
from tests.training.rows import Remembered, made_up
from tests.training.state import add, new_appliance

STRACE = shutil.which("strace")
JOB = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ORDER = TrainingOrder(model="m", who="test", job_id=JOB)


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    made = new_appliance(tmp_path / "state")
    add(made, "rows", made_up())
    made.models.create(ModelSpec(name="m", dataset="rows", target="y", rounds=20, deploy="auto"), who="test")
    return made


def kill_at(house: Appliance, call: str, path: str) -> None:
    """Train in a child and kill it as it enters its first call of that kind on a path below ``models``."""
    assert STRACE is not None
    done = subprocess.run(
        [STRACE, "-f", "-qq", "-o", "/dev/null", "-P", str((house.settings.layout.models / path).resolve()),
         "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1",
         sys.executable, "-m", "tests.training.training_child", str(house.settings.state), "m", JOB],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "APPLIANCE_TRAINING_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, (call, path)


def in_mlflow(house: Appliance) -> list[tuple[int, str]]:
    """The versions that MLflow knows, with the states of their runs."""
    with closing(sqlite3.connect(house.settings.layout.mlflow / "mlflow.db")) as store:
        return store.execute(
            "SELECT version, runs.status FROM model_versions JOIN runs ON run_uuid = run_id ORDER BY version"
        ).fetchall()


def assert_one(house: Appliance, report: TrainingReport) -> None:
    assert (report.version, report.deployed) == (1, True)
    assert in_mlflow(house) == [(1, "FINISHED")]
    ((version, alias, job),) = [(one.version, one.alias, one.job_id) for one in house.models.versions("m")]
    assert (version, alias, job) == (1, "champion", JOB)
    assert json.loads(house.settings.layout.deployments.read_text())["models"]["m"] == {"champion": 1}
    assert len(list((house.settings.layout.mlflow / "artifacts").rglob("card/card.json"))) == 1


@pytest.mark.skipif(STRACE is None, reason="needs strace")
@pytest.mark.parametrize(
    ("call", "path", "trained_again"),
    [
        ("mkdir", "m", True),  # in MLflow, not published
        ("openat", "m", False),  # published, and without a row
        ("openat", ".deployments.lock", False),  # with its row, deployed in the database alone
        ("openat", ".", False),  # all but the folder of ``deployments.json`` is flushed
    ],
)
def test_a_job_that_was_killed_after_it_registered_does_the_rest(
    house: Appliance, call: str, path: str, trained_again: bool
) -> None:
    kill_at(house, call, path)
    assert [version for version, _ in in_mlflow(house)] == [1]
    assert (find_released(house.settings.layout, JOB) is None) is trained_again
    for number in range(2):  # the second time there is nothing left to do
        progress = Remembered()
        assert_one(house, run_training(house.settings, ORDER, progress))
        assert bool(progress.rounds) is (trained_again and number == 0)


@pytest.mark.skipif(STRACE is None, reason="needs strace")
def test_what_a_killed_job_registered_and_never_published_goes_with_it(house: Appliance) -> None:
    kill_at(house, "mkdir", "m")
    assert drop_unreleased(house.settings.layout, OTHER) == 0
    assert drop_unreleased(house.settings.layout) == 1
    assert in_mlflow(house) == []
    report = run_training(house.settings, TrainingOrder(model="m", who="test", job_id=OTHER), Remembered())
    assert (report.version, in_mlflow(house)) == (1, [(1, "FINISHED")])
    assert drop_unreleased(house.settings.layout) == 0


@dataclass(slots=True)
class Holding(Remembered):
    """Holds a database from the moment at which the version is registered."""

    holder: sqlite3.Connection = field(kw_only=True)

    def step(self, name: str, fraction: float, message: str) -> None:
        if name == "register":
            self.holder.execute("BEGIN IMMEDIATE")
        Remembered.step(self, name, fraction, message)


def test_a_job_that_found_the_state_database_held_registers_nothing_anew(house: Appliance) -> None:
    with closing(sqlite3.connect(house.settings.layout.database, isolation_level=None)) as holder:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            run_training(house.settings, ORDER, Holding(holder=holder))
        holder.execute("ROLLBACK")
    assert in_mlflow(house) == [(1, "FINISHED")]
    progress = Remembered()
    assert_one(house, run_training(house.settings, ORDER, progress))
    assert progress.rounds == []


def test_a_late_retry_takes_no_title_back(house: Appliance) -> None:
    """Somebody retries an old job in Prefect's own pages, after a newer version was deployed."""
    run_training(house.settings, ORDER, Remembered())
    run_training(house.settings, TrainingOrder(model="m", who="test", job_id=OTHER), Remembered())
    house.deployments.deploy("m", 2, who="test")
    report = run_training(house.settings, ORDER, Remembered())
    assert (report.version, report.deployed) == (1, False)
    assert {one.version: one.alias for one in house.models.versions("m")}[2] == "champion"
    assert [one.version for one in house.deployments.current()] == [2]

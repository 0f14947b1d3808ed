"""Whatever becomes of labels, what is said with figures kept is to the bit what all rows say."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from appliance.monitoring.monitoring import Monitoring
from appliance.schema import Task
from appliance.settings import Settings
from appliance.training.evaluate import evaluate
from storage import statedb
from storage.backups import copy_database
from storage.figures import forget_days
from storage.outcome_rows import DAY_US, remove_old_outcomes, scan_outcomes
from tests.monitoring.kept import (
    DAYS,
    MODEL,
    count,
    keep_current,
    kept_files,
    make_watched,
    say_all,
    say_all_anew,
    tell,
)
from tests.monitoring.traffic import START_US

PREDICTIONS = DAYS * 12 * 3

steps = st.one_of(
    # Few labels, so that most steps correct, repeat or retire some.
    st.tuples(st.just("label"), st.lists(st.tuples(st.integers(0, PREDICTIONS - 1), st.integers(0, 3)), min_size=1)),
    st.tuples(st.just("retire"), st.integers(0, DAYS)),
    st.tuples(st.just("keep"), st.none()),
    st.tuples(st.just("break"), st.tuples(st.integers(0, 999), st.integers(0, 10**6))),
    st.tuples(st.just("back up"), st.none()),
    st.tuples(st.just("restore"), st.none()),
)


@pytest.fixture(scope="module", params=[Task.BINARY, Task.REGRESSION])
def template(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Task, list[str]]]:
    with tempfile.TemporaryDirectory() as name:
        task: Task = request.param
        _, ids = make_watched(Path(name), task)
        yield Path(name) / "state", task, ids


@given(st.lists(steps, min_size=2, max_size=6))
@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink one would take minutes
)  # fmt: skip
def test_kept_figures_are_those_of_all_rows(
    template: tuple[Path, Task, list[str]], sequence: list[tuple[str, object]]
) -> None:
    state, task, ids = template
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(state=Path(name) / "state")
        shutil.copytree(state, settings.state)
        doing = Doing(settings, task, ids)
        for step, what in [("label", [(7, 1), (8, 0), (80, 1), (140, 0)]), *sequence]:
            doing.do(step, what)
            assert say_all(settings) == say_all_anew(settings)
            require_metrics_of_rows(settings, task)


class Doing:
    """Does to a state what time, callers and operators do."""

    def __init__(self, settings: Settings, task: Task, ids: list[str]) -> None:
        self.settings = settings
        self.task = task
        self.ids = ids
        self.serial = 0
        self.backup = settings.state.parent / "backup.db"

    def do(self, step: str, what: object) -> None:
        self.serial += 1
        if step == "label":
            pairs = msgspec.convert(what, list[tuple[int, int]])
            labels = {self.ids[at]: self._label(value) for at, value in pairs}
            tell(self.settings, labels, at_us=START_US + self.serial)
        elif step == "retire":
            before_us = START_US + msgspec.convert(what, int) * DAY_US
            with closing(statedb.connect(self.settings.layout.database)) as connection:
                remove_old_outcomes(connection, MODEL, before_us=before_us)
            for file in kept_files(self.settings):
                os.utime(file, (0, 0))
            forget_days(self.settings.layout.figures, before=before_us // DAY_US)
        elif step == "keep":
            keep_current(self.settings)
        elif step == "break" and (files := kept_files(self.settings)):
            which, place = msgspec.convert(what, tuple[int, int])
            content = bytearray(files[which % len(files)].read_bytes())
            content[place % len(content)] ^= 0x10
            files[which % len(files)].write_bytes(content)
        elif step == "back up":
            self.backup.unlink(missing_ok=True)
            copy_database(self.settings.layout.database, self.backup)
        elif step == "restore" and self.backup.exists():
            for suffix in ("-wal", "-shm"):
                Path(f"{self.settings.layout.database}{suffix}").unlink(missing_ok=True)
            shutil.copy(self.backup, self.settings.layout.database)
            if self.serial % 2:  # else the restored state is asked before the loop has counted the log again
                count(self.settings)

    def _label(self, value: int) -> float | str:
        return ("no", "yes")[value % 2] if self.task is Task.BINARY else value * 7.3


def require_metrics_of_rows(settings: Settings, task: Task) -> None:
    """The metrics are those of the rows of the state database, parsed one by one."""
    with closing(statedb.connect(settings.layout.database)) as connection:
        rows = list(scan_outcomes(connection, MODEL, first_us=0, last_us=2**60, version=1))
    truth = np.array([{"no": 0.0, "yes": 1.0}[r.label] if task is Task.BINARY else float(r.label) for r in rows])
    outputs = np.array([msgspec.json.decode(row.output, type=list[float]) for row in rows]).reshape(-1, 1)
    report = Monitoring(settings).quality(MODEL, 30 * 86_400, version=1)
    assert report.labelled == len(rows)
    assert dict(report.metrics) == (evaluate(task, truth, outputs) if rows else {})

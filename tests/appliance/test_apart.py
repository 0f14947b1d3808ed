"""Work in a process of its own is the work that is done here; and what is left when such a process ends too early."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from appliance.apart import Apart
from appliance.datasets import Datasets
from appliance.errors import BadInput, BadTable, NotFound, ProcessLost, Stopped
from appliance.intake import Intake
from appliance.models import Models
from appliance.orders import StopButton
from appliance.processes.procfs import list_tree
from appliance.settings import Settings
from storage.columns import Dtype
from storage.datasets import IngestInfo
from storage.ingest import alone

PENGUINS = str(Path(__file__).parents[1] / "data" / "penguins.csv")
TYPES = {"flipper_length_mm": Dtype.STRING}


@pytest.fixture
def apart(settings: Settings) -> Iterator[Apart]:
    made = Apart(settings)
    yield made
    made.close()


def children() -> set[int]:
    return {pid for pid in list_tree(os.getpid()) if b"appliance.apart_child" in _command(pid)}


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_order_is_answered_as_it_is_here(settings: Settings, datasets: Datasets, apart: Apart) -> None:
    there = Datasets(settings, apart)
    seen = there.look_through(Intake(source=PENGUINS), rows=7).glance
    assert seen.rows.equals(datasets.look_through(Intake(source=PENGUINS), rows=7).glance.rows)
    there.declare_rules("p", "[columns.body_mass_g]\nmin = 3000\n", who="ada")
    added = there.take_in("p", Intake(source=PENGUINS, target="species", types=TYPES), who="ada")
    assert (added.version, added.rows) == (1, 335)
    assert added.warnings == datasets.findings("p") == there.findings("p")
    assert there.refresh("p", who="ada") == datasets.refresh("p", who="ada")
    there.add("p", PENGUINS, append=True, target="species", who="ada")
    assert there.profile("p", 1) == datasets.profile("p", 1)
    assert there.diff("p", 1, 2) == datasets.diff("p", 1, 2)
    assert there.preview("p", rows=5).equals(datasets.preview("p", rows=5))
    assert there.rejected("p").equals(datasets.rejected("p"))
    assert there.rejected("p").height == 9
    here_models, there_models = Models(settings), Models(settings, apart)
    assert there_models.propose("p", "species") == here_models.propose("p", "species")
    assert there_models.create(there_models.propose("p", "sex").spec, who="ada").task == "binary"


def test_values_come_back_as_they_were(settings: Settings, datasets: Datasets, apart: Apart) -> None:
    rows = pl.DataFrame({
        "float": [1.5, float("inf"), None], "whole": [2**62, -1, None], "text": ["ü\n", "", None],
        "day": [date(1, 1, 1), date(9999, 12, 31), None], "flag": [True, False, None],
        "at": [datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), None, None],
    })  # fmt: skip
    datasets.add_frame("d", rows, append=False, info=IngestInfo(who="ada", source="a frame"))
    assert Datasets(settings, apart).preview("d").equals(datasets.preview("d"))


@pytest.mark.parametrize(
    ("intake", "kind"),
    [
        (Intake(source="/nowhere.csv"), BadInput),
        (Intake(source=PENGUINS, target="colour"), BadTable),
        (Intake(source=PENGUINS, prepare="SELECT nothing FROM source"), BadInput),
    ],
)
def test_errors_are_of_the_same_class_with_the_same_sentence(
    settings: Settings, datasets: Datasets, apart: Apart, intake: Intake, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as here:
        datasets.take_in("p", intake, who="ada")
    with pytest.raises(kind) as there:
        Datasets(settings, apart).take_in("p", intake, who="ada")
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    with pytest.raises(NotFound, match="no dataset 'p'"):
        Datasets(settings, apart).profile("p")


def test_a_process_takes_one_order_after_the_other_and_ends_when_nobody_needs_it(settings: Settings) -> None:
    apart = Apart(settings, idle_s=0.2)
    apart.warm()
    first = children()
    assert len(first) == 1
    with pytest.raises(BadInput):
        Datasets(settings, apart).look_through(Intake(source="/nowhere.csv"))
    Datasets(settings, apart).look_through(Intake(source=PENGUINS))
    until(lambda: not children())
    assert Datasets(settings, apart).look_through(Intake(source=PENGUINS)).glance.rows.height == 100
    apart.close()
    until(lambda: not children())


def test_a_killed_process_is_told_and_leaves_nothing(settings: Settings, apart: Apart) -> None:
    """Held where it is about to write: its rows are read, the type that was chosen is among the rules already."""
    datasets = Datasets(settings, apart)
    with ThreadPoolExecutor(1) as pool, alone(settings.layout, "p"):
        adding = pool.submit(datasets.take_in, "p", Intake(source=PENGUINS, types=TYPES), who="ada")
        until(lambda: datasets.rules("p") is not None)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessLost, match=r"was killed, as the kernel does .*; nothing was added"):
            adding.result(60)
    assert (datasets.list(), datasets.rules("p")) == ((), None)
    assert datasets.take_in("p", Intake(source=PENGUINS, types=TYPES), who="ada").rows == 344


def test_what_was_added_before_the_process_was_killed_is_told(settings: Settings, apart: Apart) -> None:
    """Held where it is about to write the audit, once the rows are there."""
    datasets = Datasets(settings, apart)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(sqlite3.connect(settings.layout.database)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        adding = pool.submit(datasets.take_in, "p", Intake(source=PENGUINS, types=TYPES), who="ada")
        until(lambda: bool(datasets.list()))
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessLost, match="version 1 of 'p' was added before that"):
            adding.result(60)
    assert datasets.preview("p")["flipper_length_mm"].dtype == pl.String
    assert datasets.rules("p") is not None, "the type that was chosen is what the rows were read by"


def test_a_stopped_ingest_changes_nothing(settings: Settings, apart: Apart) -> None:
    datasets, stop = Datasets(settings, apart), StopButton()
    with ThreadPoolExecutor(1) as pool, alone(settings.layout, "p"):
        adding = pool.submit(datasets.take_in, "p", Intake(source=PENGUINS, types=TYPES), who="ada", stop=stop)
        until(lambda: datasets.rules("p") is not None)
        stop.press()
        with pytest.raises(Stopped, match="it was stopped; nothing was added"):
            adding.result(60)
    assert (datasets.list(), datasets.rules("p")) == ((), None)
    with pytest.raises(Stopped):
        datasets.take_in("p", Intake(source=PENGUINS), who="ada", stop=stop)
    assert datasets.add("p", PENGUINS, who="ada").version == 1


def test_an_ingest_is_stopped_wherever_it_is(settings: Settings, apart: Apart, tmp_path: Path) -> None:
    """While its rows are read, where DuckDB takes the process's own end for a fault of the file, as elsewhere."""
    datasets, file = Datasets(settings, apart), tmp_path / "large.csv"
    file.write_text("a,b,c\n" + "".join(f"{i},{i % 7},{i / 3}\n" for i in range(400_000)))
    with ThreadPoolExecutor(1) as pool, alone(settings.layout, "p"):
        for wait_s in (0.0, 0.05, 0.2, 0.5):
            stop = StopButton()
            adding = pool.submit(datasets.take_in, "p", Intake(source=str(file)), who="ada", stop=stop)
            until(lambda: bool(list(settings.layout.tmp.glob("scratch-*"))))
            time.sleep(wait_s)
            stop.press()
            with pytest.raises(Stopped, match="it was stopped; nothing was added"):
                adding.result(60)
            for left in settings.layout.tmp.glob("scratch-*"):
                shutil.rmtree(left)
    assert datasets.add("p", PENGUINS, who="ada").version == 1


def test_it_ends_with_whoever_ordered_also_half_way(settings: Settings) -> None:
    code = (
        "from appliance.apart import Apart; from appliance.datasets import Datasets\n"
        "from appliance.settings import load_settings\n"
        f"s = load_settings(); Datasets(s, Apart(s)).add('p', {PENGUINS!r}, who='ada')"
    )
    environment = {**os.environ, "APPLIANCE_STATE": str(settings.state)}
    with alone(settings.layout, "p"):
        parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
        until(lambda: bool(list(settings.layout.tmp.glob("scratch-*"))))
        worker = next(pid for pid in list_tree(parent.pid) if b"appliance.apart_child" in _command(pid))
        parent.kill()
        parent.wait()
        until(lambda: b"appliance.apart_child" not in _command(worker))
    assert Datasets(settings).list() == ()


def test_more_orders_than_processes_wait_for_each_other(settings: Settings, apart: Apart) -> None:
    datasets = Datasets(settings, apart)
    gate = threading.Barrier(7)

    def look() -> int:
        gate.wait()
        return datasets.look_through(Intake(source=PENGUINS)).glance.rows.height

    with ThreadPoolExecutor(7) as pool:
        assert [each.result(120) for each in [pool.submit(look) for _ in range(7)]] == [100] * 7
    assert len(children()) <= 4

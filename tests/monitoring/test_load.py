"""How loaded the appliance is: the workers' counts, a real process's time and memory, the disk, the watch loop."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.house import Appliance, open_appliance, prepare_state
from appliance.monitoring.load import Load, judge_filling, judge_watch
from appliance.monitoring.service_report import Lag
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.monitoring.watchdog import SILENT
from appliance.processes.ledger import Ledger, ProcessEntry, write_ledger
from appliance.processes.procfs import find_start
from appliance.serving.counts import Counts
from appliance.settings import Settings
from tests.processes.test_procfs import PARENT, tree


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    return open_appliance(settings)


def let_run(settings: Settings, pid: int, *names: str) -> None:
    """Write down a process as a supervisor's; it stands for the parts named."""
    started = find_start(pid)
    assert started is not None
    entries = tuple(
        ProcessEntry(name=name, state="running", pid=pid, started=started, since="2026-03-01T00:00:00Z", restarts=2)
        for name in names
    )
    write_ledger(settings.layout, Ledger(pid=pid, started=started, processes=entries))


@pytest.mark.parametrize(
    ("used", "state"), [(0, State.OK), (8, State.OK), (9, State.WARN), (10, State.ALARM), (11, State.ALARM)]
)
def test_a_limit_is_near_above_four_fifths_of_it(used: int, state: State) -> None:
    assert judge_filling(used, 10).state is state
    assert judge_filling(used, 10).share == used / 10


def test_the_watch_loop_is_judged_by_its_silence() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for heartbeat_at, state in (
        (None, State.NOT_ENOUGH_DATA), (now - SILENT, State.OK), (now - SILENT - timedelta(seconds=1), State.ALARM),
    ):  # fmt: skip
        assert judge_watch(Lag(bytes_behind=0, heartbeat_at=heartbeat_at, faults={}), now) is state


def test_where_nothing_runs_each_figure_is_empty_and_not_nought(house: Appliance) -> None:
    counts = Counts(house.settings.layout.run / "api-counts", 0)
    counts.series("", 0).note_room(8)  # of an API that ended: nobody has these in hand any more
    counts.series("", 0).note_in_flight(3)
    found = house.load.look("m")
    assert found.api is None
    assert {(one.process.state, one.process.pss_mb, one.cpu_share) for one in found.processes} == {
        ("stopped", None, None)
    }
    assert found.watch is State.NOT_ENOUGH_DATA
    assert found.disk is not None
    assert 0 < found.disk.share <= 1


def test_workers_requests_and_queue_add_up(house: Appliance) -> None:
    folder = house.settings.layout.run / "api-counts"
    for worker, in_flight in enumerate((0, 7, 2)):
        counts = Counts(folder, worker)
        counts.series("", 0).note_room(10)
        counts.series("", 0).note_in_flight(in_flight)
        counts.series("m", 1).queue(3)
        counts.series("other", 1).queue(4)
    Counts(folder, 3).series("", 0)  # has been started and not yet said how much it takes
    with tree(PARENT) as process:
        let_run(house.settings, process.pid, "api")
        found = house.load.look("m").api
    assert found is not None
    assert (found.workers, found.busy) == (3, 2)
    assert (found.requests.used, found.requests.limit, found.requests.state) == (9, 30, State.OK)
    assert (found.queue.used, found.queue.limit, found.queued_here) == (21, 3 * 64, 9)


def test_processor_time_is_told_between_two_looks_at_the_same_run(house: Appliance) -> None:
    now = [100.0]
    load = Load(house.settings, house.monitoring, clock=lambda: now[0])

    def look() -> dict[str, float | None]:
        return {one.process.name: one.cpu_share for one in load.look("m").processes}

    with tree(PARENT) as process:
        let_run(house.settings, process.pid, "ui", "runner")
        weighed = {one.process.name: one.process for one in load.look("m").processes}
        assert weighed["ui"].pss_mb is not None
        assert weighed["ui"].pss_mb > 1
        assert weighed["ui"].restarts == 2
        now[0] += 10
        second = look()
        assert second["ui"] is not None
        assert 0 <= second["ui"] < 1
        assert second["api"] is None
        now[0] += 0.5
        assert look() == second, "another tab that looks at once is told the same"
        now[0] += 600
        assert look()["ui"] is None, "the mean of the last ten minutes is not now"
        now[0] += 10
        assert look()["ui"] is not None
    with tree(PARENT) as other:
        let_run(house.settings, other.pid, "ui")
        now[0] += 10
        assert look()["ui"] is None, "another run begins anew"


def test_the_watch_loops_lag_is_that_of_the_log(house: Appliance) -> None:
    with closing(Watch(house.settings.layout)) as watch:
        watch_once(watch)
    found = house.load.look("m")
    assert found.watch is State.OK
    assert found.lag == house.monitoring.lag()

"""A feed's runs among the jobs, with the real orchestrator and runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import Conflict, NotReady
from appliance.intake import Intake
from appliance.jobs import Job, JobKind, JobState
from appliance.orchestrator import DEPLOYMENT, Orchestrator
from tests.flows.stack import PATIENCE_S, Stack, free_port, until
from tests.training.state import new_appliance

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2 * PATIENCE_S)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(new_appliance(tmp_path / "state", orchestrator_port=free_port()))
    made.start("orchestrator")
    made.start("runner")
    yield made
    for name in list(made.processes):
        made.stop(name)


def feed_jobs(stack: Stack) -> list[Job]:
    try:
        return [job for job in stack.house.jobs.list() if job.kind is JobKind.FEED]
    except NotReady:
        return []


def test_the_files_of_a_watched_folder_come_by_jobs(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    until(lambda: stack.log("runner").count("the runner is ready"), "a runner")
    (folder / "1.csv").write_text("a,b\n1,2\n")
    stack.house.feeds.watch("d", Intake(source=str(folder)), who="ann")
    until(lambda: any(job.state.final for job in feed_jobs(stack)), "the first file")
    (first,) = feed_jobs(stack)
    assert (first.model, first.state, first.message) == ("d", JobState.COMPLETED, "1 new of 1 files were appended.")
    assert first.started_at is not None
    assert first.ended_at is not None
    (folder / "2.csv").write_text("a,b\n1,2,3\n")
    until(lambda: len(feed_jobs(stack)) == 2 and feed_jobs(stack)[0].state.final, "the second file")
    second = feed_jobs(stack)[0]
    assert second.state is JobState.FAILED
    assert "2.csv is no regular CSV: the header has 2 fields, but line 2 has 3" in second.message

    left = Orchestrator(stack.house.settings).begin_run(
        "feed", name="feed d", parameters={"dataset": "d", "who": "feed"}, tags=[DEPLOYMENT]
    )
    with pytest.raises(Conflict, match="a feed's run ends by itself"):
        stack.house.jobs.cancel(left.id, who="ann")
    (folder / "2.csv").write_text("a,b\n5,6\n")
    until(lambda: len(feed_jobs(stack)) == 4 and all(job.state.final for job in feed_jobs(stack)), "the mended file")
    assert stack.house.jobs.get(left.id).state is JobState.CRASHED, "its process is gone"
    assert stack.house.datasets.show("d").rows == 2


def test_a_source_that_did_not_change_is_no_job(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text("a,b\n1,2\n")
    stack.house.datasets.add("d", str(source), who="ann")
    until(lambda: stack.log("runner").count("the runner is ready"), "a runner")
    stack.house.feeds.schedule("d", "* * * * *", who="ann")
    until(lambda: "did not change" in stack.house.feeds.list()[0].status.message, "the schedule")
    assert feed_jobs(stack) == []

"""Jobs through the real Prefect server and runner, from asking to the deployed version, and what can go wrong."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl
import pytest

from appliance.errors import Conflict, NotFound
from appliance.jobs import Job, JobKind, JobProgress, JobState
from appliance.model_card import PredictionReport, TrainingReport
from appliance.model_spec import ModelSpec
from appliance.orchestrator import Orchestrator
from appliance.processes.procfs import find_start
from appliance.processes.release_journal import Files
from flows.runner import LOOK_S
from tests.flows.stack import PATIENCE_S, Stack, children_of, free_port, until
from tests.training.rows import adults, bikes, made_up, penguins
from tests.training.state import Traffic, add, new_appliance

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

AUTOGROUP = Path("/proc/self/autogroup")

SLOW = {"learning_rate": 0.0001}
"""With it and no early stop, a fit outlasts any test."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("stack") / "state"
    house = new_appliance(state, orchestrator_port=free_port())
    add(house, "bikes", bikes())
    add(house, "adults", adults())
    add(house, "penguins", penguins())
    add(house, "rows", made_up())
    declared = (
        ModelSpec(name="demand", dataset="bikes", target="cnt", exclude=("casual", "registered"), deploy="auto"),
        ModelSpec(name="income", dataset="adults", target="income", exclude=("split",), rounds=100),
        ModelSpec(name="species", dataset="penguins", target="species"),
        ModelSpec(name="plain", dataset="rows", target="y", rounds=20, deploy="auto"),
        ModelSpec(name="patient", dataset="rows", target="y", rounds=20),
        ModelSpec(
            name="searched", dataset="adults", target="income", exclude=("split",), budget="best", trials=1000,
            rounds=50,
        ),
        ModelSpec(
            name="slow", dataset="adults", target="income", rounds=100_000, early_stopping=10_000, params=SLOW
        ),
    )  # fmt: skip
    for spec in declared:
        house.models.create(spec, who="test")
    stack = Stack(house)
    stack.start("orchestrator")
    stack.start("runner")
    yield stack
    for name in list(stack.processes):
        stack.stop(name)


def wait(stack: Stack, job_id: str) -> tuple[Job, list[JobProgress]]:
    seen: list[JobProgress] = []

    def note(_: Job, progress: JobProgress | None) -> None:
        if progress is not None:
            seen.append(progress)

    return stack.house.jobs.wait(job_id, note, timeout_s=PATIENCE_S), seen


def logged(stack: Stack, job_id: str) -> list[str]:
    return [line.message for line in stack.house.jobs.logs(job_id)]


def test_a_regression_is_trained_shown_while_it_runs_and_deployed(stack: Stack) -> None:
    job_id = stack.train("demand")
    job, seen = wait(stack, job_id)
    assert (job.state, job.kind, job.model, job.who) == (JobState.COMPLETED, JobKind.TRAIN, "demand", "test"), (
        job.message
    )
    report = stack.house.jobs.report(job_id)
    assert isinstance(report, TrainingReport)
    assert (report.version, report.task, report.rows, report.deployed) == (1, "regression", 17379, True)
    assert report.metrics["rmse"] < 130 < report.baseline["rmse"]
    assert [deployment.version for deployment in stack.house.deployments.current()] == [1]
    assert seen[0].step == "start"
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    curve = seen[-1].curve
    assert curve[0].iteration == 1
    assert curve[-1].valid < curve[0].valid
    until(lambda: any("done: version 1" in message for message in logged(stack, job_id)), "the log's last line")
    assert any(message.startswith("fit: fitting") for message in logged(stack, job_id))
    assert stack.house.models.versions("demand")[0].job_id == job_id
    assert stack.house.jobs.list(5)[0].id == job_id


def test_classes_are_trained_too(stack: Stack) -> None:
    jobs = {name: stack.train(name) for name in ("income", "species")}
    assert [wait(stack, job_id)[0].state for job_id in jobs.values()] == [JobState.COMPLETED] * 2
    income, species = (stack.house.jobs.report(job_id) for job_id in jobs.values())
    assert isinstance(income, TrainingReport)
    assert isinstance(species, TrainingReport)
    assert (income.task, species.task) == ("binary", "multiclass")
    assert income.metrics["auc"] > 0.92
    assert species.metrics["accuracy"] > 0.93
    assert not income.deployed


def test_a_job_that_cannot_train_fails_with_the_sentence_and_no_traceback(stack: Stack) -> None:
    add(stack.house, "broken", made_up())
    stack.house.models.create(ModelSpec(name="broken", dataset="broken", target="y"), who="test")
    add(stack.house, "broken", made_up().with_columns(pl.lit(1.0).alias("y")))
    job_id = stack.train("broken")
    job, _ = wait(stack, job_id)
    assert job.state is JobState.FAILED
    assert job.message.startswith("target 'y' is constant: every labelled row is 1.0")
    until(lambda: job.message in logged(stack, job_id), "the log, which comes in batches")
    assert not any("Traceback" in message for message in logged(stack, job_id))
    assert not any("tried again" in message for message in logged(stack, job_id))
    assert stack.house.jobs.report(job_id) is None
    assert stack.house.models.versions("broken") == ()


def test_a_job_waits_for_a_database_that_somebody_holds_and_then_succeeds(stack: Stack) -> None:
    with closing(sqlite3.connect(stack.house.settings.layout.mlflow / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        job_id = stack.train("patient")
        until(lambda: any("tried again in" in message for message in logged(stack, job_id)), "the second attempt")
        holder.execute("ROLLBACK")
    job, _ = wait(stack, job_id)
    assert job.state is JobState.COMPLETED, job.message
    (told, *_) = [message for message in logged(stack, job_id) if "tried again in" in message]
    assert "database is locked" in told
    assert [version.job_id for version in stack.house.models.versions("patient")].count(job_id) == 1


def test_a_running_job_is_cancelled_and_its_process_ends(stack: Stack) -> None:
    job_id = stack.train("slow")
    until(lambda: (progress := stack.house.jobs.progress(job_id)) is not None and progress.curve, "the first rounds")
    runner = stack.processes["runner"].pid
    assert len(children_of(runner)) == 1
    waiting = stack.house.jobs.start_training("slow", who="test")
    assert stack.house.jobs.cancel(waiting, who="ann").state is JobState.CANCELLED
    stack.house.jobs.cancel(job_id, who="ann")
    job, _ = wait(stack, job_id)
    assert (job.state, job.message) == (JobState.CANCELLED, "cancelled")
    assert children_of(runner) == []
    assert stack.house.jobs.cancel(job_id, who="ann").state is JobState.CANCELLED
    noted = [row.entry for row in stack.house.access.audit() if row.entry.action == "job.cancel"]
    assert [(entry.who, entry.detail) for entry in noted] == [
        ("ann", f"job {job}: train, asked for by test") for job in (job_id, waiting)
    ]


def stopped(job_id: str, *, why: str = "the runner was stopped") -> tuple[JobState, str]:
    """What becomes of a job that its runner does not outlive."""
    return JobState.CRASHED, f"{why} while this job ran; 'appliance jobs again {job_id}' starts it again"


def search_runs(stack: Stack) -> dict[str, list[str]]:
    """The states in MLflow of the searches' runs: of trainings, and of the trials inside them, oldest first."""
    path = stack.house.settings.layout.mlflow / "mlflow.db"
    found: dict[str, list[str]] = {"training": [], "trial": []}
    if path.exists():
        with closing(sqlite3.connect(path)) as store:
            rows = store.execute(
                "SELECT status, parent.value IS NOT NULL FROM runs LEFT JOIN tags parent ON parent.run_uuid = "
                "runs.run_uuid AND parent.key = 'mlflow.parentRunId' WHERE name LIKE 'searched%' ORDER BY start_time"
            ).fetchall()
        for status, is_trial in rows:
            found["trial" if is_trial else "training"].append(status)
    return found


def test_a_search_is_seen_in_mlflow_while_it_goes_on_and_ends_there_when_it_is_cancelled(stack: Stack) -> None:
    job_id = stack.train("searched")
    until(lambda: "FINISHED" in search_runs(stack)["trial"], "a trial in MLflow")
    assert stack.house.jobs.get(job_id).state is JobState.RUNNING
    assert search_runs(stack)["training"] == ["RUNNING"]
    stack.house.jobs.cancel(job_id, who="ann")
    assert wait(stack, job_id)[0].state is JobState.CANCELLED
    runs = search_runs(stack)
    assert runs["training"] == ["KILLED"]
    assert runs["trial"][0] == "FINISHED"  # the defaults are never pruned
    assert set(runs["trial"]) <= {"FINISHED", "KILLED"}
    assert stack.house.models.versions("searched") == ()


def test_a_search_whose_runner_is_killed_ends_in_mlflow_when_the_next_one_starts(stack: Stack) -> None:
    job_id = stack.train("searched")
    until(lambda: search_runs(stack)["training"].count("RUNNING") == 1, "the search in MLflow")
    stack.stop("runner", signal.SIGKILL)
    stack.start("runner")
    assert wait(stack, job_id)[0].state is JobState.CRASHED
    runs = search_runs(stack)
    assert runs["training"][-1] == "KILLED"
    assert "RUNNING" not in runs["training"] + runs["trial"]


def test_a_job_takes_only_the_processor_time_that_nobody_wants(stack: Stack) -> None:
    job_id = stack.train("slow")
    runner = stack.processes["runner"].pid
    until(lambda: (progress := stack.house.jobs.progress(job_id)) is not None and progress.curve, "the first rounds")
    (child,) = children_of(runner)
    priorities = {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{child}/task").iterdir()}
    assert priorities == {19}
    assert os.getsid(child) == child != os.getsid(runner)
    assert os.getpriority(os.PRIO_PROCESS, runner) == 10
    if AUTOGROUP.exists():
        assert Path(f"/proc/{child}/autogroup").read_text().endswith("nice 19\n")
    stack.house.jobs.cancel(job_id, who="ann")
    wait(stack, job_id)


def test_labelled_predictions_retrain_and_a_file_is_predicted(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wait(stack, stack.train("plain"))
    traffic = Traffic(stack.house, "plain")
    for prediction in traffic.predict([{"x": 1.0, "noise": 0.0, "color": "red", "on": False}] * 30):
        traffic.label(prediction, 4.0)
    traffic.close()
    job_id = stack.house.jobs.start_retraining("plain", who="test")
    assert wait(stack, job_id)[0].state is JobState.COMPLETED
    report = stack.house.jobs.report(job_id)
    assert isinstance(report, TrainingReport)
    assert (report.version, report.rows, report.champion_version) == (2, 430, 1)
    folder = tmp_path_factory.mktemp("files")
    made_up(50).write_csv(folder / "in.csv")
    asked = stack.house.jobs.start_prediction("plain", folder / "in.csv", folder / "out.parquet", who="test")
    assert wait(stack, asked)[0].state is JobState.COMPLETED
    predicted = stack.house.jobs.report(asked)
    assert isinstance(predicted, PredictionReport)
    assert predicted.rows == len(pl.read_parquet(folder / "out.parquet")) == 50
    with pytest.raises(Conflict, match="has its result"):  # which somebody may have changed since
        stack.house.jobs.again(asked, who="test")


def test_the_orchestrator_may_restart_and_the_runner_goes_on(stack: Stack) -> None:
    runner = stack.processes["runner"].pid
    stack.stop("orchestrator")
    until(lambda: "does not answer" in stack.log("runner"), "a runner that noticed")
    stack.start("orchestrator")
    job, _ = wait(stack, stack.train("species"))
    assert job.state is JobState.COMPLETED
    assert stack.processes["runner"].pid == runner
    assert stack.processes["runner"].poll() is None


def test_a_killed_runner_leaves_no_process_and_no_job_that_runs_for_ever(stack: Stack) -> None:
    job_id = stack.train("slow")
    until(lambda: (progress := stack.house.jobs.progress(job_id)) is not None and progress.curve, "the first rounds")
    (child,) = children_of(stack.processes["runner"].pid)
    assert find_start(child) is not None
    stack.stop("runner", signal.SIGKILL)
    until(lambda: find_start(child) is None, "the end of the job's process, which would outlast any test")
    stack.start("runner")
    job, _ = wait(stack, job_id)
    assert (job.state, job.message) == stopped(job_id)


def test_a_stopped_runner_says_what_became_of_its_job(stack: Stack) -> None:
    job_id = stack.train("slow")
    until(lambda: (progress := stack.house.jobs.progress(job_id)) is not None and progress.curve, "the first rounds")
    assert stack.stop("runner") == 0
    job = stack.house.jobs.get(job_id)
    assert (job.state, job.message) == stopped(job_id)
    stack.start("runner")


def test_a_job_that_a_new_release_ends_is_told_so_with_the_command_that_starts_it_again(stack: Stack) -> None:
    stack.wait_for_runner()
    job_id = stack.house.jobs.start_training("slow", who="test", version=1)
    until(lambda: stack.house.jobs.get(job_id).state is JobState.RUNNING, "a job that runs")
    assert [(job.id, job.state) for job in stack.house.jobs.running()] == [(job_id, JobState.RUNNING)]
    layout = stack.house.settings.layout
    files = Files(layout, layout.root)
    journal = files.begin("1.0", "1.1", ran=True, began_at="2026-11-30T00:00:00Z")
    assert stack.stop("runner") == 0
    job = stack.house.jobs.get(job_id)
    assert (job.state, job.message) == stopped(job_id, why="another release took over")
    assert stack.house.jobs.running() == ()
    files.finish(journal)
    stack.start("runner")
    again = stack.house.jobs.again(job_id, who="ann")
    until(lambda: stack.house.jobs.get(again).state is JobState.RUNNING, "the same again")
    with pytest.raises(Conflict, match="has not ended; it is running"):
        stack.house.jobs.again(again, who="ann")
    asked = Orchestrator(stack.house.settings).get_run(again).parameters
    assert asked == {"model": "slow", "who": "ann", "dataset_version": 1}
    stack.house.jobs.cancel(again, who="ann")
    assert wait(stack, again)[0].state is JobState.CANCELLED


@pytest.mark.parametrize("victim", ["job", "runner"])
def test_a_job_that_is_killed_after_it_registered_goes_on_from_there(stack: Stack, victim: str) -> None:
    house = stack.house
    spec = ModelSpec(name=f"once-{victim}", dataset="rows", target="y", rounds=20, deploy="auto")
    house.models.create(spec, who="test")
    stack.wait_for_runner()  # it publishes the deployments once when it starts, which takes the lock, too
    with (house.settings.layout.models / ".deployments.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the job waits here, with its version registered and its file not written
        job_id = stack.train(spec.name)
        until(lambda: any(one.model == spec.name for one in house.deployments.current()), "the version in the database")
        runner = stack.processes["runner"].pid
        if victim == "job":
            (child,) = children_of(runner)
            os.kill(child, signal.SIGKILL)
        else:
            stack.stop("runner", signal.SIGKILL)
    if victim == "runner":
        stack.start("runner")
    job, _ = wait(stack, job_id)
    assert job.state is JobState.COMPLETED, job.message
    report = house.jobs.report(job_id)
    assert isinstance(report, TrainingReport)
    assert (report.version, report.deployed) == (1, True)
    assert [(one.version, one.job_id) for one in house.models.versions(spec.name)] == [(1, job_id)]
    with closing(sqlite3.connect(house.settings.layout.mlflow / "mlflow.db")) as store:
        known = store.execute("SELECT count(*) FROM model_versions WHERE name = ?", (spec.name,)).fetchone()
    assert known == (1,)
    assert f'"{spec.name}": {{"champion": 1}}' in house.settings.layout.deployments.read_text()


def test_a_schedule_plans_one_run_ahead_and_follows_its_declaration(stack: Stack) -> None:
    spec = stack.house.models.get("plain").spec

    def planned() -> list[tuple[JobKind, str, JobState]]:
        jobs = [job for job in stack.house.jobs.list(200) if job.who == "schedule"]
        return [(job.kind, job.model, job.state) for job in jobs]

    stack.house.models.apply(msgspec.structs.replace(spec, schedule="0 3 1 1 *"), who="test")
    until(lambda: planned() == [(JobKind.RETRAIN, "plain", JobState.SCHEDULED)], "the planned run")
    stack.house.models.apply(msgspec.structs.replace(spec, schedule="0 4 1 1 *"), who="test")
    until(
        lambda: sorted(state for _, _, state in planned()) == [JobState.CANCELLED, JobState.SCHEDULED], "another plan"
    )
    stack.house.models.apply(msgspec.structs.replace(spec, schedule="0 3 1 1 *"), who="test")
    until(
        lambda: sorted(state for _, _, state in planned()) == [*[JobState.CANCELLED] * 2, JobState.SCHEDULED],
        "the first hour again",
    )
    stack.house.models.apply(spec, who="test")
    until(lambda: {state for _, _, state in planned()} == {JobState.CANCELLED}, "a plan that was withdrawn")


def test_an_unknown_job_is_not_found(stack: Stack) -> None:
    for job_id in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound, match="there is no job"):
            stack.house.jobs.get(job_id)


def test_no_job_begins_while_a_release_takes_over(stack: Stack) -> None:
    layout = stack.house.settings.layout
    files = Files(layout, layout.root)
    journal = files.begin("1.0", "1.1", ran=True, began_at="2026-11-30T00:00:00Z")
    job_id = stack.train("patient")
    log = layout.logs / "runner.log"
    until(lambda: "another release takes over; jobs wait" in log.read_text(), "the runner to say so")
    time.sleep(3 * LOOK_S)
    assert stack.house.jobs.get(job_id).state is JobState.SCHEDULED
    files.finish(journal)
    assert wait(stack, job_id)[0].state is JobState.COMPLETED

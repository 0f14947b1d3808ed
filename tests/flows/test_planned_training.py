"""The alert on a model whose planned trainings fail, by the real orchestrator, runner and jobs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from appliance.jobs import JobState
from appliance.orchestrator import DEPLOYMENT, Orchestrator, Plan
from flows.schedules import PLANNED
from tests.flows.stack import PATIENCE_S, Stack, free_port, until
from tests.training.rows import made_up, spec
from tests.training.state import add, new_appliance

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    house = new_appliance(tmp_path / "state", orchestrator_port=free_port())
    add(house, "data", made_up())
    house.models.create(spec("y", rounds=5), who="test")
    add(house, "data", made_up().with_columns(pl.lit(1.0).alias("y")))
    stack = Stack(house)
    stack.start("orchestrator")
    stack.start("runner")
    yield stack
    for name in list(stack.processes):
        stack.stop(name)


def alerts(stack: Stack) -> list[tuple[str, str, bool]]:
    found = stack.house.monitoring.alerts()
    return [(one.model, one.message, one.closed_at is None) for one in found if one.subject == "training"]


def end(stack: Stack, job_id: str) -> JobState:
    return stack.house.jobs.wait(job_id, lambda _, __: None, timeout_s=PATIENCE_S).state


def test_planned_trainings_that_fail_open_an_alert_until_one_is_done(stack: Stack) -> None:
    model = stack.house.models.list()[0].name
    assert end(stack, stack.train(model)) is JobState.FAILED
    nights: list[str] = []
    orchestrator = Orchestrator(stack.house.settings)
    for night in range(2):
        assert alerts(stack) == [] or night, "who asked for the first is told, and no alert is opened"
        run = orchestrator.create_run(
            "train", name=f"train {model}", parameters={"model": model, "who": "schedule"},
            tags=[DEPLOYMENT, PLANNED, f"model:{model}"], plan=Plan(at=datetime.now(UTC), key=f"night {night}"),
        )  # fmt: skip
        nights.append(run.id)
        assert end(stack, run.id) is JobState.FAILED
    orchestrator.close()
    until(lambda: bool(alerts(stack)), "the alert")
    ((about, message, is_open),) = alerts(stack)
    assert (about, is_open) == (model, True)
    assert message.startswith("The planned training failed: target 'y' is constant: every labelled row is 1.0")
    assert f"'appliance jobs log {nights[0]}'; 'appliance jobs again {nights[0]}' starts it again" in message
    add(stack.house, "data", made_up())
    assert end(stack, stack.train(model)) is JobState.COMPLETED
    until(lambda: not alerts(stack)[0][2], "the end of the alert")


def test_a_planned_training_that_dies_with_its_runner_opens_one_too(stack: Stack) -> None:
    model = stack.house.models.list()[0].name
    with closing(Orchestrator(stack.house.settings)) as orchestrator:
        until(lambda: stack.train(model) != "", "an orchestrator that takes jobs")
        run = orchestrator.create_run(
            "train", name=f"train {model}", parameters={"model": model, "who": "schedule"},
            tags=[DEPLOYMENT, PLANNED, f"model:{model}"], plan=Plan(at=datetime.now(UTC), key="tonight"),
        )  # fmt: skip
    until(lambda: stack.house.jobs.get(run.id).state is JobState.RUNNING, "the training")
    stack.stop("runner", signal.SIGKILL)
    assert alerts(stack) == []
    stack.start("runner")
    until(lambda: bool(alerts(stack)), "the alert")
    assert alerts(stack)[0][1].startswith("The planned training failed: ")

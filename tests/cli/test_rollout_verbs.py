"""deploy, promote, rollback: what stands beside the champion can be taken away by command."""

from __future__ import annotations

from pathlib import Path

from appliance.model_spec import ModelSpec
from tests.cli.shell import Shell
from tests.training.rows import made_up
from tests.training.state import add, new_appliance, train_now


def test_a_shadow_can_be_ended_and_a_rollback_leaves_it_alone(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "box")
    add(house, "data", made_up())
    spec = ModelSpec(name="m", dataset="data", target="y", rounds=5, deploy="auto")
    for _ in range(2):
        train_now(house, spec)
    shell = Shell(state=tmp_path / "box")
    assert "m version 1 serves" in shell.ok("deploy", "m", "--version", "1").out
    assert "answers nobody" in shell.ok("deploy", "m", "--version", "2", "--shadow").out
    ended = shell.ok("rollback", "m", "--shadow").out
    assert "m version 2 is no shadow any more" in ended
    assert [(one.role, one.version) for one in house.deployments.current()] == [("champion", 1)]
    refused = shell.run("rollback", "m", "--shadow")
    assert (refused.code, "has no shadow" in refused.err) == (1, True)

"""A promotion that is taken back leaves what stood before it; not when something else was deployed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.deployments import Deployment
from appliance.errors import Conflict
from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.undo import undo_promotion
from tests.training.rows import made_up
from tests.training.state import add, new_appliance, train_now

SPEC = ModelSpec(name="m", dataset="data", target="y", rounds=5, deploy="auto")


def test_a_promotion_is_taken_back_once_and_only_while_it_is_the_newest_change(tmp_path: Path) -> None:
    house = new_appliance(tmp_path)
    add(house, "data", made_up())
    train_now(house, SPEC)
    train_now(house, SPEC)
    deployments = house.deployments
    for role in ("canary", "shadow"):
        trial = (
            deployments.start_canary("m", 30, 2, who="ada")
            if role == "canary"
            else deployments.start_shadow("m", 2, who="ada")
        )
        before = standing(house)
        promoted = deployments.promote("m", who="ada")
        assert standing(house) == [("champion", 2, None)]
        undo_promotion(deployments, promoted, trial, who="ada")
        assert standing(house) == before
        with pytest.raises(Conflict, match="changed since version 2 was promoted"):
            undo_promotion(deployments, promoted, trial, who="ada")
        assert standing(house) == before
        deployments.end("m", role, who="ada")


def standing(house: Appliance) -> list[tuple[str, int, int | None]]:
    found: tuple[Deployment, ...] = house.deployments.current()
    return sorted((one.role, one.version, one.percent) for one in found)

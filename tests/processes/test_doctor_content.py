"""What the state holds and has lost is a line of doctor, before somebody needs it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.processes.check import Check
from appliance.processes.doctor import run_checks
from storage.bundles import bundle_path
from storage.datasets import read_snapshot, snapshot_files
from storage.errors import SnapshotNotFound
from tests.training.state import add, new_appliance, train_now


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    """With a dataset and a model of it that serves."""
    house = new_appliance(tmp_path / "state")
    rows = range(400)
    add(house, "d", pl.DataFrame({"a": [at % 7 for at in rows], "y": [float(at % 5 + at % 7) for at in rows]}))
    train_now(house, ModelSpec(name="m", dataset="d", target="y"))
    house.deployments.deploy("m", who="test")
    return house


def look(house: Appliance, name: str) -> Check:
    (found,) = [check for check in run_checks(house.settings) if check.name == name]
    return found


def test_a_version_that_cannot_serve_is_named_with_a_way_out(house: Appliance) -> None:
    assert look(house, "bundles").state == "ok"
    folder = bundle_path(house.settings.layout, "m", 1)
    whole = (folder / "model.txt").read_bytes()
    (folder / "model.txt").write_bytes(whole[:100])
    found = look(house, "bundles")
    assert found.state == "fail"
    assert "version 1 of 'm' stands as the champion and cannot serve" in found.message
    assert str(folder / "model.txt") in found.message
    assert "appliance backup restore --replace" in found.fix
    (folder / "model.txt").write_bytes(whole)
    assert look(house, "bundles").state == "ok"


def test_a_file_that_a_dataset_has_lost_is_named_by_doctor_and_by_whoever_reads_it(house: Appliance) -> None:
    assert look(house, "tables").state == "ok"
    (file,) = [Path(one) for one in snapshot_files(house.settings.layout, "d")]
    aside = file.rename(file.parent.parent / "aside")
    found = look(house, "tables")
    assert (found.state, found.message) == ("fail", f"datasets/d has lost {file.name}")
    assert "appliance backup restore --replace" in found.fix
    with pytest.raises(SnapshotNotFound, match=f"version 1 has lost the file {file.name}; put it back, or restore"):
        read_snapshot(house.settings.layout, "d")
    aside.rename(file)
    assert look(house, "tables").state == "ok"
    assert read_snapshot(house.settings.layout, "d").height == 400

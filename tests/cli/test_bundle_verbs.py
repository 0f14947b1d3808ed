"""appliance bundle: from a box that trains to a box that serves, by command."""

from __future__ import annotations

from pathlib import Path

from appliance.model_spec import ModelSpec
from tests.cli.shell import Shell
from tests.training.rows import made_up
from tests.training.state import add, new_appliance, train_now


def test_a_version_goes_from_box_to_box(tmp_path: Path) -> None:
    house = new_appliance(tmp_path / "factory")
    add(house, "data", made_up())
    train_now(house, ModelSpec(name="m", dataset="data", target="y", rounds=10))
    new_appliance(tmp_path / "edge")
    factory, edge = Shell(state=tmp_path / "factory"), Shell(state=tmp_path / "edge")
    made = factory.ok("bundle", "export", "m", "--json").json()
    file = str(tmp_path / "m-1.bundle")
    assert (made["path"], made["version"]) == ("m-1.bundle", 1)
    refused = edge.run("bundle", "import", file)
    assert refused.code == 1
    assert "is signed by a box that is not trusted here" in refused.err
    key = factory.ok("bundle", "key", "--json").json()
    assert key["key"] == made["key"]
    assert key["fingerprint"] in refused.err
    assert key["fingerprint"] in edge.ok("bundle", "trust", "factory", key["key"]).out
    assert edge.ok("bundle", "trusted", "--json").json() == {"trusted": [{"name": "factory", "key": key["key"]}]}
    came = edge.ok("bundle", "import", file, "--deploy", "--json").json()
    assert (came["model"], came["version"], came["new"], came["deployed"]) == ("m", 1, True, True)
    (model,) = edge.ok("models", "--json").json()["models"]
    assert model["deployed"] == 1
    again = edge.ok("bundle", "import", file).out
    assert "was here already" in again
    assert "m version 1 serves" in again
    assert "let it serve" not in again
    assert edge.run("train", "m").code != 0
    edge.ok("bundle", "distrust", "factory")
    assert edge.ok("bundle", "trusted", "--json").json() == {"trusted": []}

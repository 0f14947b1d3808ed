"""Models and deployments over a real state, trained in this process."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import polars as pl
import pytest

from appliance.errors import BadInput, BadModelSpec, BadTable, BundleRefused, Conflict, NotFound
from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.schema import Task
from storage.bundles import bundle_path
from tests.training.rows import bikes, made_up
from tests.training.state import add, new_appliance, train_now

SPEC = ModelSpec(name="m", dataset="data", target="y", rounds=10, deploy="auto")


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    return house


def published(house: Appliance) -> dict[str, object]:
    found: dict[str, object] = json.loads(house.settings.layout.deployments.read_text())["models"]
    return found


def test_a_model_is_declared_changed_and_listed(house: Appliance) -> None:
    created = house.models.create(SPEC, who="ada")
    assert (created.task, created.champion, created.deployed, created.latest) == (Task.REGRESSION, None, None, None)
    changed = house.models.apply(msgspec.structs.replace(SPEC, seed=9), who="bob")
    assert changed.spec.seed == 9
    assert changed.created_at == created.created_at
    assert [model.name for model in house.models.list()] == ["m"]
    with pytest.raises(Conflict, match="already"):
        house.models.create(SPEC, who="ada")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dataset": "nope"}, NotFound, "nope"),
        ({"target": "yy"}, BadTable, "did you mean 'y'"),
        ({"exclude": ("nope",)}, BadModelSpec, "no column 'nope'"),
        ({"time": "nope"}, BadModelSpec, "no column 'nope'"),
        ({"name": "../etc"}, BadModelSpec, "is not a name"),
    ],
)
def test_a_declaration_that_cannot_train_is_refused_at_once(
    house: Appliance, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refused:
        house.models.apply(msgspec.structs.replace(SPEC, **changes), who="ada")
    assert message in str(refused.value)
    assert house.models.list() == ()


def test_unknown_models_are_said_with_those_there_are(house: Appliance) -> None:
    house.models.apply(SPEC, who="ada")
    with pytest.raises(NotFound, match="declared models: m"):
        house.models.get("n")
    with pytest.raises(NotFound, match="no version yet"):
        house.models.card("m")
    with pytest.raises(NotFound, match="no champion yet"):
        house.deployments.deploy("m", who="ada")


def test_versions_serve_and_are_rolled_back_step_by_step(house: Appliance) -> None:
    first = train_now(house, SPEC)
    assert first.deployed
    assert published(house) == {"m": {"champion": 1}}
    assert not house.deployments.can_roll_back("m")
    second = train_now(house, SPEC)
    assert not second.gate.passed
    assert not second.deployed
    third = train_now(house, msgspec.structs.replace(SPEC, rounds=300))
    assert (third.gate.passed, third.champion_version, third.deployed) == (True, 1, True)
    house.deployments.deploy("m", 2, who="ada", reason="to see")
    assert published(house) == {"m": {"champion": 2}}
    assert house.deployments.can_roll_back("m")
    seen = house.deployments.rolled_back("m")
    assert house.deployments.rollback("m", who="ada", expected=seen).version == 3
    with pytest.raises(Conflict, match=r"changed meanwhile: version 3 stands as the champion .*by ada; look again"):
        house.deployments.rollback("m", who="bob", expected=seen)
    assert house.deployments.rollback("m", who="ada").version == 1
    assert not house.deployments.can_roll_back("m")
    with pytest.raises(Conflict, match="nothing served before"):
        house.deployments.rollback("m", who="ada")
    assert [row.version for row in house.deployments.history("m")] == [1, 3, 2, 3, 1]
    assert [row.version for row in house.deployments.current()] == [1]
    assert [(row.version, row.alias) for row in house.models.versions("m")] == [(3, None), (2, None), (1, "champion")]
    assert house.models.card("m").version == 1
    assert house.models.card("m", 3).champion == third.champion
    assert [entry.entry.action for entry in house.access.audit(4)][:2] == ["model.rollback", "model.rollback"]
    with pytest.raises(NotFound, match="no version 9"):
        house.deployments.deploy("m", 9, who="ada")


def test_a_canary_stands_beside_the_champion_until_it_is_promoted_or_taken_back(house: Appliance) -> None:
    train_now(house, SPEC)
    with pytest.raises(Conflict, match="is the champion"):
        house.deployments.start_canary("m", 10, who="ada")
    train_now(house, SPEC)
    deployments = house.deployments
    assert deployments.start_canary("m", 10, who="ada").version == 2
    assert published(house) == {"m": {"champion": 1, "canary": 2, "percent": 10}}
    assert deployments.start_canary("m", 30, who="ada").percent == 30
    assert published(house) == {"m": {"champion": 1, "canary": 2, "percent": 30}}
    assert deployments.can_roll_back("m")
    assert deployments.rollback("m", who="ada").version == 1
    assert published(house) == {"m": {"champion": 1}}
    deployments.start_canary("m", 50, 2, who="ada")
    assert deployments.promote("m", who="ada").version == 2
    assert published(house) == {"m": {"champion": 2}}
    assert deployments.rollback("m", who="ada").version == 1
    actions = [entry.entry.action for entry in house.access.audit(6)]
    assert actions == [
        "model.rollback", "model.promote", "model.canary", "model.rollback", "model.canary", "model.canary",
    ]  # fmt: skip
    for percent in (0, 100):
        with pytest.raises(BadInput, match="1 to 99"):
            deployments.start_canary("m", percent, who="ada")
    with pytest.raises(Conflict, match="neither a canary nor a shadow"):
        deployments.promote("m", who="ada")


def test_a_shadow_is_promoted_or_ended_and_a_rollback_leaves_it(house: Appliance) -> None:
    with pytest.raises(NotFound):
        house.deployments.start_shadow("m", who="ada")
    house.models.apply(msgspec.structs.replace(SPEC, deploy="manual"), who="ada")
    train_now(house, msgspec.structs.replace(SPEC, deploy="manual"))
    with pytest.raises(Conflict, match="no champion to stand beside"):
        house.deployments.start_shadow("m", who="ada")
    for version in (2, 3):
        train_now(house, msgspec.structs.replace(SPEC, deploy="manual"))
        house.deployments.deploy("m", version - 1, who="ada")
    deployments = house.deployments
    deployments.start_shadow("m", who="ada")
    assert published(house) == {"m": {"champion": 2, "shadow": 3}}
    assert deployments.rollback("m", who="ada").version == 1
    assert published(house) == {"m": {"champion": 1, "shadow": 3}}
    ended = deployments.end("m", "shadow", who="ada")
    assert (ended.version, ended.ended_at is None) == (3, False)
    assert published(house) == {"m": {"champion": 1}}
    with pytest.raises(Conflict, match="has no shadow"):
        deployments.end("m", "shadow", who="ada")
    with pytest.raises(BadInput, match="cannot be ended"):
        deployments.end("m", "champion", who="ada")
    deployments.start_shadow("m", 3, who="ada")
    assert deployments.promote("m", who="ada").version == 3
    assert published(house) == {"m": {"champion": 3}}


def test_a_damaged_bundle_is_not_deployed(house: Appliance) -> None:
    train_now(house, SPEC)
    train_now(house, SPEC)
    model = bundle_path(house.settings.layout, "m", 2) / "model.txt"
    model.write_text(model.read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(BundleRefused):
        house.deployments.deploy("m", 2, who="ada")
    assert published(house) == {"m": {"champion": 1}}


def test_what_serves_is_written_again_after_a_restore(house: Appliance) -> None:
    train_now(house, SPEC)
    house.settings.layout.deployments.unlink()
    house.deployments.publish()
    assert published(house) == {"m": {"champion": 1}}


def test_a_proposal_explains_itself(house: Appliance) -> None:
    add(house, "bikes", bikes())
    proposal = house.models.propose("bikes", "cnt")
    assert (proposal.spec.task, proposal.spec.time) == (Task.REGRESSION, "ts")
    assert "dteday" in proposal.spec.exclude
    assert any("'registered' alone predicts 'cnt'" in sentence for sentence in proposal.sentences)
    house.models.create(proposal.spec, who="ada")
    with pytest.raises(NotFound):
        house.models.propose("nope", "cnt")


def test_a_column_that_predicts_the_target_alone_is_named_and_stays_in(house: Appliance) -> None:
    rows = pl.DataFrame({"a": [n * 37 % 100 for n in range(200)], "b": [n % 7 for n in range(200)]})
    add(house, "lines", rows.with_columns(y=pl.col("a") * 3.0 + pl.col("b")))
    proposal = house.models.propose("lines", "y")
    assert proposal.spec.exclude == ()
    assert any("'a' alone predicts 'y'" in sentence for sentence in proposal.sentences)

"""The typed rows of models, versions, deployments, progress, keys and users."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.deployment_rows import (
    NewDeployment,
    deployment_history,
    end_deployment,
    find_deployment,
    live_deployments,
    put_deployment,
)
from storage.key_rows import KeyRow, find_key_by_hash, list_keys, put_key, revoke_key
from storage.model_rows import (
    GateRow,
    ModelRow,
    VersionRow,
    find_alias,
    find_model,
    find_version,
    list_models,
    list_versions,
    put_model,
    put_version,
    set_alias,
)
from storage.progress_rows import ProgressRow, find_progress, list_progress, put_progress
from storage.user_rows import (
    UserRow,
    delete_user,
    find_user,
    list_users,
    put_user,
    set_user_password,
    set_user_role,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = ModelRow(name="bikes", task="regression", dataset="bikes", target="count", created_at=NOW, updated_at=NOW)
VERSION = VersionRow(
    model="bikes", version=1, run_id="r1", dataset="bikes", dataset_version=2, rows=100, seconds=1.5,
    metrics={"rmse": 0.5}, baseline={"rmse": 1.0}, champion=None, created_at=NOW, job_id="j1",
    gate=GateRow(passed=True, reasons=("It is the first.",)),
)  # fmt: skip
DEPLOYMENT = NewDeployment(model="bikes", version=1, role="champion", who="ann", reason="first", started_at=NOW)


def test_a_model_is_changed_in_place_and_keeps_its_birth(db: sqlite3.Connection) -> None:
    later = NOW + timedelta(days=1)
    put_model(db, MODEL)
    put_model(db, replace(MODEL, target="casual", created_at=later, updated_at=later))
    assert list_models(db) == [replace(MODEL, target="casual", updated_at=later)]
    assert find_model(db, "none") is None


def test_a_version_comes_back_as_it_was_put(db: sqlite3.Connection) -> None:
    put_model(db, MODEL)
    second = replace(VERSION, version=2, champion={"rmse": 0.5}, gate=GateRow(passed=False), job_id=None)
    put_version(db, VERSION)
    put_version(db, second)
    assert list_versions(db, "bikes") == [second, VERSION]
    assert find_version(db, "bikes", 1) == VERSION
    assert find_version(db, "bikes", 3) is None


def test_a_version_needs_its_model_and_is_put_once(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        put_version(db, VERSION)
    put_model(db, MODEL)
    put_version(db, VERSION)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        put_version(db, VERSION)


def test_an_alias_moves_and_is_had_once(db: sqlite3.Connection) -> None:
    put_model(db, MODEL)
    put_version(db, replace(VERSION, alias="champion"))
    put_version(db, replace(VERSION, version=2, alias="challenger"))
    assert set_alias(db, "bikes", "champion", 2)
    assert [each.alias for each in list_versions(db, "bikes")] == ["champion", None]
    assert find_alias(db, "bikes", "challenger") is None
    assert not set_alias(db, "bikes", "champion", 9)
    champion = find_alias(db, "bikes", "champion")
    assert champion is not None
    assert champion.version == 2


def test_a_deployment_replaces_the_one_that_the_caller_saw(db: sqlite3.Connection) -> None:
    first = put_deployment(db, DEPLOYMENT, replaces=None)
    assert first is not None
    later = NOW + timedelta(hours=1)
    second = put_deployment(db, replace(DEPLOYMENT, version=2, started_at=later), replaces=first.id)
    assert second is not None
    assert live_deployments(db) == [second]
    assert deployment_history(db, "bikes") == [second, replace(first, ended_at=later)]
    assert find_deployment(db, "bikes", "champion") == second


def test_a_deployment_that_somebody_else_overtook_changes_nothing(db: sqlite3.Connection) -> None:
    first = put_deployment(db, DEPLOYMENT, replaces=None)
    assert first is not None
    assert put_deployment(db, replace(DEPLOYMENT, version=2), replaces=None) is None
    assert put_deployment(db, replace(DEPLOYMENT, version=2), replaces=first.id + 1) is None
    assert deployment_history(db, "bikes") == [first]


def test_roles_are_apart_and_a_deployment_ends_once(db: sqlite3.Connection) -> None:
    champion = put_deployment(db, DEPLOYMENT, replaces=None)
    canary = put_deployment(db, replace(DEPLOYMENT, role="canary", percent=10, version=2), replaces=None)
    assert champion is not None
    assert canary is not None
    assert canary.percent == 10
    assert end_deployment(db, canary.id, NOW)
    assert not end_deployment(db, canary.id, NOW)
    assert live_deployments(db) == [champion]


def test_progress_is_replaced_by_what_a_job_tells_next(db: sqlite3.Connection) -> None:
    row = ProgressRow(job_id="j", model="bikes", step="fit", fraction=0.5, message="Tree 50.", updated_at=NOW)
    put_progress(db, row)
    next_row = replace(row, fraction=0.9, curve=((1, 0.75, 0.8), (2, 0.5, 0.6)), updated_at=NOW + timedelta(seconds=1))
    put_progress(db, next_row)
    put_progress(db, replace(row, job_id="other", model=None))
    assert find_progress(db, "j") == next_row
    assert [each.job_id for each in list_progress(db)] == ["j", "other"]
    assert find_progress(db, "none") is None


def test_a_revoked_key_is_listed_but_not_found(db: sqlite3.Connection) -> None:
    row = KeyRow(name="shop", scope="predict,label", hint="apk_abcd", created_at=NOW, created_by="ann")
    assert put_key(db, row, key_hash=b"1" * 32)
    assert not put_key(db, row, key_hash=b"2" * 32)
    assert find_key_by_hash(db, b"1" * 32) == row
    assert find_key_by_hash(db, b"2" * 32) is None
    assert revoke_key(db, "shop", NOW)
    assert not revoke_key(db, "shop", NOW)
    assert find_key_by_hash(db, b"1" * 32) is None
    assert list_keys(db) == [replace(row, revoked_at=NOW)]


def test_the_last_admin_stays_admin(db: sqlite3.Connection) -> None:
    admin = UserRow(name="ann", role="admin", password_hash="h", must_change=True, created_at=NOW)
    assert put_user(db, admin)
    assert not put_user(db, admin)
    assert not delete_user(db, "ann")
    assert not set_user_role(db, "ann", "viewer")
    assert put_user(db, replace(admin, name="bob", role="viewer"))
    assert not delete_user(db, "ann")
    assert set_user_role(db, "bob", "admin")
    assert set_user_role(db, "ann", "operator")
    assert delete_user(db, "ann")
    assert not set_user_password(db, "ann", "x", must_change=False)
    assert set_user_password(db, "bob", "new", must_change=False)
    assert list_users(db) == [replace(admin, name="bob", password_hash="new", must_change=False)]
    assert find_user(db, "ann") is None

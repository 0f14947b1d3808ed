"""Who may call what."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from litestar import HttpMethod
from litestar.handlers import HTTPRouteHandler

from appliance.access import Role
from appliance.api.control.attempts import ALLOWED, WINDOW_S, LoginAttempts
from appliance.api.control.doorkeeper import Doorkeeper, TooManyAttempts
from appliance.api.control.origin import is_cross_site
from appliance.api.control.sessions import LIFETIME_S, Sessions
from appliance.errors import NotAllowed
from appliance.permissions import Action, Caller, is_allowed, require
from tests.api.control.conftest import Control
from tests.training.state import new_appliance


def routes(control: Control) -> list[tuple[str, str, HTTPRouteHandler]]:
    found = []
    for route in control.client.app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods - {HttpMethod.OPTIONS}:
                path = re.sub(r"{[a-z]+_id:int}", "1", str(handler.paths and route.path))
                found.append((str(method), re.sub(r"{(name:str|job_id:str|column:path)}", "x", path), handler))
    return found


def test_without_key_or_session_every_route_but_health_is_closed(control: Control) -> None:
    seen = 0
    for method, path, handler in routes(control):
        answer = control.client.request(method, path)
        if handler.opt.get("open"):
            assert answer.status_code == 200
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            seen += 1
    assert seen > 30


def test_a_read_key_writes_nothing(control: Control) -> None:
    for method, path, _ in routes(control):
        if method not in {"GET", "HEAD"}:
            answer = control.client.request(method, path, headers=control.read)
            assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize("path", ["/keys", "/users", "/audit", "/audit/verify"])
def test_what_admins_manage_is_hidden_from_a_read_key(control: Control, path: str) -> None:
    assert control.client.get(path, headers=control.read).status_code == 403
    assert control.client.get(path, headers=control.admin).status_code == 200


def test_a_predict_key_opens_nothing_here(control: Control) -> None:
    answer = control.client.get("/models", headers=control.predict)
    assert answer.status_code == 403
    assert "read or admin" in answer.json()["detail"]


def test_a_revoked_key_opens_nothing(control: Control) -> None:
    made = control.client.post("/keys", headers=control.admin, json={"name": "short", "scope": "read"}).json()
    headers = {"X-API-Key": made["key"]}
    assert control.client.get("/models", headers=headers).status_code == 200
    assert control.client.delete("/keys/short", headers=control.admin).status_code == 204
    assert control.client.get("/models", headers=headers).status_code == 401
    listed = control.client.get("/keys", headers=control.admin).json()
    assert "hash" not in listed[0]
    assert made["key"] not in str(listed)


def test_what_is_done_with_a_key_stands_in_the_audit(control: Control) -> None:
    control.client.post("/keys", headers=control.admin, json={"name": "another", "scope": "predict"})
    entries = control.client.get("/audit", headers=control.admin).json()
    assert entries[0]["who"] == "key:test-admin"
    assert entries[0]["subject"] == "another"
    assert control.client.get("/audit/verify", headers=control.admin).json()["broken_at"] is None


def test_users_are_managed_and_every_change_stands_in_the_audit(control: Control) -> None:
    client, admin = control.client, control.admin
    made = client.post("/users", headers=admin, json={"name": "ann", "role": "viewer"})
    assert made.status_code == 201
    one_time = made.json()["password"]
    assert made.json() == {"name": "ann", "role": "viewer", "password": one_time}
    assert control.appliance.access.login("ann", one_time).must_change
    changed = client.put("/users/ann/role", headers=admin, json={"role": "operator"})
    assert (changed.status_code, changed.json()["role"]) == (200, "operator")
    given = client.post("/users/ann/password", headers=admin).json()["password"]
    assert given != one_time
    assert control.appliance.access.login("ann", given).role is Role.OPERATOR
    listed = client.get("/users", headers=admin).text
    assert client.delete("/users/ann", headers=admin).status_code == 204
    assert control.appliance.access.find_user("ann") is None
    entries = client.get("/audit?q=ann", headers=admin)
    assert [(one["who"], one["action"], one["detail"]) for one in reversed(entries.json())] == [
        ("key:test-admin", "user.add", "role viewer"),
        ("key:test-admin", "user.role", "role operator"),
        ("key:test-admin", "user.password", ""),
        ("key:test-admin", "user.delete", ""),
    ]
    for password in (one_time, given):
        assert password not in listed + entries.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/users", {"name": "admin", "role": "viewer"}, 409, "there is a user 'admin' already"),
        ("POST", "/users", {"name": "an n", "role": "viewer"}, 422, "cannot be a user's name"),
        ("POST", "/users", {"name": "ann", "role": "king"}, 422, "use viewer, operator, admin"),
        ("POST", "/users", {"name": "ann", "role": "viewer", "password": "mine"}, 400, "password"),
        ("PUT", "/users/admin/role", {"role": "viewer"}, 409, "the last admin"),
        ("PUT", "/users/admin/role", {"role": "king"}, 422, "use viewer, operator, admin"),
        ("DELETE", "/users/admin", None, 409, "the last admin"),
        ("PUT", "/users/ann/role", {"role": "viewer"}, 404, "there is no user 'ann'; users: admin"),
        ("POST", "/users/ann/password", None, 404, "there is no user 'ann'; users: admin"),
        ("DELETE", "/users/ann", None, 404, "there is no user 'ann'; users: admin"),
    ],
)
def test_what_cannot_be_done_to_a_user(
    control: Control, method: str, path: str, body: dict[str, str] | None, status: int, said: str
) -> None:
    answer = control.client.request(method, path, headers=control.admin, json=body)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_the_schema_says_where_with_what_and_how_errors_look(control: Control) -> None:
    schema = control.client.get("/schema", headers=control.read).json()
    assert schema["servers"] == [{"url": "/api"}]
    assert {tuple(one) for one in schema["security"]} == {("bearer",), ("key",)} == {
        (name,) for name in schema["components"]["securitySchemes"]
    }  # fmt: skip
    assert schema["paths"]["/health"]["get"]["security"] == []
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            contents = {status: answer.get("content", ()) for status, answer in operation["responses"].items()}
            assert list(contents["default"]) == ["application/problem+json"], (method, path)
            assert all("/" in media for content in contents.values() for media in content), (method, path)
    refused = control.client.get("/models/none", headers=control.read)
    problem = schema["components"]["schemas"]["Problem"]
    assert refused.headers["content-type"] == "application/problem+json"
    assert set(problem["required"]) <= set(refused.json()) <= set(problem["properties"])
    kinds = schema["components"]["schemas"]["ModelCard"]["properties"]["params"]["additionalProperties"]
    assert {one["type"] for one in kinds["anyOf"]} >= {"integer", "number"}, "31 is both"
    train, model = (schema["paths"][path]["post"] for path in ("/models/{name}/train", "/models"))
    assert (train["requestBody"]["required"], model["requestBody"]["required"]) == (False, True)
    # Where tools look for it by themselves stands the same, not what the framework makes of it alone.
    assert control.client.get("/schema/openapi.json", headers=control.read).json() == schema


def test_the_schema_describes_every_route(control: Control) -> None:
    schema = control.client.get("/schema", headers=control.read).json()
    described = {
        (method.upper(), path) for path, item in schema["paths"].items() for method in item if method != "parameters"
    }
    assert ("POST", "/models/{name}/deploy") in described
    assert {
        ("POST", "/users"), ("PUT", "/users/{name}/role"), ("POST", "/users/{name}/password"),
        ("DELETE", "/users/{name}"),
    } <= described  # fmt: skip
    assert len(described) >= 35


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {Action.LOOK}),
        (Role.OPERATOR, {Action.LOOK, Action.WORK}),
        (Role.ADMIN, {Action.LOOK, Action.WORK, Action.ADMINISTER}),
    ],
)
def test_roles(role: Role, allowed: set[Action]) -> None:
    caller = Caller(name="somebody", role=role)
    assert {action for action in Action if is_allowed(caller, action)} == allowed


def test_a_one_time_password_opens_nothing() -> None:
    with pytest.raises(NotAllowed, match="one-time"):
        require(Caller(name="admin", role=Role.ADMIN, must_change=True), Action.LOOK)


def test_guessing_has_to_wait_by_name_and_by_address() -> None:
    attempts = LoginAttempts()
    for i in range(ALLOWED):
        assert attempts.wait_s("ann", "1.1.1.1", now_s=i) == 0
        attempts.failed("ann", "1.1.1.1", now_s=i)
    assert attempts.wait_s("ann", "9.9.9.9", now_s=10) == pytest.approx(WINDOW_S - 10)
    assert attempts.wait_s("bob", "1.1.1.1", now_s=10) > 0
    assert attempts.wait_s("bob", "9.9.9.9", now_s=10) == 0
    assert attempts.wait_s("ann", "1.1.1.1", now_s=WINDOW_S + ALLOWED) == 0


def test_a_right_password_forgives() -> None:
    attempts = LoginAttempts()
    for i in range(ALLOWED):
        attempts.failed("ann", "1.1.1.1", now_s=i)
    attempts.succeeded("ann", "1.1.1.1")
    assert attempts.wait_s("ann", "1.1.1.1", now_s=6) == 0


def test_sessions_outlive_a_restart_and_end_in_time(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "ui" / "sessions.json"
    sessions = Sessions(file)
    token = sessions.open("ann", now_s=0)
    other = sessions.open("ann", now_s=1)
    assert file.stat().st_mode & 0o077 == 0
    assert token not in file.read_text()
    again = Sessions(file)
    assert again.find(token, now_s=10) == "ann"
    assert again.find(token, now_s=LIFETIME_S + 1) is None
    assert again.find("made up", now_s=10) is None
    again.close_all("ann", but=token, now_s=10)
    assert again.find(other, now_s=10) is None
    again.close(token, now_s=11)
    assert Sessions(file).find(token, now_s=12) is None


def test_a_session_outlives_a_clock_that_is_set_back_and_one_of_a_clock_that_ran_ahead_does_not(
    tmp_path: Path,
) -> None:
    sessions = Sessions(tmp_path / "sessions.json")
    now_s = 10 * LIFETIME_S
    ours, ahead = sessions.open("ann", now_s=now_s), sessions.open("ann", now_s=now_s + LIFETIME_S - 1800)
    assert sessions.find(ours, now_s=now_s - 3600) == "ann"
    assert sessions.find(ahead, now_s=now_s - 3600) is None
    sessions.close("of another", now_s=now_s - 3600)
    assert (sessions.find(ours, now_s=now_s), sessions.find(ahead, now_s=now_s)) == ("ann", None), "it is gone for good"


def test_a_clock_that_is_set_back_makes_nobody_wait_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = new_appliance(tmp_path / "state").access
    doorkeeper = Doorkeeper(access, Sessions(tmp_path / "sessions.json"))
    for _ in range(ALLOWED):
        with pytest.raises(NotAllowed):
            doorkeeper.login("nobody", "wrong password", address="1.1.1.1")
    year_back_s = time.time() - 365 * 86_400
    monkeypatch.setattr("time.time", lambda: year_back_s)
    with pytest.raises(TooManyAttempts) as refused:
        doorkeeper.login("nobody", "wrong password", address="1.1.1.1")
    assert refused.value.wait_s <= WINDOW_S


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({}, False),
        ({"host": "a:1", "origin": "http://a:1"}, False),
        ({"host": "a:1", "origin": "http://a:2"}, True),
        ({"host": "a:1", "origin": "null"}, True),
        ({"host": "a:1", "sec-fetch-site": "same-origin"}, False),
        ({"host": "a:1", "sec-fetch-site": "same-site"}, True),
        ({"host": "a:1", "sec-fetch-site": "cross-site", "origin": "http://a:1"}, True),
    ],
)
def test_cross_site(headers: dict[str, str], *, cross: bool) -> None:
    assert is_cross_site(headers) is cross

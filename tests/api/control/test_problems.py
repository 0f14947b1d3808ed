"""Every error has a status, a title and a body."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

from appliance import errors as own
from appliance.api.control.doorkeeper import NotLoggedIn, TooManyAttempts
from appliance.api.control.problems import STATUS, status_of
from storage import errors as stored
from tests.api.control.conftest import Control


def classes(module: ModuleType) -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", [*classes(own), *classes(stored), NotLoggedIn, TooManyAttempts])
def test_every_error_class_is_in_the_table(kind: type[Exception]) -> None:
    assert kind in STATUS, f"{kind.__name__} needs a status in appliance/api/control/problems.py"
    status, title = STATUS[kind]
    assert 400 <= status < 600
    assert title


def test_a_subclass_answers_like_the_nearest_class_of_the_table() -> None:
    class Newer(own.BadTable):
        pass

    assert status_of(Newer("x")) == STATUS[own.BadTable]


def test_a_problem_says_what_and_what_to_do(control: Control) -> None:
    answer = control.client.get("/datasets/nothing", headers=control.read)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == 404
    assert problem["type"] == "NotFound"
    assert "nothing" in problem["detail"]


def test_an_unknown_route_is_a_problem_too(control: Control) -> None:
    answer = control.client.get("/nix", headers=control.read)
    assert answer.status_code == 404
    assert answer.json()["status"] == 404
    assert answer.json()["detail"].endswith("/nix; GET /api/schema says what there is")
    answer = control.client.patch("/keys", headers=control.admin)
    assert answer.status_code == 405
    assert answer.json()["detail"].endswith("/keys does not take PATCH; GET /api/schema says what it takes")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


def test_a_body_that_is_missing_is_called_so(control: Control) -> None:
    answer = control.client.post("/keys", headers=control.admin)
    assert (answer.status_code, answer.json()["detail"]) == (400, "the body is missing; send JSON")
    answer = control.client.post("/keys", headers=control.admin, json=[])
    assert answer.json()["detail"] == "body: Expected `object`, got `array`"


def test_a_body_that_does_not_fit_names_the_field(control: Control) -> None:
    answer = control.client.post("/keys", headers=control.admin, json={"name": "x"})
    assert answer.status_code == 400
    assert "scope" in answer.json()["detail"]
    answer = control.client.post(
        "/datasets",
        headers=control.admin,
        content=b"{",
    )
    assert answer.status_code == 422
    assert "JSON" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/keys", b'{"name":"\xff"}', 400, "not UTF-8, a text in it has the byte 0xff"),
        ("/datasets", b'{"name":"\xff"}', 422, "not UTF-8, a text in it has the byte 0xff"),
        ("/keys", b"[" * 200_000, 400, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_no_fault_of_the_program(
    control: Control, path: str, body: bytes, status: int, told: str
) -> None:
    answer = control.client.post(path, headers=control.admin, content=body)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((f"/models/{'x' * 2000}/{part}", 404) for part in ("drift", "quality", "data-quality", "fairness", "card")),
        (f"/models/{'x' * 2000}", 404), ("/datasets/%00/rules", 422), (f"/datasets/{'x' * 2000}/rules", 422),
        ("/datasets/%00", 404), ("/models/%00/drift", 404),
    ],
)  # fmt: skip
def test_names_that_nothing_can_have_are_no_fault_of_the_program(control: Control, path: str, status: int) -> None:
    assert control.client.get(path, headers=control.read).status_code == status

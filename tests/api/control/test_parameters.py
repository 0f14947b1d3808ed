"""A query parameter that a route does not have is refused on every route; the others are those of its description."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.api.control.conftest import Control


def operations(control: Control) -> Iterator[tuple[str, str, set[str]]]:
    """Method, address and query parameters of each call, as ``/schema`` describes them."""
    document = control.client.get("/schema", headers=control.read).json()
    for path, item in document["paths"].items():
        for method, one in item.items():
            known = {each["name"] for each in one.get("parameters", ()) if each["in"] == "query"}
            yield method.upper(), re.sub(r"\{[^}]*\}", "1", path), known


def test_every_route_refuses_what_it_does_not_have(control: Control) -> None:
    seen = 0
    for method, path, known in operations(control):
        if path == "/health":
            continue
        answer = control.client.request(method, f"{path}?nonsense=1&{'&'.join(f'{name}=1' for name in known)}",
                                        headers=control.admin)  # fmt: skip
        assert answer.status_code == 400, (method, path)
        assert answer.headers["content-type"].startswith("application/problem+json")
        told, _, takes = answer.json()["detail"].partition("; this path takes ")
        assert told == "there is no query parameter 'nonsense'", (method, path)
        listed = set(takes.removeprefix("the query parameters ").split(", ")) - {"no query parameters"}
        assert listed == known, (method, path)
        seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/jobs?lmit=5", "there is no query parameter 'lmit' (did you mean 'limit'?); this path takes the query "
                         "parameters limit"),
        ("/health?a=1", "there is no query parameter 'a'; this path takes no query parameters"),
        ("/datasets/x/diff?odl=1&new=2&odl=3&b=",
         "there is no query parameter 'odl' (did you mean 'old'?), there is no query parameter 'b'; this path takes "
         "the query parameters old, new"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_what_was_meant(control: Control, address: str, told: str) -> None:
    answer = control.client.get(address, headers=control.read)
    assert (answer.status_code, answer.json()["detail"]) == (400, told)


def test_who_has_no_key_is_not_told_of_parameters(control: Control) -> None:
    assert control.client.get("/jobs?lmit=5").status_code == 401


def test_a_question_about_an_address_may_have_any(control: Control) -> None:
    assert control.client.options("/jobs?limit=5", headers=control.read).status_code == 204

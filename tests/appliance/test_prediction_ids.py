from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.prediction_ids import is_known, issue, request_id

SECRET = b"s" * 32
AT_US = 1_790_000_000_123_456


def test_each_row_of_a_request_is_known_and_no_other() -> None:
    token = issue(SECRET, "m", AT_US, 3)
    assert [is_known(SECRET, "m", f"{token}.{row}") for row in range(5)] == [True, True, True, False, False]


def test_the_id_is_a_uuid_of_version_7_that_carries_the_arrival() -> None:
    found = uuid.UUID(request_id(issue(SECRET, "m", AT_US, 1)))
    assert found.version == 7
    assert found.variant == uuid.RFC_4122
    assert found.int >> 80 == AT_US // 1000


def test_no_two_tokens_are_equal() -> None:
    assert len({issue(SECRET, "m", AT_US, 1) for _ in range(10_000)}) == 10_000


def test_another_model_or_secret_does_not_know_it() -> None:
    prediction_id = f"{issue(SECRET, 'm', AT_US, 1)}.0"
    assert not is_known(SECRET, "n", prediction_id)
    assert not is_known(b"t" * 32, "m", prediction_id)


@pytest.mark.parametrize("change", ["{}.00", "{}.", "{}", "{}.0.0", " {}.0", "{}.-1", "{}.0 ", "{}.\u0660", "x{}.0"])
def test_no_second_spelling_of_an_id_is_known(change: str) -> None:
    assert not is_known(SECRET, "m", change.format(issue(SECRET, "m", AT_US, 1)))


def test_more_rows_than_were_issued_cannot_be_claimed() -> None:
    digits, _, tag = issue(SECRET, "m", AT_US, 1).split("-")
    assert not is_known(SECRET, "m", f"{digits}-9-{tag}.5")


@given(st.text())
def test_no_made_up_text_is_known(text: str) -> None:
    assert not is_known(SECRET, "m", text)

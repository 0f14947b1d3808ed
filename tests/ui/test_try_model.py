"""The form of Try it, with NiceGUI's own elements."""

from __future__ import annotations

import asyncio

import pytest
from nicegui import Client
from nicegui import ui as ng

from appliance.schema import Column, Kind
from ui.pages.try_model import MOST_OFFERED, level_field, tidy


def drawn(levels: int, value: str) -> tuple[type, object, list[str]]:
    """The field's kind, what it holds, and what it offers or says."""
    column = Column(name="city", kind=Kind.CATEGORY, levels=tuple(f"city {at}" for at in range(levels)))

    async def draw() -> tuple[type, object, list[str]]:
        client = Client(ng.page("/test"))
        with client:
            field = level_field(column, value)
        offered = list(field.options) if isinstance(field, ng.select) else [field.error or str(field.props["hint"])]
        client.delete()
        return type(field), field.value, offered

    return asyncio.run(draw())


@pytest.mark.parametrize(("value", "offered"), [("city 1", 4), ("", 4), ("elsewhere", 5)])
def test_a_level_is_chosen_and_an_unseen_one_stays(value: str, offered: int) -> None:
    kind, holds, options = drawn(3, value)
    assert (kind, holds, len(options)) == (ng.select, value, offered)


def test_one_of_too_many_levels_to_send_is_written() -> None:
    assert drawn(MOST_OFFERED, "city 1")[0] is ng.select
    kind, holds, (says,) = drawn(50_000, "city 49999")
    assert (kind, holds, says) == (ng.input, "city 49999", "one of 50,000 known values, such as city 0")
    assert drawn(50_000, "")[2] == [says]


def test_a_level_that_is_written_and_unknown_is_said() -> None:
    assert drawn(50_000, "City 7")[2] == ["never seen by the training; it is taken as missing"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (25.839999999999996, 25.84),
        (0.1 + 0.2, 0.3),
        (1e-9, 1e-9),
        (1700000123456.5, 1700000123456.5),
        (12, 12),
        (True, True),
        ("x", "x"),
        (None, None),
    ],
)
def test_a_number_of_the_row_is_shown_as_somebody_wrote_it(value: object, shown: object) -> None:
    assert repr(tidy(value)) == repr(shown)  # type: ignore[arg-type]

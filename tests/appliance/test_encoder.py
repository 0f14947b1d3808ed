from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from appliance.encoder import RowEncoder
from appliance.errors import BadRow
from appliance.schema import Column, FeatureSchema, Kind, Task

NUMBER = Column(name="Air temperature [K]", kind=Kind.NUMBER, had_nulls=True)
BOOLEAN = Column(name="on", kind=Kind.BOOLEAN)
CATEGORY = Column(name="machine", kind=Kind.CATEGORY, levels=("L", "M"))
ZONE = Column(name="zone", kind=Kind.CATEGORY, levels=("1", "10"), integer=True)
DATETIME = Column(name="built", kind=Kind.DATETIME, had_nulls=True)


def encoder(*columns: Column) -> RowEncoder:
    return RowEncoder(FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="y", columns=columns))


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        (NUMBER, 1, 1.0),
        (NUMBER, -2.5, -2.5),
        (NUMBER, None, math.nan),
        (BOOLEAN, True, 1.0),
        (BOOLEAN, False, 0.0),
        (BOOLEAN, 0, 0.0),
        (CATEGORY, "L", 0.0),
        (CATEGORY, "M", 1.0),
        (CATEGORY, "m", -1.0),
        (CATEGORY, "", -1.0),
        (ZONE, "10", 1.0),
        (ZONE, 10, 1.0),
        (ZONE, 10.0, 1.0),
        (ZONE, 7, -1.0),
        (DATETIME, "1970-01-01T00:01:00", 60.0),
        (DATETIME, "1970-01-01T01:01:00+01:00", 60.0),
        (DATETIME, "1970-01-02", 86400.0),
        (DATETIME, "1970-01-01T00:00:00.5Z", 0.5),
    ],
)
def test_a_value_has_one_code(column: Column, value: object, code: float) -> None:
    found = encoder(column).encode([{column.name: value}]).matrix
    np.testing.assert_array_equal(found, [[code]])


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        (NUMBER, "12", "the string '12'"),
        (NUMBER, True, "true"),
        (NUMBER, math.nan, "NaN"),
        (NUMBER, math.inf, "an infinite number"),
        (NUMBER, 10**400, "the number 1000"),
        (NUMBER, [1], "a list"),
        (NUMBER, {}, "an object"),
        (BOOLEAN, 2, "the number 2"),
        (BOOLEAN, "true", "the string 'true'"),
        (CATEGORY, 1, "the number 1"),
        (CATEGORY, False, "false"),
        (ZONE, 1.5, "the number 1.5"),
        (ZONE, math.inf, "an infinite number"),
        (ZONE, True, "true"),
        (DATETIME, 60, "the number 60"),
        (DATETIME, "yesterday", "the string 'yesterday'"),
    ],
)
def test_a_value_that_would_lose_information_is_refused_by_its_field(column: Column, value: object, found: str) -> None:
    with pytest.raises(BadRow) as refused:
        encoder(column).encode([{column.name: None}, {column.name: value}])
    assert refused.value.row == 1
    assert refused.value.field == column.name
    assert refused.value.found.startswith(found)
    assert refused.value.accepted


def test_a_missing_column_is_not_a_missing_value() -> None:
    with pytest.raises(BadRow, match="row 0, field 'on': the field is missing"):
        encoder(NUMBER, BOOLEAN).encode([{NUMBER.name: 1}])


def test_odd_rows_are_flagged_and_the_others_are_not() -> None:
    rows: list[dict[str, object]] = [
        {"machine": "L", "on": True},
        {"machine": "X", "on": None},
        {"machine": "M", "on": False, "extra": 1},
    ]
    encoded = encoder(CATEGORY, BOOLEAN).encode(rows)
    assert encoded.flags == {1: ["unseen:machine", "null:on"], 2: ["ignored:extra"]}
    assert encoded.unseen == [(1, 0, "X")]


@pytest.mark.parametrize(
    "row",
    [
        {NUMBER.name: 1.5, "on": True, "machine": "L", "zone": 10, "built": "2024-02-29T12:00:00Z"},
        {NUMBER.name: None, "on": None, "machine": None, "zone": None, "built": None},
        {NUMBER.name: 1.0, "on": False, "machine": "?", "zone": "99", "built": "2024-02-29"},
    ],
)
def test_typed_values_encode_as_rows_by_name_do(row: dict[str, Any]) -> None:
    columns = (NUMBER, BOOLEAN, CATEGORY, ZONE, DATETIME)
    by_name = encoder(*columns).encode([row, row])
    values = tuple(row[column.name] for column in columns)
    typed = encoder(*columns).encode_typed([values, values])
    np.testing.assert_array_equal(by_name.matrix, typed.matrix)
    assert by_name.flags == typed.flags
    assert by_name.unseen == typed.unseen
    assert typed.matrix.flags.c_contiguous


def test_a_matrix_of_numbers_is_taken_as_it_is_and_checked() -> None:
    taken = encoder(NUMBER, BOOLEAN).encode_matrix(np.array([[1.0, 1.0], [math.nan, math.nan]]))
    assert taken.flags == {1: ["null:on"]}
    with pytest.raises(BadRow, match="infinite"):
        encoder(NUMBER, BOOLEAN).encode_matrix(np.array([[math.inf, 0.0]]))
    with pytest.raises(BadRow, match="field 'on': the number 2"):
        encoder(NUMBER, BOOLEAN).encode_matrix(np.array([[0.0, 2.0]]))
    with pytest.raises(BadRow, match="a number of a tensor"):
        encoder(CATEGORY).encode_matrix(np.array([[0.0]]))

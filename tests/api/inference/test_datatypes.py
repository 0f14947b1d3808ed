"""A datatype of the Open Inference Protocol holds what NumPy's type of that name does, and nothing is cast unseen."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.inference.datatypes import DTYPES, find_misfit, holds_all, surely_holds
from appliance.api.inference.number_lists import LARGE_BYTES
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, sample_rows

EDGES = [0, 1, 2, *(sign * (2**bits + near) for bits in (7, 8, 15, 16, 31, 32, 63, 64) for near in (-1, 0, 1)
                    for sign in (1, -1))]  # fmt: skip
FLOATS = [65504.0, 65519.9, 65520.0, 3.4028235e38, 3.40282356e38, 3.40282357e38, 1.7976931348623157e308, 10**400]
NUMBERS = (
    st.sampled_from([*EDGES, *map(float, EDGES), *FLOATS, *(-value for value in FLOATS)])
    | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70) | st.booleans()
)  # fmt: skip


def is_held(datatype: str, value: float) -> bool:
    """As NumPy sees it."""
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind == "b":
        return value in (0, 1)
    if dtype.kind == "f":
        try:
            return bool(np.isfinite(np.array([float(value)]).astype(dtype))[0])
        except OverflowError:
            return False
    bounds = np.iinfo(dtype)
    return value == int(value) and int(bounds.min) <= int(value) <= int(bounds.max)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@given(st.sampled_from(sorted(DTYPES)), st.lists(NUMBERS | st.none(), min_size=1, max_size=6))
def test_a_value_is_held_where_numpy_holds_it(datatype: str, values: list[Any]) -> None:
    wrong = [at for at, value in enumerate(values) if value is not None and not is_held(datatype, value)]
    assert find_misfit(datatype, values) == (wrong[0] if wrong else None)
    if datatype != "FP64":
        assert holds_all(datatype, values) is not bool(wrong)
    known = [value for value in values if value is not None and abs(value) < 2**1023]
    if known and surely_holds(datatype, np.array(known, dtype=np.float64)):
        assert find_misfit(datatype, known) is None


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_what_is_held_is_mostly_seen_without_a_look_at_each(datatype: str) -> None:
    assert surely_holds(datatype, np.array([0.0, 1.0]))


WRONG = [
    ("UINT8", 300, "the number 300", "UINT8 values, whole numbers from 0 to 255"),
    ("UINT8", -1, "the number -1", "from 0 to 255"),
    ("UINT8", 1.5, "the number 1.5", "whole numbers"),
    ("INT8", 128, "the number 128", "from -128 to 127"),
    ("UINT64", -1, "the number -1", "from 0 to 18446744073709551615"),
    ("INT64", 2**63, f"the number {2**63}", "from -9223372036854775808 to 9223372036854775807"),
    ("INT64", -(2**63) - 1, f"the number {-(2**63) - 1}", "from -9223372036854775808"),
    ("BOOL", 2, "the number 2", "true or false"),
    ("FP16", 1e5, "the number 100000.0", "FP16 values, numbers from -65504 to 65504"),
    ("FP32", 1e39, "the number 1e+39", "to 3.4028235e+38"),
    ("FP32", "1", "the string '1'", "FP32 values, numbers"),
    ("FP64", 10**400, "the number 1000", "FP64 values, numbers from -1.7976931e+308"),
    ("INT32", [1], "a list", "whole numbers from -2147483648"),
    ("BYTES", 1, "the number 1", "strings, or null"),
]  # fmt: skip


@pytest.mark.parametrize("size", [0, LARGE_BYTES])
@pytest.mark.parametrize(("datatype", "value", "found", "accepted"), WRONG)
def test_what_a_datatype_does_not_hold_is_named(
    deployed: Deployed, datatype: str, value: Any, found: str, accepted: str, size: int
) -> None:
    """In one tensor, and in one that is a column; in a body that is read as lists of numbers, too."""
    cells = ["a" if datatype == "BYTES" else 1] * 8
    rows = sample_rows(MIXED_COLUMNS, 8)
    name = next(iter(rows[0]))
    column = {"name": name, "shape": [8], "datatype": datatype, "data": [*cells[:5], value, *cells[6:]]}
    asked = [("species", {**column, "name": "x", "shape": [2, 4]}), ("mixed", column)]
    for model, tensor in asked[: 1 if datatype == "FP64" else 2]:  # as a column, an FP64 is read by the column's kind
        body = json.dumps({"inputs": [tensor], "parameters": {"p": "p" * size}}).encode()
        answer = deployed.api.client.post(f"/v2/models/{model}/infer", content=body)
        assert answer.status_code == 400, answer.text
        (error,) = answer.json().values()
        assert f"'{tensor['name']}.data[5]'" in error
        assert found in error
        assert accepted in error


@pytest.mark.parametrize("size", [0, LARGE_BYTES])
@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("UINT8", [255, 0, 5.0, None]), ("INT8", [-128, 127, True, None]), ("BOOL", [True, False, 1, 0]),
        ("INT64", [2**63 - 1, -(2**63), 0, 1]), ("UINT64", [2**64 - 1, 0, 1, 2]), ("FP16", [65504, -65504, 0.1, None]),
        ("FP32", [3.4028235e38, -3.4028235e38, 0.1, 1]), ("FP64", [1.7976931348623157e308, None, 0, 1]),
    ],
)  # fmt: skip
def test_what_a_datatype_holds_is_taken_as_it_is(
    deployed: Deployed, datatype: str, values: list[Any], size: int
) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": datatype, "data": values}
    body = json.dumps({"inputs": [tensor], "parameters": {"p": "p" * size}}).encode()
    answer = deployed.api.client.post("/v2/models/species/infer", content=body)
    assert answer.status_code == 200, answer.text
    expected = deployed.species.expect_matrix(np.array([values], dtype=np.float64))
    assert answer.json()["outputs"][1]["data"] == expected[0]


def test_a_byte_that_is_no_boolean_is_named(deployed: Deployed) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "BOOL", "parameters": {"binary_data_size": 4}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = deployed.api.client.post("/v2/models/species/infer", content=head + b"\0\1\2\1", headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "field 'x.data[2]': the byte 2; accepted: 0 for false, or 1 for true"
    }  # fmt: skip
    answer = deployed.api.client.post("/v2/models/species/infer", content=head + b"\0\1\0\1", headers=headers)
    assert answer.status_code == 200

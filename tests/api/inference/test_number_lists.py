"""Numbers that simdjson reads are those that the ordinary decoder reads, or it leaves the document to it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.inference.number_lists import KEPT_BYTES, LARGE_BYTES, open_document
from appliance.api.inference.row_forms import read_numbers
from appliance.api.inference.tensors import InferRequest, decode_request

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
ODD = st.none() | st.booleans() | st.text(max_size=3) | st.lists(NUMBERS, max_size=2)
CELLS = NUMBERS | NUMBERS | NUMBERS | ODD
PADDING = "p" * LARGE_BYTES


def reference(cells: Any) -> list[float] | None:
    """A flat list, or a list of equally long lists, of numbers as floats; None for anything else."""
    if not isinstance(cells, list) or not cells:
        return None
    if all(isinstance(cell, list) for cell in cells):
        if len({len(cell) for cell in cells}) != 1:
            return None
        cells = [value for cell in cells for value in cell]
    if not cells or not all(type(cell) in {int, float} for cell in cells):
        return None
    return [float(cell) for cell in cells]


@given(st.lists(CELLS, max_size=6) | st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=4))
def test_a_list_is_read_as_it_is_or_not_at_all(cells: list[Any]) -> None:
    body = json.dumps({"data": cells, "other": {"list": [1]}}).encode()
    document = open_document(body)
    assert document is not None
    found = document.flat("data")
    if found is None:
        found = document.matrix("data")
    lists = 2 if found is None or found.ndim == 1 else 2 + len(found)
    if found is None or document.lists != lists:
        return
    assert found.ravel().tolist() == reference(cells)


@given(
    st.lists(CELLS, min_size=1, max_size=6) | st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=3),
    st.sampled_from(["FP64", "INT64", "BOOL", "BYTES"]),
)
def test_a_large_request_is_the_same_request(cells: list[Any], datatype: str) -> None:
    flat = reference(cells)
    count = len(flat) if flat else len(cells)
    tensor = {"name": "x", "shape": [count, 1], "datatype": datatype, "data": cells}
    body = json.dumps({"id": PADDING, "inputs": [tensor, tensor], "outputs": [{"name": "raw"}]}).encode()
    found = decode_request(body, None)
    expected = msgspec.json.decode(body, type=InferRequest)
    assert (found.id, found.outputs, len(found.inputs)) == (expected.id, expected.outputs, 2)
    for left, right in zip(found.inputs, expected.inputs, strict=True):
        assert (left.name, left.shape, left.datatype) == (right.name, right.shape, right.datatype)
        if isinstance(left.data, np.ndarray):
            assert left.data.tolist() == flat
        else:
            assert left.data == right.data


@given(
    st.sampled_from(["instances", "inputs", "dataframe_split", "rows"]),
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=3) | st.lists(CELLS, min_size=1, max_size=3),
    st.booleans(),
)
def test_rows_of_numbers_are_a_matrix_and_the_rest_is_left_as_it_is(member: str, cells: list[Any], odd: bool) -> None:
    value = {"columns": ["a", "b"], "data": cells, "index": [0]} if member == "dataframe_split" else cells
    rest = {"parameters": {"p": PADDING}, **({"odd": [[1]]} if odd else {})}
    found = read_numbers(json.dumps({**rest, member: value}).encode())
    flat = reference(cells)
    is_matrix = flat is not None and isinstance(cells[0], list) and member != "rows" and not odd
    assert (found is not None) == is_matrix
    if found is not None:
        assert found["parameters"] == rest["parameters"]
        read = found[member]["data"] if member == "dataframe_split" else found[member]
        assert read.tolist() == [[float(cell) for cell in row] for row in cells]
        if member == "dataframe_split":
            assert (found[member]["columns"], found[member]["index"]) == (["a", "b"], [0])


@pytest.mark.parametrize("data", [[1.0, 2.0], [[1.0], [2.0]], [1, 2]])
def test_a_list_of_numbers_is_taken_without_an_object_a_number(data: list[Any]) -> None:
    tensor = {"name": "x", "shape": [2, 1], "datatype": "FP64", "data": data}
    found = decode_request(json.dumps({"id": PADDING, "inputs": [tensor]}).encode(), None)
    assert isinstance(found.inputs[0].data, np.ndarray)


@pytest.mark.parametrize("body", [b"", b"[1]", b"3", b"{", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":[1e999]}'])
def test_what_is_no_object_is_left_to_others(body: bytes) -> None:
    assert open_document(body) is None


def test_what_is_absent_or_no_list_is_nothing() -> None:
    document = open_document(b'{"a":{"b":[1,2]},"c":"x"}')
    assert document is not None
    assert document.get("a") == {"b": [1, 2]}
    assert document.get("a", "b") == [1, 2]
    assert document.get("d") is None
    assert document.members("a") == ["b"]
    assert document.members("c") == []
    assert (document.length("a", "b"), document.length("a"), document.length("x")) == (2, 0, 0)
    assert document.flat("c") is None
    assert document.matrix("a") is None


def test_one_thread_reads_document_after_document() -> None:
    taken = []
    for size in (10, 1000, KEPT_BYTES // 4, 10):
        document = open_document(json.dumps({"a": list(range(size))}).encode())
        assert document is not None
        found = document.flat("a")
        assert found is not None
        taken.append(found)
        del document
    assert [len(found) for found in taken] == [10, 1000, KEPT_BYTES // 4, 10]
    assert all(found.tolist() == list(range(len(found))) for found in taken)  # none lies in the parser's memory

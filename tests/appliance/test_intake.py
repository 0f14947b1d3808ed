"""Tables from which nothing can be learnt are refused before they are there."""

from __future__ import annotations

import pyarrow as pa
import pytest

from appliance.errors import BadTable
from appliance.learnable import require_target


def read(*batches: dict[str, list[object]], target: str = "y", values: int = 2) -> int:
    made = [pa.record_batch(batch) for batch in batches]
    reader = pa.RecordBatchReader.from_batches(made[0].schema, iter(made))
    return sum(batch.num_rows for batch in require_target(reader, target, values=values))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([{"x": [1, 2]}], r"there is no column 'y' to predict; columns: x"),
        ([{"y": [1, 2]}], r"'y' is the only column; there is nothing to predict it from"),
        ([{"x": [1, 2], "y": [3, 3]}, {"x": [1], "y": [3]}], r"the target 'y' has the one value 3"),
        ([{"x": [1, 2], "y": [None, None]}], r"the target 'y' has no value at all"),
        (
            [{"x": [5, 7], "y": [1, 2], "z": [1.0, 2.0]}, {"x": [1], "y": [3], "z": [3.0]}],
            r"the column 'z' equals the target 'y' in all 3 rows: a model would only copy it\. Leave it out",
        ),
        ([{"x": [5, 7, 9], "y": [1, None, 2], "z": ["1", None, "2"]}], r"'z' equals the target 'y' in all 3 rows"),
        ([{"x": [5, 5], "y": [1, 2]}, {"x": [5], "y": [2]}], r"no column but the target 'y' has two different values"),
        ([{"x": [None, None], "y": [1, 2]}], r"no column but the target 'y' has two different values"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(batches: list[dict[str, list[object]]], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        read(*batches)


@pytest.mark.parametrize(
    "batches",
    [
        [{"x": [1, 2], "y": [3, 4]}],
        [{"x": [1, 1], "y": [3, 4]}, {"x": [2], "y": [4]}],
        [{"x": [1, 2], "y": [1, 2]}, {"x": [9], "y": [3]}],
        [{"x": ["1", "b"], "y": [1, 2]}],
        [{"x": [[1], [2]], "y": [1, 2]}],
    ],
    ids=["plain", "varies late", "equal at first", "other text", "lists"],
)
def test_what_can_be_learnt_from_passes_whole(batches: list[dict[str, list[object]]]) -> None:
    assert read(*batches) == sum(len(batch["y"]) for batch in batches)


def test_an_append_needs_one_value_of_the_target_and_no_more() -> None:
    assert read({"x": [1], "y": [1]}, values=1) == 1

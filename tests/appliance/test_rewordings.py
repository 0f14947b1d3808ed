from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from appliance.datasets import Datasets
from appliance.findings import Code
from appliance.intake import Intake

COUNT = 300


def warned(
    datasets: Datasets, folder: Path, column: Sequence[object], target: Sequence[object]
) -> list[tuple[Code, str]]:
    rows = pl.DataFrame({"x": [number * 7 % 31 for number in range(len(target))], "z": column, "y": target})
    rows.write_parquet(folder / "rows.parquet")
    datasets.take_in("d", Intake(source=str(folder / "rows.parquet"), target="y"), who="test")
    return [
        (finding.code, finding.message)
        for finding in datasets.findings("d")
        if finding.column == "z" and finding.code in {Code.LEAK, Code.LEAK_SUSPECT}
    ]


def told(pairs: str) -> list[tuple[Code, str]]:
    return [
        (
            Code.LEAK,
            f"'z' is the target 'y' in other words ({pairs}) in all {COUNT} rows: a model would only copy it; exclude "
            "it, or leave it out with a query",
        )
    ]


@pytest.mark.parametrize(
    ("column", "target", "pairs"),
    [
        (["no", "yes"] * 150, [0, 1] * 150, "'no' for '0', 'yes' for '1'"),
        ([True, False] * 150, [0, 1] * 150, "'True' for '0', 'False' for '1'"),
        ([2.0, None, 5.0] * 100, ["a", None, "b"] * 100, "'2.0' for 'a', '5.0' for 'b'"),
        (["p", "q", "r", "s"] * 75, [3, 0, 1, 2] * 75, "'q' for '0', 'r' for '1', 's' for '2' and so on"),
    ],
)
def test_the_target_in_other_words_is_named_as_that(
    datasets: Datasets, tmp_path: Path, column: Sequence[object], target: Sequence[object], pairs: str
) -> None:
    assert warned(datasets, tmp_path, column, target) == told(pairs)


def test_what_pairs_off_but_for_a_row_is_no_rewording(datasets: Datasets, tmp_path: Path) -> None:
    ((code, message),) = warned(datasets, tmp_path, ["no", "yes"] * 150 + ["no"], [0, 1] * 150 + [1])
    assert code is Code.LEAK
    assert "alone predicts 'y' with AUC 0.99" in message


def test_an_id_beside_a_target_without_repeats_is_no_rewording(datasets: Datasets, tmp_path: Path) -> None:
    found = warned(
        datasets, tmp_path, [f"id {number}" for number in range(COUNT)], [number * 0.5 for number in range(COUNT)]
    )
    assert found == []

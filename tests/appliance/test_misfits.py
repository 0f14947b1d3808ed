"""A value that is not of its column's type is named with its column, its row and its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.datasets import Datasets
from appliance.errors import BadInput
from appliance.intake import Intake
from storage.csv_dialect import LARGE_BYTES

LARGE = LARGE_BYTES // 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a,b\n1,2\n\n3,4\n5,oops\n7,8\n",
            r"^line 5: .* 'b' is read as whole number, but has the text 'oops' in row 3",
        ),
        ('a,b\n"1",2\n3,"o\nops"\n', r"^line 3: .* 'b' is read as whole number, but has the text 'o\\nops' in row 2"),
        ("Sales\n\na,b\n1,2\n3,x\n", r"^line 5: column 'b' is read as whole number, but has the text 'x' in row 2"),
        ("a,b\n" + "1,2\n" * LARGE + "3,x\n", rf"^line {LARGE + 2}: .* has the text 'x' in row {LARGE + 1}; mend it"),
    ],
    ids=["blank line", "line end within quotes", "title", "large"],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(
    datasets: Datasets, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n3,4\n")
    datasets.add("d", str(tmp_path / "1.csv"), who="ann")
    (tmp_path / "2.csv").write_text(text)
    with pytest.raises(BadInput, match=told):
        datasets.add("d", str(tmp_path / "2.csv"), append=True, who="ann")
    assert datasets.show("d").version == 1


def test_rows_that_went_through_sql_have_no_line(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n3,4\n")
    datasets.add("d", str(tmp_path / "1.csv"), who="ann")
    (tmp_path / "2.csv").write_text("a,b\n1,2\n5,oops\n")
    for intake in (
        Intake(source=str(tmp_path / "2.csv"), append=True, query="SELECT * FROM source ORDER BY b DESC"),
        Intake(source=str(tmp_path / "2.csv"), append=True, prepare="SELECT * FROM source ORDER BY b DESC"),
    ):
        with pytest.raises(BadInput, match=r"^column 'b' is read as whole number, but has the text 'oops' in row 1"):
            datasets.take_in("d", intake, who="ann")

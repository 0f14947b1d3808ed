"""Tables as files: figures a spreadsheet reckons with, texts it does not run."""

from __future__ import annotations

import csv
import io

from ui.components.status import status_of
from ui.components.table import Cell, Column, Row, as_csv, raw_csv
from ui.words import NONE

COLUMNS = (Column(name="name", label="Name"), Column(name="rows", label="Rows", numeric=True),
           Column(name="state", label="State"), Column(name="act", label=""))  # fmt: skip


def lines(*rows: Row) -> list[list[str]]:
    return list(csv.reader(io.StringIO(as_csv(COLUMNS, rows))))


def test_figures_are_bare_and_buttons_are_left_out() -> None:
    cells = {
        "name": Cell(text='a, "b"'), "rows": Cell(text="17,389", sort=17389), "state": Cell(status=status_of("ok")),
        "act": Cell(text="Deploy", action="deploy"),
    }  # fmt: skip
    assert lines(Row(id="1", cells=cells)) == [["Name", "Rows", "State"], ['a, "b"', "17389", "OK"]]


def test_a_column_may_be_in_the_file_alone() -> None:
    columns = (COLUMNS[0], Column(name="took", label="Seconds", numeric=True, filed=True))
    row = Row(id="1", cells={"name": Cell(text="a"), "took": Cell(text="1.5 s", sort=1.5)})
    assert as_csv(columns, [row]).splitlines() == ["Name,Seconds", "a,1.5"]


def test_a_text_is_no_formula() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert lines(Row(id="1", cells={"name": Cell(text=text)}))[1][0] == f"'{text}"


def test_what_is_not_known_is_empty() -> None:
    assert lines(Row(id="1", cells={"rows": Cell(text=NONE, sort=-1)}))[1] == ["", "", ""]


def test_plain_values_are_had_likewise() -> None:
    text = raw_csv(["a", "=b", "ü"], [["-1.5", "-1.5", 'x, "y"'], [None, None, None]], [True, False, False])
    assert list(csv.reader(io.StringIO(text))) == [["a", "'=b", "ü"], ["-1.5", "'-1.5", 'x, "y"'], ["", "", ""]]

"""Sheets that were made for people: titles above the table, merged cells in it, notes below it, numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time

import pytest

from storage.errors import SourceUnreadable
from tests.storage.desk import Desk
from tests.storage.workbooks import write_workbook

HEADER = ["region", "sales", "day"]


def rows(count: int = 8) -> list[list[object]]:
    return [[f"R{at % 3}", at + 0.5, date(2024, 1, 1 + at)] for at in range(count)]


@pytest.mark.parametrize(
    "above",
    [
        [["Sales of 2024", None, None], [None, None, None]],
        [["Sales of 2024", None, None], ["as of January"], []],
        [["Where", None, None, None]],
    ],
    ids=["a title", "two lines", "a merged group"],
)
def test_a_header_below_a_title_is_found(desk: Desk, above: Sequence[Sequence[object]]) -> None:
    source = write_workbook(desk.path / "b.xlsx", {"S": [*above, HEADER, *rows()]})
    frame = desk.read(source)
    assert frame.columns == HEADER
    assert frame.rows() == [tuple(row) for row in rows()]
    assert desk.notes == (f"The header of b.xlsx is row {len(above) + 1}; what stands above it was left out.",)


def test_years_and_dates_in_the_header_are_names(desk: Desk) -> None:
    body = [["a", at, at * 2] for at in range(5)]
    for header, names in (
        (["name", 2023, 2024], ["name", "2023", "2024"]),
        (["name", date(2024, 1, 1), date(2024, 2, 1)], ["name", "2024-01-01", "2024-02-01"]),
    ):
        plain = write_workbook(desk.path / "plain.xlsx", {"S": [header, *body]})
        assert desk.read(plain).columns == names
    titled = write_workbook(desk.path / "titled.xlsx", {"S": [["Sales"], ["name", 2023, 2024], *body]})
    assert desk.read(titled).columns == ["name", "2023", "2024"]


def test_a_sheet_without_a_header_is_told_so(desk: Desk) -> None:
    source = write_workbook(desk.path / "b.xlsx", {"S": [[at, at * 2.5, "x"] for at in range(5)]})
    with pytest.raises(SourceUnreadable, match=r"its first row holds values \(0, 0, x\), not the columns'"):
        desk.read(source)


def test_a_column_without_a_name_gets_one_and_an_empty_one_is_left_out(desk: Desk) -> None:
    body: list[Sequence[object]] = [[at, at * 2, at * 3, None] for at in range(5)]
    source = write_workbook(desk.path / "b.xlsx", {"S": [["a", None, " c ", None], *body]})
    assert desk.read(source).columns == ["a", "column1", "c"]
    assert desk.notes == ("A column of b.xlsx has no name in the header; it is called 'column1'.",)


def test_a_merged_cell_counts_for_each_row_that_it_spans(desk: Desk) -> None:
    body: list[Sequence[object]] = [[None, f"R{at // 4}" if at % 4 == 0 else None, at, at * 2] for at in range(8)]
    sheet: list[Sequence[object]] = [[], [None, "region", "x", "y"], *body]
    source = write_workbook(desk.path / "b.xlsx", {"Cover": [["Hello"]], "S": sheet}, merged=("B3:B6", "B7:B10"))
    frame = desk.read(source)
    assert frame["region"].to_list() == ["R0"] * 4 + ["R1"] * 4
    assert desk.notes[1:] == ("Merged cells of 'region' count for each row that they span.",)
    beyond = write_workbook(desk.path / "c.xlsx", {"S": sheet}, merged=("B3:B6", "B7:B99", "C3:D3", "Z1:Z4"))
    assert desk.read(beyond).equals(frame)


def test_a_note_or_a_total_below_the_table_is_named_and_kept(desk: Desk) -> None:
    for last, width in ((["* without tax"], 1), (["Total", None, None], 1)):
        source = write_workbook(desk.path / "b.xlsx", {"S": [HEADER, *rows(), [], last]})
        assert desk.read(source).height == 9
        assert desk.notes == (
            f"The last row fills {width} of 3 columns and begins with {last[0]!r}: leave it out with a query "
            "if it is a total or a note.",
        )


def test_numbers_and_dates_stored_as_text_beside_real_ones(desk: Desk) -> None:
    body: list[list[object]] = [
        [str(at / 2) if at % 2 else at / 2, str(at) if at % 3 else at, f"0{at}", "w", "NA"] for at in range(8)
    ]
    header = ["n", "whole", "code", "word", "all_missing"]
    source = write_workbook(desk.path / "b.xlsx", {"S": [header, *body, ["#DIV/0!", "N/A", "07", 1, "NA"]]})
    frame = desk.read(source)
    assert frame["n"].to_list() == [at / 2 for at in range(8)] + [None]
    assert frame["whole"].to_list() == [*range(8), None]
    assert frame["code"].to_list() == [*(f"0{at}" for at in range(8)), "07"]
    assert frame["word"].to_list() == ["w"] * 8 + ["1"]
    assert frame["all_missing"].to_list() == ["NA"] * 9
    assert desk.notes == tuple(
        f"All texts in {name!r} are numbers, or say that there is no value: it is read as numbers."
        for name in ("n", "whole")
    )


def test_a_column_of_dates_with_a_word_for_none(desk: Desk) -> None:
    body: list[list[object]] = [[date(2024, 1, 1 + at), at] for at in range(5)]
    source = write_workbook(desk.path / "b.xlsx", {"S": [["day", "x"], *body, ["N/A", 5]]})
    assert desk.read(source)["day"].to_list() == [*(date(2024, 1, 1 + at) for at in range(5)), None]
    mixed = write_workbook(desk.path / "c.xlsx", {"S": [["day", "x"], *body, ["soon", 5]]})
    assert desk.read(mixed)["day"].to_list()[-1] == "soon"


def test_a_time_of_day_is_text_and_not_a_day_of_1899(desk: Desk) -> None:
    source = write_workbook(desk.path / "b.xlsx", {"S": [["at", "x"], [time(7, 30), 1], [time(18, 5), 2]]})
    assert desk.read(source)["at"].to_list() == ["07:30:00", "18:05:00"]


def test_the_sheet_is_the_first_that_is_seen_and_has_columns(desk: Desk) -> None:
    sheets: dict[str, Sequence[Sequence[object]]] = {
        "old": [["a", "b"], [1, 2]],
        "Notes": [["This file holds"], ["the sales"]],
        "Data": [HEADER, *rows()],
    }
    source = write_workbook(desk.path / "b.xlsx", sheets, hidden="old")
    assert desk.read(source).columns == HEADER
    assert desk.notes == ("Read from the sheet 'Data' of b.xlsx; the others are 'old', 'Notes'.",)
    assert desk.read(source, sheet="old").rows() == [(1, 2)]
    del sheets["Data"]
    assert desk.read(write_workbook(desk.path / "c.xlsx", sheets, hidden="old")).columns == ["This file holds"]


def test_blank_rows_between_do_not_count(desk: Desk) -> None:
    source = write_workbook(desk.path / "b.xlsx", {"S": [HEADER, *rows(4), [], [None], *rows(4)]})
    assert desk.read(source).height == 8

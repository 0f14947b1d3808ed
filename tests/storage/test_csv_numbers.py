"""Numbers and dates of a CSV file that may be read in more than one way: the right one is taken, and said."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tests.storage.desk import Desk

WORDS = "NA, N/A, NaN, nan, NULL, null, None, ?."
COMMA = "Read with a decimal comma: "
POINTS = "Read as whole numbers whose thousands are set apart by points: "


@pytest.mark.parametrize(
    ("content", "rows", "notes"),
    [
        (
            "price;amount\n1.100,00;1.100\n2,5;999\n-1.234.567,25;12.345.678\n",
            [(1100.0, 1100), (2.5, 999), (-1234567.25, 12345678)],
            (f"{COMMA}price.", f"{POINTS}amount."),
        ),
        ("price;lat\n1,5;50.5\n2,25;7.125\n", [(1.5, 50.5), (2.25, 7.125)], (f"{COMMA}price.",)),
        ("price;share\n1,5;0.125\n2,25;0.250\n", [(1.5, 0.125), (2.25, 0.25)], (f"{COMMA}price.",)),
        (
            "a;b\n1,5;1,25\nNA;?\n;2\n",
            [(1.5, 1.25), (None, None), (None, 2.0)],
            (f"{COMMA}a, b.", f"Read as missing in a, b: {WORDS}"),
        ),
        ("a;b\n1,5;1,5\n2;1.5\n", [(1.5, "1,5"), (2.0, "1.5")], (f"{COMMA}a.",)),
        ("a;b\n1,5e3;x\n,5;NA\n", [(1500.0, "x"), (0.5, "NA")], (f"{COMMA}a.",)),
        ("version;a\n1.2.3;1,5\n1.10.0;2\n", [("1.2.3", 1.5), ("1.10.0", 2.0)], (f"{COMMA}a.",)),
        ('a,b\n"1,5",x\n"2,5",y\n', [("1,5", "x"), ("2,5", "y")], ()),
        ("a;b\n1,5;x\n-;y\n", [("1,5", "x"), ("-", "y")], ()),
        ("a|b\n1,5|x\n2|y\n", [(1.5, "x"), (2.0, "y")], (f"{COMMA}a.",)),
    ],
)
def test_a_decimal_comma_is_found_column_by_column(
    desk: Desk, content: str, rows: list[tuple[object, ...]], notes: tuple[str, ...]
) -> None:
    assert desk.read(desk.put("x.csv", content)).rows() == rows
    assert desk.notes == notes


def test_points_that_may_set_thousands_apart_are_said_and_the_way_out_works(desk: Desk) -> None:
    source = desk.put("x.csv", "id;amount\nx;1.100\ny;2.250\n")
    assert desk.read(source)["amount"].to_list() == [1.1, 2.25]
    assert [note.partition(":")[0] for note in desk.notes] == ["Read with a decimal point, so that 1.100 is 1.1"]
    prepare = desk.notes[0].partition('--prepare "')[2].removesuffix('".')
    assert desk.read(source, prepare=prepare)["amount"].to_list() == [1100, 2250]


def test_ids_of_twenty_digits_stay_apart(desk: Desk) -> None:
    ids = [str(98_765_432_109_876_543_210 + number) for number in range(60)]
    rows = desk.read(desk.put("x.csv", "id,b\n" + "".join(f"{each},1\n" for each in ids)))
    assert rows["id"].to_list() == ids
    assert desk.notes == ("Kept as text, since a number cannot hold so many digits exactly: id.",)
    desk.put("1.csv", "id\n1\n2\n")
    desk.put("2.csv", f"id\n{ids[0]}\n")
    assert desk.read(str(desk.path / "[12].csv"))["id"].to_list() == ["1", "2", ids[0]]


@pytest.mark.parametrize(
    ("first", "second", "meant"),
    [
        ("01/02/2026", "03/04/2026", [date(2026, 1, 2), date(2026, 3, 4)]),
        ("01-02-2026", "03-04-2026", [date(2026, 1, 2), date(2026, 3, 4)]),
        (
            "01/02/2026 10:30",
            "03/04/2026 11:45",
            [datetime(2026, 1, 2, 10, 30, tzinfo=UTC), datetime(2026, 3, 4, 11, 45, tzinfo=UTC)],
        ),
        (
            "01/02/2026 10:30:05",
            "03/04/2026 11:45:06",
            [datetime(2026, 1, 2, 10, 30, 5, tzinfo=UTC), datetime(2026, 3, 4, 11, 45, 6, tzinfo=UTC)],
        ),
    ],
)
def test_a_date_whose_day_may_be_the_month_is_said_and_the_way_out_works(
    desk: Desk, first: str, second: str, meant: list[object]
) -> None:
    source = desk.put("x.csv", f"when,b\n{first},x\n{second},y\n")
    assert desk.read(source)["when"].dt.day().to_list() == [1, 3]
    (note,) = [note for note in desk.notes if note.startswith("when was read as day")]
    assert "year, but month" in note
    assert desk.read(source, prepare=note.partition('--prepare "')[2].removesuffix('".'))["when"].to_list() == meant


@pytest.mark.parametrize("second", ["31/01/2026", "01.02.2026"])
def test_a_date_that_fits_one_way_is_not_doubted(desk: Desk, second: str) -> None:
    mark = second[2]
    desk.read(desk.put("x.csv", f"when,b\n01{mark}02{mark}2026,x\n{second},y\n"))
    assert not [note for note in desk.notes if "fits" in note]

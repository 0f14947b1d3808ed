"""A file that may be read in two ways is read as the dataset's rows were, or refused; never otherwise."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from appliance.errors import BadInput
from appliance.house import Appliance
from appliance.intake import Intake
from storage.csv_dialect import LARGE_BYTES
from storage.datasets import IngestInfo, get_readings
from tests.training.state import new_appliance

JANUARY = "day,x\n" + "".join(f"01/{day:02d}/2026,{day}\n" for day in range(1, 32))
GERMAN = "stueck;preis;name\n1.234;1.234,50;a\n2.500;3,5;b\n900;7,25;c\n"


class Desk:
    """Somebody's files, and the dataset ``d``."""

    def __init__(self, house: Appliance, path: Path) -> None:
        self.house = house
        self.path = path

    def add(self, content: str, *, name: str = "x.csv", append: bool = False, prepare: str | None = None) -> None:
        (self.path / name).write_text(content)
        intake = Intake(source=str(self.path / name), append=append, prepare=prepare)
        self.house.datasets.take_in("d", intake, who="test")

    def append(self, content: str) -> None:
        self.add(content, name="more.csv", append=True)

    def refuse(self, content: str, why: str) -> None:
        before = self.house.datasets.show("d").version
        with pytest.raises(BadInput, match=why):
            self.append(content)
        assert self.house.datasets.show("d").version == before

    @property
    def rows(self) -> pl.DataFrame:
        return self.house.datasets.preview("d")

    @property
    def notes(self) -> str:
        return " ".join(self.house.datasets.show("d").warnings)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "in").mkdir()
    return Desk(new_appliance(tmp_path / "state"), tmp_path / "in")


def test_an_append_whose_days_may_be_months_is_read_as_the_rows_before(desk: Desk) -> None:
    desk.add(JANUARY)
    desk.append("day,x\n02/03/2026,1\n02/04/2026,2\n")
    assert desk.rows["day"].to_list()[-2:] == [date(2026, 2, 3), date(2026, 2, 4)]
    assert "Read as month/day/year, as the rows before: day." in desk.notes
    assert "fits every value" not in desk.notes
    desk.append("day,x\n2026-02-05,1\n")
    assert desk.rows["day"].to_list()[-1] == date(2026, 2, 5), "a date that is no riddle may be written otherwise"
    desk.append("day,x\n02-06-2026,1\n")
    assert desk.rows["day"].to_list()[-1] == date(2026, 2, 6)


def test_dates_with_blanks_between_are_held_as_well(desk: Desk) -> None:
    blanks = JANUARY.replace("/", " ")
    desk.add(blanks)
    desk.append("day,x\n02 03 2026,1\n02 04 2026,2\n")
    assert desk.rows["day"].to_list()[-2:] == [date(2026, 2, 3), date(2026, 2, 4)]
    assert "month day year" in desk.notes
    desk.refuse("day,x\n25 02 2026,1\n", "can only be read as day month year")


def test_a_file_that_decides_against_the_rows_before_is_refused(desk: Desk) -> None:
    desk.add(JANUARY)
    desk.refuse(
        "day,x\n25/02/2026,1\n",
        "'day' can only be read as day/month/year, but the rows .* were read as month/day/year; write its dates like",
    )


def test_rows_of_another_kind_of_source_do_not_make_it_forget(desk: Desk) -> None:
    desk.add(JANUARY)
    rows = pl.DataFrame({"day": [date(2026, 2, 1)], "x": [1]})
    desk.house.datasets.add_frame("d", rows, append=True, info=IngestInfo(who="test", source="rows"))
    desk.append("day,x\n02/03/2026,1\n")
    assert desk.rows["day"].to_list()[-1] == date(2026, 2, 3)


def test_a_refresh_reads_a_sliding_export_as_before(desk: Desk) -> None:
    desk.add("day,x\n01/30/2026,1\n01/31/2026,2\n02/01/2026,3\n")
    for last in (3, 4):  # twice: what is kept of the first is not lost by the second
        (desk.path / "x.csv").write_text(f"day,x\n02/01/2026,3\n02/02/2026,4\n02/{last:02d}/2026,5\n")
        desk.house.datasets.refresh("d", who="schedule")
        assert desk.rows["day"].to_list() == [date(2026, 2, 1), date(2026, 2, 2), date(2026, 2, last)]


def test_times_are_held_to_the_rows_before_as_well(desk: Desk) -> None:
    desk.add("at,x\n01/30/2026 10:00,1\n01/31/2026 11:00,2\n")
    desk.append("at,x\n02/01/2026 10:00,3\n02/03/2026 11:00,4\n")
    assert desk.rows["at"].to_list()[-1] == datetime(2026, 2, 3, 11, tzinfo=UTC)
    desk.refuse("at,x\n25/02/2026 10:00,1\n", "'at' can only be read as day/month/year")


def test_of_several_files_the_one_that_decides_wins(desk: Desk) -> None:
    (desk.path / "jan.csv").write_text("day,x\n02/01/2026,1\n02/02/2026,2\n")
    (desk.path / "k.csv").write_text("day,x\n02/25/2026,1\n02/26/2026,2\n")
    intake = Intake(source=str(desk.path))
    desk.house.datasets.take_in("d", intake, who="test")
    assert desk.rows["day"].to_list() == [date(2026, 2, 1), date(2026, 2, 2), date(2026, 2, 25), date(2026, 2, 26)]
    (desk.path / "l.csv").write_text("day,x\n25/02/2026,1\n")
    with pytest.raises(BadInput, match=r"k\.csv.* be read as day/month/year, and those of .*l\.csv not as month"):
        desk.house.datasets.take_in("d", intake, who="test")


def test_points_between_thousands_stay_that(desk: Desk) -> None:
    desk.add(GERMAN)
    desk.append("stueck;preis;name\n1.000;1.250;a\n2.000;3.000;b\n")
    assert desk.rows["stueck"].to_list() == [1234, 2500, 900, 1000, 2000]
    assert desk.rows["preis"].to_list() == [1234.5, 3.5, 7.25, 1250.0, 3000.0]
    desk.append("stueck;preis;name\n7;8;a\n")
    desk.append("stueck,preis,name\n1250,1250.5,a\n")
    assert desk.rows["preis"].to_list()[-1] == 1250.5
    desk.refuse(
        "stueck,preis,name\n1.250,1.5,a\n", "'stueck' has whole numbers whose thousands are set apart by points"
    )
    desk.refuse("stueck;preis;name\n1.5;3;a\n", "'stueck' can only be read as numbers with a decimal point, but")
    desk.refuse("stueck;preis;name\n1;0.125;a\n", "'preis' can only be read as numbers with a decimal point, but")


def test_a_decimal_point_stays_that(desk: Desk) -> None:
    desk.add("lat;name\n50.5;a\n7.125;b\n")
    desk.append("lat;name\n50.512;a\n7.125;b\n")
    assert desk.rows["lat"].to_list() == [50.5, 7.125, 50.512, 7.125]
    desk.refuse("lat;name\n50,5;a\n", "'lat' can only be read as numbers with a decimal comma")


def test_other_columns_with_commas_do_not_turn_points_into_thousands(desk: Desk) -> None:
    desk.add("lat;price\n50.5;1,5\n7.125;2,5\n")
    desk.append("lat;price\n50.512;1,5\n7.125;2,5\n")
    assert desk.rows["lat"].to_list() == [50.5, 7.125, 50.512, 7.125]


def test_numbers_that_may_be_thousands_are_not_taken_for_small_whole_numbers(desk: Desk) -> None:
    desk.add("n;name\n1234;a\n7;b\n")
    desk.refuse(
        "n;name\n1.000;a\n2.000;b\n", "'n' has whole numbers .* set thousands apart; write them like 1250 or 1.25"
    )
    desk.append("n;name\n5.0;a\n")
    assert desk.rows["n"].to_list() == [1234, 7, 5]


def test_a_word_for_nothing_stays_a_word_where_it_was_one(desk: Desk) -> None:
    desk.add("alley,lot,day\nNone,1,2026-01-31\nGrvl,2,2026-01-31\nNone,3,2026-01-31\n")
    desk.append("alley,lot,day\nNone,1,NA\nGrvl,NA,2026-02-01\n,4,2026-02-01\n")
    assert desk.rows["alley"].to_list() == ["None", "Grvl", "None", "None", "Grvl", None]
    assert desk.rows["lot"].to_list() == [1, 2, 3, 1, None, 4]
    assert desk.rows["day"].to_list()[3:] == [None, date(2026, 2, 1), date(2026, 2, 1)]
    assert "Kept as text in alley, as in the rows before: NA" in desk.notes


def test_a_word_for_nothing_stays_nothing_where_it_was_that(desk: Desk) -> None:
    desk.add("alley,lot\nNA,1\nGrvl,NA\n")
    desk.append("alley,lot\nNA,1\nGrvl,2\n")
    assert desk.rows["alley"].to_list() == [None, "Grvl", None, "Grvl"]
    assert "Read as missing in alley, as in the rows before: NA" in desk.notes


def test_what_went_through_other_sql_says_nothing_of_a_file(desk: Desk) -> None:
    swap = "SELECT * REPLACE (strptime(strftime(day, '%d/%m/%Y'), '%m/%d/%Y')::DATE AS day) FROM source"
    desk.add("day,x\n02/03/2026,1\n02/04/2026,1\n", prepare=swap)
    assert desk.rows["day"].to_list() == [date(2026, 2, 3), date(2026, 2, 4)]
    desk.append("day,x\n02/25/2026,1\n")
    assert desk.rows["day"].to_list()[-1] == date(2026, 2, 25)


def test_a_version_says_how_it_was_read(desk: Desk) -> None:
    desk.add("day;a;b;c;n\n01/31/2026;1,5;1.000;None;1\n01/30/2026;2;2.000;x;2\n")
    layout = desk.house.settings.layout
    found = {
        "day": {"day": "%m/%d/%Y"}, "a": {"mark": "comma"}, "b": {"mark": "thousands"}, "c": {"words": False},
    }  # fmt: skip
    assert get_readings(layout, "d") == found
    desk.append("day;a;b;c;n\n2026-02-01;1,5;1.000;y;1\n")
    assert get_readings(layout, "d") == found


def test_beside_a_kept_word_every_other_type_is_read_as_ever(desk: Desk) -> None:
    desk.add("a;b;c;d;e;f\nNone;1;true;01/31/2026 10:00:00;1.5;1,5\nx;2;false;01/30/2026 10:00:00;2.5;2\n")
    desk.append(
        "a;b;c;d;e;f\nNone;NA;true;NA;NA;NA\nx;12;;02/03/2026 10:00:00;2.5e3;1,25\ny;3;false;02/04/2026 10:00:00;1;7\n"
    )
    assert desk.rows.rows()[2:] == [
        ("None", None, True, None, None, None),
        ("x", 12, None, datetime(2026, 2, 3, 10, tzinfo=UTC), 2500.0, 1.25),
        ("y", 3, False, datetime(2026, 2, 4, 10, tzinfo=UTC), 1.0, 7.0),
    ]


def test_a_large_file_is_held_to_the_rows_before_as_well(desk: Desk) -> None:
    """More than is looked at first: a later row decides."""
    lines = "".join(f"{1 + row % 12:02d}/{1 + row % 12:02d}/2026,{'x' * 50}\n" for row in range(80_000))
    assert len(lines) > LARGE_BYTES
    desk.add("day,x\n01/31/2026,a\n")
    desk.append(f"day,x\n{lines}01/25/2026,a\n")
    assert desk.house.datasets.show("d").rows == 80_002
    desk.refuse(f"day,x\n{lines}25/01/2026,a\n", "'day' can only be read as day/month/year")

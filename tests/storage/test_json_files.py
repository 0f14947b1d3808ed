"""JSON files that are one object: the table is a list in it, and is read as that."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.storage.desk import Desk

ROWS = [{"a": number, "b": "x"} for number in range(3)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_an_object_around_a_list_of_objects_is_its_list(desk: Desk, name: str, indent: int | None) -> None:
    content = json.dumps({"count": 3, "data": ROWS, "next": None}, indent=indent).encode()
    rows = desk.read(desk.put(name, gzip.compress(content) if name.endswith("gz") else content))
    assert rows.to_dicts() == ROWS
    assert desk.notes == (
        f"{name} is one object; its list 'data' was read, one row each. Left out beside it: count, next.",
    )


def test_an_object_around_a_list_is_read_with_a_query_and_its_folder_as_well(desk: Desk) -> None:
    (desk.path / "year=2026").mkdir()
    source = desk.put("year=2026/x.json", json.dumps({"data": ROWS}))
    assert desk.read(source, "SELECT sum(a) AS s, any_value(year) AS y FROM source").rows() == [(3, 2026)]
    assert desk.notes == (
        "x.json is one object; its list 'data' was read, one row each.",
        "Taken from the names of folders: year.",
    )


def test_an_object_around_two_lists_says_how_to_pick_one(desk: Desk) -> None:
    source = desk.put("x.json", json.dumps({"people": ROWS, "places": [{"c": 1}]}))
    assert desk.read(source).height == 1
    assert desk.notes[0].startswith(
        "x.json is one object, so it is one row; its lists people, places may be the tables"
    )
    query = desk.notes[0].partition('--query "')[2].removesuffix('".')
    assert desk.read(source, query).to_dicts() == ROWS


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"a": 1}', 1),
        ('{"a": 1, "l": [{"x": 1}, {"x": 2}]}\n{"a": 2, "l": [{"x": 3}]}\n', 2),
        ('{"a": 1,\n "l": [{"x": 1}]}\n{"a": 2,\n "l": [{"x": 3}]}\n', 2),
        ('{"l": [1, 2]}', 1),
        ('[{"l": [{"x": 1}, {"x": 2}]}]', 1),
    ],
)
def test_objects_with_lists_in_them_stay_rows(desk: Desk, content: str, rows: int) -> None:
    assert desk.read(desk.put("x.json", content)).height == rows
    assert desk.notes == ()


def test_an_object_larger_than_duckdb_takes_by_itself_is_read(desk: Desk) -> None:
    large = [{"a": number, "b": "x" * 1_000} for number in range(20_000)]
    rows = desk.read(desk.put("x.json", json.dumps({"data": large})))
    assert (rows.height, rows["a"].sum()) == (20_000, sum(range(20_000)))


MIXED = [{"a": 1}, {"a": "3"}, {"a": None}, {"a": 'q "z"'}, {"a": {"b": [1, "2"]}}]


@pytest.mark.parametrize("around", [False, True])
def test_texts_among_numbers_come_without_their_quotation_marks(desk: Desk, around: bool) -> None:
    content = json.dumps({"data": MIXED}) if around else "\n".join(map(json.dumps, MIXED))
    rows = desk.read(desk.put("x.json", content))
    assert rows["a"].to_list() == ["1", "3", None, 'q "z"', '{"b":[1,"2"]}']

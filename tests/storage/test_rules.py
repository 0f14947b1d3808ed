"""Rules of a dataset: what is rejected and why, what is refused, and that no row is dropped silently."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from storage.columns import Dtype
from storage.conform import ValueMisfit
from storage.datasets import (
    REJECTED,
    IngestInfo,
    Snapshot,
    dataset_path,
    get_snapshot,
    list_datasets,
    read_rejected,
    read_snapshot,
)
from storage.errors import RulesBroken, RulesWrong, SnapshotNotFound, SourceUnreadable, StateUnwritable
from storage.ingest import ingest
from storage.layout import Layout
from storage.rules import ColumnRules, Rules, find_rules, parse_rules, put_rules
from tests.storage.conftest import SmallDisk

INFO = IngestInfo(who="ann", source="/data/people.csv")


def add(layout: Layout, rows: pl.DataFrame, *, append: bool = False, name: str = "d") -> Snapshot:
    return ingest(layout, name, rows, append=append, info=INFO)


def rejected(layout: Layout, version: int | None = None) -> list[tuple[int, str]]:
    frame = read_rejected(layout, "d", version)
    return frame.select("_row", "_reason").rows() if frame.width else []


def check(layout: Layout, given: pl.Series, **rules: object) -> tuple[list[object], list[tuple[int, str]]]:
    """The values of a column ``x`` that were taken, and the rows that were not."""
    put_rules(layout, "d", Rules(columns={"x": ColumnRules(**rules)}, max_rejected_share=0.9))  # type: ignore[arg-type]
    add(layout, pl.DataFrame({"x": given, "n": range(len(given))}))
    return read_snapshot(layout, "d")["x"].to_list(), rejected(layout)


@pytest.mark.parametrize(
    ("values", "rules", "taken", "reasons"),
    [
        ([1, 200, None, 0], {"min": 1, "max": 120}, [1, None], [(2, "x: 200 is above 120"), (4, "x: 0 is below 1")]),
        ([0.5, 1.5], {"max": 1}, [0.5], [(2, "x: 1.5 is above 1")]),
        (["a", "b", None], {"values": ("a", "c")}, ["a", None], [(2, "x: b is none of a, c")]),
        ([1, 2, 3], {"values": (1, 3)}, [1, 3], [(2, "x: 2 is none of 1, 3")]),
        ([True, False], {"values": (True,)}, [True], [(2, "x: false is none of True")]),
        (["00100", "1", None], {"regex": "[0-9]{5}"}, ["00100", None], [(2, "x: 1 does not match [0-9]{5}")]),
        (["ab", "abc"], {"regex": "a|ab"}, ["ab"], [(2, "x: abc does not match a|ab")]),
        ([1, None], {"required": True}, [1], [(2, "x: missing")]),
        ([7, 8, 7, None, None, 7], {"unique": True}, [7, 8, None, None],
         [(3, "x: 7 stands in an earlier row"), (6, "x: 7 stands in an earlier row")]),
        (["1", " 2 ", "NA", "x", "1.5", None], {"type": Dtype.INT}, [1, 2, None, None],
         [(4, "x: x is no whole number"), (5, "x: 1.5 is no whole number")]),
        (["1.5", "?", "1,5"], {"type": Dtype.FLOAT}, [1.5, None], [(3, "x: 1,5 is no number")]),
        ([1.0, 2.5], {"type": Dtype.INT}, [1], [(2, "x: 2.5 is no whole number")]),
        (["true", "FALSE", "yes", "0"], {"type": Dtype.BOOL}, [True, False, False],
         [(3, "x: yes is neither true nor false")]),
        ([1, 0, 2], {"type": Dtype.BOOL}, [True, False], [(3, "x: 2 is neither true nor false")]),
        ([1, None], {"type": Dtype.STRING}, ["1", None], []),
        (["2026-01-31", "31.1.2026"], {"type": Dtype.DATE}, [date(2026, 1, 31)], [(2, "x: 31.1.2026 is no date")]),
        (["2026-01-31 10:00", "2026-01-31T10:00:00Z", "soon"], {"type": Dtype.DATETIME},
         [datetime(2026, 1, 31, 10, tzinfo=UTC)] * 2, [(3, "x: soon is no date and time")]),
        ([date(2026, 1, 1), date(2027, 1, 1)], {"max": "2026-12-31"}, [date(2026, 1, 1)],
         [(2, "x: 2027-01-01 is above 2026-12-31")]),
        ([datetime(2026, 1, 1, tzinfo=UTC)], {"min": "2026-01-01"}, [datetime(2026, 1, 1, tzinfo=UTC)], []),
        (["5", "x", "900"], {"type": Dtype.INT, "max": 10}, [5],
         [(2, "x: x is no whole number"), (3, "x: 900 is above 10")]),
        (["7", "07", "x"], {"type": Dtype.INT, "unique": True}, [7],
         [(2, "x: 7 stands in an earlier row"), (3, "x: x is no whole number")]),
    ],
)  # fmt: skip
def test_a_row_that_breaks_a_rule_is_kept_apart_with_its_reason(
    layout: Layout, values: list[object], rules: dict[str, object], taken: list[object], reasons: list[tuple[int, str]]
) -> None:
    assert check(layout, pl.Series(values), **rules) == (taken, reasons)
    assert get_snapshot(layout, "d").rejected == len(reasons)


def test_several_reasons_of_a_row_stand_together_and_values_are_as_in_the_source(layout: Layout) -> None:
    rules = {"age": ColumnRules(type=Dtype.INT, max=120), "od{d": ColumnRules(values=("f", "m"))}
    put_rules(layout, "d", Rules(columns=rules, max_rejected_share=0.7))
    add(layout, pl.DataFrame({"age": ["200", " 7 ", "x"], "od{d": ["z", "f", "m"]}))
    found = read_rejected(layout, "d")
    assert found.columns == ["_row", "_reason", "age", "od{d"]
    assert found.rows() == [
        (1, "age: 200 is above 120; od{d: z is none of f, m", "200", "z"),
        (3, "age: x is no whole number", "x", "m"),
    ]
    assert read_snapshot(layout, "d").rows() == [(7, "f")]
    assert read_rejected(layout, "d", rows=1).height == 1


def test_a_source_may_have_columns_that_are_called_as_those_of_the_rejected_rows(layout: Layout) -> None:
    put_rules(layout, "d", Rules(columns={"_reason": ColumnRules(values=("a",))}))
    rows = pl.DataFrame({"_row": [7, 8], "_reason": ["a", "b"], "_row_": [0, 0], "_ROW": [1, 2]}, strict=False)
    with pytest.raises(SourceUnreadable, match=r"'_row' and '_ROW' differ by case"):
        add(layout, rows)
    add(layout, rows.drop("_ROW"))
    assert read_snapshot(layout, "d").rows() == [(7, "a", 0)]
    found = read_rejected(layout, "d")
    assert found.columns == ["_row", "_reason", "_row__", "_reason_", "_row_"]
    assert found.row(0) == (2, "_reason: b is none of a", 8, "b", 0)
    add(layout, rows.drop("_row", "_row_"), append=False)
    assert read_rejected(layout, "d").columns == ["_row", "_reason", "_reason_", "_ROW_"]


def test_an_append_is_held_against_the_rows_that_are_there(layout: Layout) -> None:
    put_rules(layout, "d", Rules(columns={"id": ColumnRules(unique=True)}))
    add(layout, pl.DataFrame({"id": [1, 2]}))
    assert rejected(layout) == []
    found = add(layout, pl.DataFrame({"id": [3, 2, 4, 4]}), append=True)
    assert (found.rows, found.rejected) == (4, 2)
    assert rejected(layout) == [(2, "id: 2 stands in an earlier row"), (4, "id: 4 stands in an earlier row")]
    assert rejected(layout, 1) == []
    add(layout, pl.DataFrame({"id": [3, 2]}))  # a replacement asks the new rows alone
    assert rejected(layout) == []


def test_a_value_is_repeated_where_an_earlier_row_is_taken_with_it(layout: Layout) -> None:
    found = check(layout, pl.Series(["1.4", "x", "1", "2.0", "2", "1"]), type=Dtype.INT, unique=True)
    assert found == (
        [1, 2],
        [(1, "x: 1.4 is no whole number"), (2, "x: x is no whole number"), (4, "x: 2.0 is no whole number"),
         (6, "x: 1 stands in an earlier row")],
    )  # fmt: skip
    rules = {"a": ColumnRules(unique=True), "b": ColumnRules(unique=True), "v": ColumnRules(max=5)}
    put_rules(layout, "d", Rules(columns=rules, max_rejected_share=0.9))
    rows = [(1, 1, 9), (1, 2, 0), (2, 2, 0), (2, 3, 0), (3, 1, 0), (2, 2, 9), (None, 2, 0), (None, None, 0)]
    add(layout, pl.DataFrame(rows, schema=["a", "b", "v"], orient="row"))
    assert read_snapshot(layout, "d").rows() == [(1, 2, 0), (2, 3, 0), (3, 1, 0), (None, None, 0)]
    assert rejected(layout) == [
        (1, "v: 9 is above 5"), (3, "b: 2 stands in an earlier row"),
        (6, "a: 2 stands in an earlier row; b: 2 stands in an earlier row; v: 9 is above 5"),
        (7, "b: 2 stands in an earlier row"),
    ]  # fmt: skip
    add(layout, pl.DataFrame([(4, 3, 0), (4, 4, 0)], schema=["a", "b", "v"], orient="row"), append=True)
    assert rejected(layout) == [(1, "b: 3 stands in an earlier row")]


def test_a_unique_column_may_have_any_name_and_type(layout: Layout) -> None:
    frame = pl.DataFrame(
        {
            "file_row_number": [1, 1, 2], "v0": ["a", "b", "a"], "r": [0.5, 0.5, None], "kept": [True, False, True],
            "k": [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 1)],
            "d0": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), None],
        }
    )  # fmt: skip
    for name, row in (("file_row_number", 2), ("v0", 3), ("r", 2), ("kept", 3), ("k", 3), ("d0", 2)):
        put_rules(layout, "d", Rules(columns={name: ColumnRules(unique=True)}, max_rejected_share=0.9))
        add(layout, frame)
        assert [number for number, _ in rejected(layout)] == [row]
        with pytest.raises(RulesBroken, match=r"[23] of [23] rows break the rules"):
            add(layout, frame.drop_nulls(), append=True)


def test_a_unique_column_may_come_with_an_evolution(layout: Layout) -> None:
    add(layout, pl.DataFrame({"x": [1]}))
    put_rules(layout, "d", Rules(columns={"id": ColumnRules(unique=True), "x": ColumnRules(unique=True)}))
    ingest(layout, "d", pl.DataFrame({"x": [2, 3], "id": [7, 7]}), append=True, info=INFO, evolve=True)
    assert read_snapshot(layout, "d").rows() == [(1, None), (2, 7)]
    assert rejected(layout) == [(2, "id: 7 stands in an earlier row")]


def test_an_append_whose_column_is_empty_has_the_datasets_type(layout: Layout) -> None:
    rules = {"amount": ColumnRules(min=0), "day": ColumnRules(max="2030-01-01"), "n": ColumnRules(type=Dtype.INT)}
    put_rules(layout, "d", Rules(columns=rules))
    add(layout, pl.DataFrame({"amount": [5.5, 6.0], "day": [date(2026, 1, 1)] * 2, "n": [1, 2]}))
    empty = pl.Series([None, None], dtype=pl.String)
    add(layout, pl.DataFrame({"amount": empty, "day": empty, "n": ["3", "x"]}), append=True)
    assert read_snapshot(layout, "d").rows()[2:] == [(None, None, 3)]
    assert rejected(layout) == [(2, "n: x is no whole number")]
    with pytest.raises(ValueMisfit, match=r"column 'amount' is read as number, but has the text '-' in row 2"):
        add(layout, pl.DataFrame({"amount": ["7", "-"], "day": empty, "n": empty}), append=True)


def test_every_row_is_taken_or_rejected_across_many_batches(layout: Layout) -> None:
    values = np.random.default_rng(1).integers(0, 30_000, 200_000)
    put_rules(
        layout, "d", Rules(columns={"id": ColumnRules(unique=True), "v": ColumnRules(max=0.5)}, max_rejected_share=1)
    )
    frame = pl.DataFrame({"id": values, "v": np.random.default_rng(2).random(200_000)})
    batches = frame.to_arrow().to_batches(max_chunksize=7_001)
    ingest(layout, "d", pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches)), append=False, info=INFO)
    expected = frame.with_row_index("i").filter(pl.col("v") <= 0.5).filter(pl.col("id").is_first_distinct())
    assert read_snapshot(layout, "d").equals(expected.drop("i"))
    found = read_rejected(layout, "d")
    assert found.height + expected.height == 200_000
    assert set(found["_row"] - 1).isdisjoint(expected["i"])


@pytest.mark.parametrize(
    ("rules", "rows", "message"),
    [
        (Rules(columns={"x": ColumnRules(max=0)}, max_rejected_share=0.5), {"x": [0, 1, 1]},
         r"2 of 3 rows break the rules, which allow 50%; nothing was changed\. The first: x: 1 is above 0"),
        (Rules(columns={"x": ColumnRules(max=0)}, max_rejected_share=1), {"x": [1]}, r"1 of 1 rows break the rules"),
        (Rules(columns={"x": ColumnRules(max_null_share=0.2)}), {"x": [1, None, None]},
         r"66\.7% of 'x' are missing, the rules allow 20\.0%; nothing was changed"),
        (Rules(columns={"y": ColumnRules(required=True)}), {"x": [1]}, r"name the column 'y', which the rows lack"),
        (Rules(columns={"x": ColumnRules(min=1)}), {"x": ["a"]}, r"'x' is read as text: min and max go with numbers"),
        (Rules(columns={"x": ColumnRules(min="2026-01-01")}), {"x": [1]}, r"its min and max must be numbers"),
        (Rules(columns={"x": ColumnRules(regex="a")}), {"x": [1]}, r"is read as whole number: regex goes with text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_an_ingest_that_the_rules_refuse_changes_nothing(
    layout: Layout, rules: Rules, rows: dict[str, list[object]], message: str, *, first: bool
) -> None:
    if not first:
        add(layout, pl.DataFrame(rows))
    put_rules(layout, "d", rules)
    before = set(layout.datasets.rglob("*"))
    with pytest.raises(RulesBroken, match=message):
        add(layout, pl.DataFrame(rows))
    assert {path for path in layout.datasets.rglob("*") if path.name != REJECTED} == before
    assert list(layout.tmp.glob("scratch-*")) == []


TOML = """
max_rejected_share = 0.1
[columns.age]
type = "int64"
min = 0
max = 120
max_null_share = 0.05
[columns."Air temperature [K]"]
required = true
[columns.day]
min = 2026-01-01
max = "2026-12-31"
"""


def test_rules_are_declared_before_the_first_row_and_come_back(layout: Layout) -> None:
    rules = parse_rules(TOML)
    assert (rules.max_rejected_share, rules.columns["age"].type, rules.columns["day"].min) == (
        0.1, Dtype.INT, "2026-01-01",
    )  # fmt: skip
    assert find_rules(layout, "d") is None
    put_rules(layout, "d", rules)
    assert list_datasets(layout) == []
    found = find_rules(layout, "d")
    assert found == rules
    assert found.sha256 == parse_rules(TOML.replace("min = 2026-01-01", 'min = "2026-01-01"')).sha256
    assert found.sha256 != parse_rules(TOML.replace("max = 120", "max = 121")).sha256
    put_rules(layout, "d", None)
    put_rules(layout, "d", None)
    assert find_rules(layout, "d") is None


def test_a_snapshot_says_which_rules_it_was_held_against(layout: Layout) -> None:
    assert add(layout, pl.DataFrame({"x": [1]})).rules is None
    rules = Rules(columns={"x": ColumnRules(min=0)})
    put_rules(layout, "d", rules)
    assert add(layout, pl.DataFrame({"x": [1]})).rules == rules.sha256


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[columns.x", r"the rules cannot be read: "),
        ("", r"the rules name no column"),
        ("[columns.x]\nminimum = 1", r"unknown field `minimum`.*takes type, required, min, max"),
        ('[columns.x]\ntype = "integer"', r"Invalid enum value 'integer'"),
        ("[columns.x]", r"says nothing; give it a rule"),
        ("[columns.x]\nmin = 2\nmax = 1", r"x: min 2 is above max 1; no value could be right"),
        ("[columns.x]\nmin = 2\nmax = 2026-01-01", r"x: min and max must both be numbers or both be dates"),
        ('[columns.x]\nmin = "soon"', r"x: 'soon' is no limit; give a number, or a date like 2026-01-31"),
        ('[columns.x]\nregex = "("', r"x: the regex '\(' cannot be used"),
        ("[columns.x]\nmax_null_share = 2", r"x: max_null_share is 2.*; a share lies in 0 to 1"),
        ("max_rejected_share = -1\n[columns.x]\nmin = 1", r"max_rejected_share is -1"),
    ],
)
def test_rules_that_are_wrong_are_refused(toml: str, message: str) -> None:
    with pytest.raises(RulesWrong, match=message):
        parse_rules(toml)


def test_damaged_rules_stop_an_ingest_instead_of_being_ignored(layout: Layout) -> None:
    put_rules(layout, "d", Rules(columns={"x": ColumnRules(min=0)}))
    path = dataset_path(layout, "d") / "_rules.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RulesWrong, match=r"_rules\.json cannot be read: .*; declare them again"):
        add(layout, pl.DataFrame({"x": [1]}))
    with pytest.raises(RulesWrong, match=r"'No Name' cannot name a dataset"):
        put_rules(layout, "No Name", None)


def test_rejected_rows_that_somebody_removed_are_missed(layout: Layout) -> None:
    check(layout, pl.Series([1, 2]), max=1)
    next((dataset_path(layout, "d") / REJECTED).glob("*.parquet")).unlink()
    with pytest.raises(SnapshotNotFound, match=r"cannot be read: .*; restore it from a backup"):
        read_rejected(layout, "d")


KILLED = """
import sys, time
from pathlib import Path
import pyarrow as pa
from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout

def batches():
    for i in range(30):
        yield pa.record_batch({"x": list(range(1000)), "n": list(range(1000))})
    print("half way", flush=True)
    time.sleep(60)

stream = pa.RecordBatchReader.from_batches(pa.schema({"x": pa.int64(), "n": pa.int64()}), batches())
ingest(Layout(root=Path(sys.argv[1])), "d", stream, append=True, info=IngestInfo(who="x", source="x"))
"""


def test_a_killed_ingest_leaves_no_rejected_rows_behind(layout: Layout) -> None:
    check(layout, pl.Series([1, 900]), max=500)
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(layout.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "half way\n"
        child.send_signal(signal.SIGKILL)
    kept = dataset_path(layout, "d") / REJECTED
    assert len(list(kept.glob("*"))) == 2
    assert rejected(layout) == [(2, "x: 900 is above 500")]
    put_rules(layout, "d", None)
    add(layout, pl.DataFrame({"x": [3], "n": [3]}), append=True)
    assert len(list(kept.glob("*"))) == 1
    assert rejected(layout, 1) == [(2, "x: 900 is above 500")]


def test_a_full_disk_is_said(small_disk: SmallDisk, tmp_path: Path) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    put_rules(layout, "d", Rules(columns={"x": ColumnRules(unique=True)}))
    noise = pl.DataFrame({"x": np.random.default_rng(1).random(500_000)})
    with pytest.raises(StateUnwritable, match=r"No space left on device"):
        add(layout, noise)
    assert list_datasets(layout) == []
    small_disk.fill()
    with pytest.raises(StateUnwritable, match=r"cannot write .*_rules\.json"):
        put_rules(layout, "e", Rules(columns={"x": ColumnRules(regex="x" * 5000)}))

"""Two tables without a model: one broken column is reported and never hides the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from appliance.errors import NotFound
from appliance.monitoring import compare
from appliance.monitoring.compare import compare_files, compare_frames
from appliance.monitoring.drift import column_drift
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.reference import fit_column
from appliance.monitoring.spans import State
from appliance.schema import Column, Kind
from storage.errors import SourceUnreadable

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.parquet"


def one(reference: pl.Series, current: pl.Series) -> ColumnDrift:
    (column,) = compare_frames(reference.alias("x").to_frame(), current.alias("x").to_frame()).columns
    return column


def test_the_json_is_the_designs() -> None:
    report = compare_files(str(PENGUINS), str(PENGUINS)).to_json()
    again = json.loads(json.dumps(report, allow_nan=False))
    assert again["rows"] == {"reference": 344, "current": 344}
    assert again["dataset"]["state"] == "ok"
    assert again["dataset"]["drifted_share"] == 0.0
    keys = {"name", "kind", "psi", "noise_floor", "js", "wasserstein", "ks", "null_share", "unseen_share", "moved_bin",
            "state"}  # fmt: skip
    for column in again["columns"]:
        assert keys <= set(column)
        assert (column["psi"], column["ks"] in (0.0, None)) == (0.0, True)
    sex = next(column for column in again["columns"] if column["name"] == "sex")
    assert sex["null_share"]["reference"] == pytest.approx(11 / 344)


def test_csv_and_parquet_of_one_table_are_one(tmp_path: Path) -> None:
    frame = pl.read_parquet(PENGUINS)
    frame.write_csv(tmp_path / "penguins.csv")
    report = compare_files(str(PENGUINS), str(tmp_path / "penguins.csv"))
    assert report.dataset.state is State.OK
    assert all(column.psi == 0.0 and not column.faults for column in report.columns)


def test_distances_are_scipys_on_the_raw_values() -> None:
    frame = pl.read_parquet(PENGUINS)
    before, after = frame[:200], frame[200:]
    column = next(c for c in compare_frames(before, after).columns if c.name == "body_mass_g")
    left, right = before["body_mass_g"].drop_nulls().to_numpy(), after["body_mass_g"].drop_nulls().to_numpy()
    assert column.ks == pytest.approx(stats.ks_2samp(left, right).statistic, abs=1e-12)
    assert column.wasserstein == pytest.approx(stats.wasserstein_distance(left, right) / left.std(), rel=1e-9)


def test_the_target_is_judged_apart() -> None:
    frame = pl.read_parquet(PENGUINS)
    moved = frame.with_columns(pl.lit("Gentoo").alias("species"))
    report = compare_frames(frame, moved, target="species")
    assert report.target is not None
    assert (report.target.state, report.dataset.state) == (State.ALARM, State.OK)
    assert "species" not in {column.name for column in report.columns}
    assert report.target.to_json()["name"] == "species"
    assert compare_frames(frame, moved).to_json()["target"] is None
    assert compare_frames(frame, moved).dataset.drifted == ("species",)
    with pytest.raises(NotFound, match="neither table has the target 'kind'; their columns are species"):
        compare_frames(frame, moved, target="kind")


def test_texts_are_counted_in_pieces_as_they_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.read_parquet(PENGUINS)
    whole = compare_frames(frame[:150], frame[150:])
    monkeypatch.setattr(compare, "PIECE_ROWS", 7)
    assert compare_frames(frame[:150], frame[150:]) == whole


def test_levels_are_counted_as_their_codes_would_be() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        names = [None, *(f"L{i}" for i in range(400))]
        weights = rng.dirichlet(np.full(len(names), 0.05))
        before, after = (pl.Series("x", rng.choice(np.array(names, object), rows, p=weights)) for rows in (900, 700))
        after = after.str.replace("L1$", "new")
        levels = tuple(before.drop_nulls().unique().sort().to_list())
        codes = [
            side.replace_strict(levels, range(len(levels)), default=-1.0, return_dtype=pl.Float64)
            .set(side.is_null(), float("nan"))
            .to_numpy()
            for side in (before, after)
        ]
        fitted = fit_column(Column(name="x", kind=Kind.CATEGORY, levels=levels), codes[0])
        counts = np.bincount(fitted.bins.index(codes[1]), minlength=fitted.bins.size)
        assert one(before, after) == column_drift(fitted, counts)


def test_a_column_of_ids_takes_little_more_memory_than_its_texts(tmp_path: Path) -> None:
    for side, first in (("reference", 0), ("current", 900_000)):
        ids = pl.DataFrame({"id": pl.int_range(first, first + 1_000_000, eager=True)})
        ids.select(pl.format("customer-{}", pl.col("id") + 10**11)).write_parquet(tmp_path / f"{side}.parquet")
    code = """
import sys
from appliance.monitoring.compare import compare_files
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
before = peak()
(column,) = compare_files(*sys.argv[1:]).columns
print(column.state.value, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / f"{side}.parquet") for side in ("reference", "current"))],
        capture_output=True, text=True, check=True, env={**os.environ, "POLARS_MAX_THREADS": "2"},
    )  # fmt: skip
    state, grown_mb = done.stdout.split()
    assert state == "ok"
    assert int(grown_mb) < 350, "22 MB of text a side: 272 to 303; as many Python strings and codes took 440"


def test_many_short_columns_are_read_in_a_few_reads() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"c{at}": rng.normal(size=100) for at in range(2_000)})
    reads: list[int] = []

    def read(rows: pl.DataFrame) -> pl.DataFrame:
        reads.append(rows.width)
        return rows

    counted = frame.lazy().map_batches(read, projection_pushdown=False)
    report = compare_frames(counted, frame)
    assert len(report.columns) == 2_000
    assert len(reads) < 20, "each read costs time for every column there is"


def test_broken_columns_are_reported_one_by_one() -> None:
    n = 400
    rng = np.random.default_rng(0)
    good = pl.Series("good", rng.normal(size=n))
    reference = pl.DataFrame(
        {
            "good": good,
            "gone": rng.normal(size=n),
            "empties": rng.normal(size=n),
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "constant": np.ones(n),
            "infinite": rng.normal(size=n),
            "mixed": rng.integers(0, 9, n),
            "list": [[1, 2]] * n,
            "when": [date(2026, 1, 1) + timedelta(days=i) for i in range(n)],
            "flag": rng.random(n) < 0.5,
        }
    )
    mixed = [str(value) for value in rng.integers(0, 9, n - 100)] + ["n/a"] * 100
    current = pl.DataFrame(
        {
            "good": rng.normal(size=n),
            "empties": pl.Series([None] * n, dtype=pl.Null),
            "empty": pl.Series([None] * n, dtype=pl.Null),
            "constant": np.ones(n),
            "infinite": [float("inf")] * 40 + rng.normal(size=n - 40).tolist(),
            "mixed": mixed,
            "list": [[1, 2]] * n,
            "when": [f"{date(2026, 1, 1) + timedelta(days=i)}" for i in range(n)],
            "flag": [str(i % 2) for i in range(n)],
            "added": rng.normal(size=n),
        }
    )
    found = {column.name: column for column in compare_frames(reference, current).columns}
    assert set(found) == {*reference.columns, "added"}
    assert found["good"].state is State.OK
    assert found["gone"].state is State.ALARM
    assert found["gone"].faults == ("the current table lacks this column",)
    assert found["empties"].state is State.ALARM
    assert found["empties"].moved_bin == "missing"
    assert (found["empty"].state, found["empty"].psi) == (State.OK, 0.0)
    assert (found["constant"].state, found["constant"].wasserstein) == (State.OK, None)
    assert (found["infinite"].state, found["infinite"].rows.current) == (State.OK, n - 40)
    assert found["infinite"].faults == ("the current table has 40 infinite values, which are not counted",)
    assert found["mixed"].null_share.current == 0.25
    assert "the current table has 100 values of another type, which count as missing" in found["mixed"].faults
    assert found["list"].state is State.NOT_ENOUGH_DATA
    assert (found["when"].state, found["when"].kind) == (State.OK, "datetime")
    assert found["added"].faults == ("the reference lacks this column",)
    json.dumps([column.to_json() for column in found.values()], allow_nan=False)


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_few_rows_are_never_no_drift(rows: int) -> None:
    found = one(pl.Series(np.arange(1000.0)), pl.Series(np.full(rows, 5000.0)))
    assert found.state is State.NOT_ENOUGH_DATA


@pytest.mark.parametrize(
    ("reference", "current", "kind"),
    [
        (pl.Series([1, 2] * 50), pl.Series([1.0, 2.0] * 50), "number"),
        (pl.Series([True, False] * 50), pl.Series([1, 0] * 50), "number"),
        (pl.Series(["1", "2"] * 50), pl.Series([1, 2] * 50), "category"),
        (pl.Series([1, 2] * 50), pl.Series(["1", "2"] * 50), "number"),
        (pl.Series([None] * 100), pl.Series([None] * 100), "category"),
        (pl.Series([1.0, float("nan")] * 50), pl.Series([1.0, None] * 50), "number"),
        (pl.Series(["a", "b"] * 50, dtype=pl.Categorical), pl.Series(["a", "b"] * 50), "category"),
    ],
)
def test_types_that_say_the_same_compare_equal(reference: pl.Series, current: pl.Series, kind: str) -> None:
    found = one(reference, current)
    assert (found.state, found.psi, found.kind) == (State.OK, 0.0, kind)


def test_a_file_that_is_no_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable):
        compare_files(str(tmp_path / "absent.csv"), str(PENGUINS))
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(SourceUnreadable):
        compare_files(str(tmp_path / "empty.csv"), str(PENGUINS))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SourceUnreadable):
        compare_files(str(PENGUINS), str(tmp_path / "torn.parquet"))

"""How often the rule cries wolf on undrifted real data, and how surely it sees what happened.

``python -m tests.monitoring.test_false_alarms`` prints the table of a longer run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.monitoring.compare import compare_frames
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.spans import State

ROOT = Path(__file__).parents[2]
DRIFTED = (State.WARN, State.ALARM)
SIZES = (100, 300, 1000, 5000)


def table(name: str) -> pl.DataFrame:
    """Real tables; adult and bike have columns with hundreds and thousands of categories or values."""
    if name == "bike":
        return pl.read_parquet(ROOT / "appliance/demo/data/bike_sharing_hourly.parquet")
    frame = pl.read_parquet(ROOT / f"tests/data/{name}.parquet")
    return frame.with_columns(pl.col("fnlwgt").cast(pl.String).alias("as_text")) if name == "adult" else frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Column tests of undrifted splits."""

    done: int
    alarms: tuple[str, ...]

    @property
    def rate(self) -> float:
        return len(self.alarms) / self.done


def undrifted(name: str, rng: np.random.Generator, *, reference: int | None, rows: int) -> Iterator[ColumnDrift]:
    """One random split: ``reference`` rows (None: all the rest) against ``rows`` others."""
    frame = table(name)
    order = rng.permutation(frame.height)
    rest = order[rows:] if reference is None else order[rows : rows + reference]
    yield from compare_frames(frame[rest], frame[order[:rows]]).columns


def run(rows: int, *, splits: int, reference: int | None, seed: int = 11) -> Rehearsal:
    rng = np.random.default_rng(seed)
    done, alarms = 0, []
    for name in ("adult", "penguins", "bike"):
        if table(name).height < rows + (reference or rows):
            continue
        for _ in range(splits):
            for column in undrifted(name, rng, reference=reference, rows=rows):
                done += 1
                if column.state in DRIFTED:
                    alarms.append(f"{name}.{column.name} psi {column.psi:.3f}")
    return Rehearsal(done=done, alarms=tuple(alarms))


def test_at_most_one_undrifted_column_in_a_thousand_drifts() -> None:
    """The rate that is promised, over all sizes; one size alone has too few tests to tell it from two in a thousand."""
    found = [run(rows, splits=20, reference=None) for rows in SIZES]
    done, alarms = sum(one.done for one in found), [alarm for one in found for alarm in one.alarms]
    assert min(one.done for one in found) >= 600
    assert done >= 1_500
    assert len(alarms) / done <= 0.001, alarms


def test_small_references_do_not_raise_alarms_either() -> None:
    found = run(100, splits=40, reference=100)
    assert found.rate <= 0.002, found.alarms


def caught(values: pl.Series, current: pl.Series) -> bool:
    (column,) = compare_frames(values.to_frame(), current.alias(values.name).to_frame()).columns
    return column.state in DRIFTED


def power_of_a_new_category(rows: int, tries: int, *, drawn: bool = False) -> float:
    """A category that makes up exactly 5 % of the rows, or each of them with a probability of 5 %."""
    rng = np.random.default_rng(21)
    values = table("adult")["workclass"]
    hits = 0
    for _ in range(tries):
        new = int(rng.binomial(rows, 0.05)) if drawn else rows // 20
        current = values.gather(rng.integers(0, len(values), rows - new)).to_list() + ["brand new"] * new
        hits += caught(values, pl.Series(current))
    return hits / tries


def power_of_nulls(rows: int, tries: int, *, drawn: bool = False) -> float:
    """Exactly 10 % of the values gone, or each of them with that probability, in a column that had none."""
    rng = np.random.default_rng(22)
    values = table("adult")["age"]
    hits = 0
    for _ in range(tries):
        gone = int(rng.binomial(rows, 0.1)) if drawn else rows // 10
        current = values.gather(rng.integers(0, len(values), rows - gone)).to_list() + [None] * gone
        hits += caught(values, pl.Series(current, dtype=pl.Int64))
    return hits / tries


def power_of_a_shift(rows: int, tries: int) -> float:
    """Half a standard deviation."""
    rng = np.random.default_rng(23)
    values = table("adult")["age"].cast(pl.Float64)
    shift = 0.5 * float(values.to_numpy().std())
    hits = sum(
        caught(values, values.gather(rng.integers(0, len(values), rows)) + shift) for _ in range(tries)
    )  # fmt: skip
    return hits / tries


@pytest.mark.parametrize(("rows", "drawn", "least"), [(100, False, 0.99), (100, True, 0.7), (300, True, 0.99)])
def test_a_new_category_of_five_percent_is_caught(rows: int, drawn: bool, least: float) -> None:
    """Of a hundred rows that are drawn, one in eight sets has two or fewer of it: too few to tell from chance."""
    assert power_of_a_new_category(rows, 100, drawn=drawn) >= least


@pytest.mark.parametrize(("rows", "drawn"), [(100, False), (100, True), (300, True)])
def test_ten_percent_of_nulls_are_caught(rows: int, drawn: bool) -> None:
    assert power_of_nulls(rows, 100, drawn=drawn) >= 0.99


@pytest.mark.parametrize(("rows", "least"), [(100, 0.5), (300, 0.99)])
def test_half_a_standard_deviation_is_caught(rows: int, least: float) -> None:
    assert power_of_a_shift(rows, 100) >= least


def main() -> None:
    write = sys.stdout.write
    write("undrifted splits of adult, penguins, bike: false alarms of column tests\n")
    for reference in (None, 100, 300, 1000, 5000):
        for rows in SIZES:
            found = run(rows, splits=60, reference=reference)
            side = "the rest" if reference is None else f"{reference}"
            write(f"  reference {side:>8}, current {rows:>5}: {len(found.alarms):>3} of {found.done}")
            write(f" = {found.rate:.3%}  {'; '.join(found.alarms[:3])}\n")
    for rows in (100, 300):
        for drawn in (False, True):
            how = "each row with that probability" if drawn else f"exactly so many of {rows} rows"
            new, gone = power_of_a_new_category(rows, 200, drawn=drawn), power_of_nulls(rows, 200, drawn=drawn)
            write(f"caught at n={rows}, {how}: new 5 % category {new:.1%}, 10 % nulls {gone:.1%}\n")
    for rows in (100, 300, 1000):
        write(f"caught at n={rows}: shift of adult's age by 0.5 sd {power_of_a_shift(rows, 200):.1%}\n")


if __name__ == "__main__":
    main()

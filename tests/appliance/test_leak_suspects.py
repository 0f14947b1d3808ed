"""Columns that know the answer are found, those that only help are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.checks import leak_findings
from appliance.datasets import Datasets
from appliance.findings import Code
from appliance.leak_suspects import Suspect, find_suspects

DATA = Path(__file__).parents[1] / "data"
ROWS = 5_000


def suspects(target: str, **columns: object) -> dict[str, str]:
    found = find_suspects(pl.LazyFrame(columns), target, ROWS)
    return {suspect.column: f"{suspect.measure} {'strong' if suspect.is_strong else 'ask'}" for suspect in found}


def test_a_number_that_follows_from_a_column_is_found() -> None:
    noise = np.random.default_rng(1)
    y = noise.normal(size=ROWS)
    found = suspects(
        "y", y=y, copy=np.exp(y), near=y + 0.3 * noise.normal(size=ROWS), helps=y + noise.normal(size=ROWS),
        chance=noise.normal(size=ROWS), gaps=pl.Series(y * 2).set(pl.Series(noise.random(ROWS) < 0.02), None),
    )  # fmt: skip
    assert found == {"copy": "R2 strong", "near": "R2 ask", "gaps": "R2 strong"}


@pytest.mark.parametrize("kind", [bool, int, str])
def test_a_class_that_follows_from_a_column_is_found(kind: type) -> None:
    noise = np.random.default_rng(1)
    truth = noise.random(ROWS) < 0.1
    y = [kind(value) for value in truth]
    found = suspects(
        "y", y=y, code=np.where(truth, "cancelled", noise.choice(["open", "paid"], ROWS)),
        amount=np.where(truth, 5.0, 0.0) + noise.normal(size=ROWS), late=truth ^ (noise.random(ROWS) < 0.02),
        chance=noise.random(ROWS), id=[f"user {i}" for i in range(ROWS)], row=np.arange(ROWS),
    )  # fmt: skip
    assert found == {"code": "AUC strong", "amount": "AUC strong", "late": "AUC strong"}


def test_of_several_classes_the_least_known_one_counts() -> None:
    noise = np.random.default_rng(1)
    y = noise.choice(["a", "b", "c"], ROWS)
    assert suspects("y", y=y, all=np.char.add(y, "!"), one=np.where(y == "a", "a", "other")) == {"all": "AUC strong"}


def test_few_rows_say_nothing_and_neither_does_a_constant() -> None:
    few = {"y": [0, 1] * 10, "x": [0, 1] * 10}
    assert find_suspects(pl.LazyFrame(few), "y", 20) == ()
    assert suspects("y", y=[1] * ROWS, x=np.arange(ROWS)) == {}


def test_real_tables_keep_their_columns(datasets: Datasets) -> None:
    for name, target in (("penguins.csv", "species"), ("adult.parquet", "income")):
        added = datasets.add(name.partition(".")[0], str(DATA / name), target=target, who="ann")
        assert not {Code.LEAK, Code.LEAK_SUSPECT} & {finding.code for finding in added.warnings}


def test_a_leak_is_told_with_the_ingest(datasets: Datasets, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    y = noise.normal(size=4000)
    pl.DataFrame({"x": noise.normal(size=4000), "bill": y * 3 + 1, "y": y}).write_parquet(tmp_path / "rows.parquet")
    added = datasets.add("d", str(tmp_path / "rows.parquet"), target="y", who="ann")
    (finding,) = [one for one in added.warnings if one.code is Code.LEAK]
    assert finding.column == "bill"
    assert "is it really known when you predict? If not, exclude it" in finding.message
    assert datasets.findings("d") == added.warnings


def test_the_sentence_names_the_measure() -> None:
    (finding,) = leak_findings([Suspect(column="x", measure="AUC", score=0.9)], "y")
    assert (finding.code, finding.message) == (
        Code.LEAK_SUSPECT,
        "'x' alone predicts 'y' with AUC 0.90: is it really known when you predict? If not, exclude it",
    )

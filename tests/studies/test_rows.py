"""The sample of a dataset: whole rows, the same every night, in memory that does not grow with the dataset."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from appliance.datasets import Datasets
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.settings import Settings
from appliance.studies import rows as rows_module
from appliance.studies.rows import sample_dataset
from tests.monitoring.traffic import make_settings, publish, regression_schema, training_frame

LEVELS = ("fall", "spring", "summer", "winter")
MEASURE = """
import sys
from pathlib import Path
from appliance.monitoring.known import KnownVersions
from appliance.settings import Settings
from appliance.studies.rows import MOST_ROWS, sample_dataset

def peak_kb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

settings = Settings(state=Path(sys.argv[1]))
known = KnownVersions(settings.layout).find("rent", 1)
assert len(sample_dataset(settings.layout, known, "small", 1)) == MOST_ROWS
before = peak_kb()
assert len(sample_dataset(settings.layout, known, "large", 1)) == MOST_ROWS
print(peak_kb() - before)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = make_settings(tmp_path)
    publish(made, regression_schema(), training_frame())
    return made


def ingest(settings: Settings, name: str, frame: pl.DataFrame) -> None:
    path = settings.layout.tmp / f"{name}.parquet"
    frame.write_parquet(path)
    Datasets(settings).add(name, str(path), who="ada")
    path.unlink()


def rent(settings: Settings) -> KnownVersion:
    known = KnownVersions(settings.layout).find("rent", 1)
    assert known is not None
    return known


def numbered(rows: int) -> pl.DataFrame:
    """Each value tells its row."""
    at = np.arange(rows)
    return pl.DataFrame(
        {
            "temp": at.astype(np.float64), "season": np.array(LEVELS)[at % 4], "other": at,
            "holiday": [None if one % 3 == 0 else one % 3 == 1 for one in at.tolist()],
        }
    )  # fmt: skip


def test_rows_stay_whole_and_come_from_everywhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(settings, "d", numbered(20_000))
    monkeypatch.setattr(rows_module, "GROUP_ROWS", 1_024)
    monkeypatch.setattr(rows_module, "READ_CELLS", 2_048)
    found = sample_dataset(settings.layout, rent(settings), "d", 1)
    assert found.shape == (rows_module.MOST_ROWS, 3)
    rows = found[:, 0].astype(int)
    assert len(set(rows.tolist())) == rows_module.MOST_ROWS
    assert rows.min() < 100
    assert rows.max() > 19_900
    assert abs(rows[:2_500].mean() - rows[2_500:].mean()) < 1_000, "either half is of all rows"
    np.testing.assert_array_equal(found[:, 1], rows % 4)
    np.testing.assert_array_equal(found[:, 2], np.where(rows % 3 == 0, np.nan, rows % 3 == 1))
    np.testing.assert_array_equal(found, sample_dataset(settings.layout, rent(settings), "d", 1))


def test_a_small_dataset_is_taken_whole(settings: Settings) -> None:
    ingest(settings, "d", numbered(50))
    found = sample_dataset(settings.layout, rent(settings), "d", 1)
    assert sorted(found[:, 0].tolist()) == list(range(50))


def test_memory_does_not_grow_with_the_dataset(settings: Settings) -> None:
    rng = np.random.default_rng(0)
    rows = 4_000_000
    ingest(settings, "small", numbered(20_000))
    ingest(settings, "large", pl.DataFrame({
        "temp": rng.normal(size=rows), "season": rng.integers(10**11, 10**12, rows).astype(str),
        "holiday": rng.random(rows) < 0.5,
    }))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(settings.state)], check=True, capture_output=True, text=True,
        env={**os.environ, "POLARS_MAX_THREADS": "2"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert int(done.stdout) < 60_000, "kB; the columns themselves are 100 MB"

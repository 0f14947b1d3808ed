from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from storage.columns import Dtype
from storage.datasets import IngestInfo, dataset_path
from storage.errors import DatasetNotFound
from storage.ingest import ingest
from storage.layout import Layout
from storage.profile import ColumnProfile, Histogram, profile

INFO = IngestInfo(who="x", source="x")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def one_column(layout: Layout, values: pl.Series) -> ColumnProfile:
    ingest(layout, "d", pl.DataFrame({'od"d [K]': values}), append=False, info=INFO)
    return profile(layout, "d").columns[0]


def test_numbers(layout: Layout) -> None:
    found = one_column(layout, pl.Series([0.0, 1.0, 1.0, 10.0, None, float("inf"), float("nan")]))
    assert found == ColumnProfile(
        name='od"d [K]', dtype=Dtype.FLOAT, rows=7, missing=2, distinct=4, minimum=0.0, maximum=10.0, mean=3.0,
        top=(("1.0", 2), ("0.0", 1), ("10.0", 1), ("inf", 1)), infinite=1,
        histogram=Histogram(
            edges=tuple(i / 2 for i in range(21)), counts=(1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
        ),
    )  # fmt: skip


def test_text_counts_what_reads_as_a_number(layout: Layout) -> None:
    found = one_column(layout, pl.Series(["1", "2,5", " 3 ", "x", None, "x"]))
    assert (found.missing, found.distinct, found.numeric_text, found.minimum) == (1, 4, 3, " 3 ")
    assert (found.top[0], found.histogram, found.mean) == (("x", 2), None, None)


def test_times_and_dates_are_text_with_a_histogram_in_seconds(layout: Layout) -> None:
    days = one_column(layout, pl.Series([date(1970, 1, 1), date(1970, 1, 21)]))
    assert (days.minimum, days.maximum, days.mean) == ("1970-01-01", "1970-01-21", None)
    assert days.histogram is not None
    assert (days.histogram.edges[0], days.histogram.edges[-1]) == (0.0, 20 * 86_400.0)
    times = one_column(layout, pl.Series([EPOCH]))
    assert times.minimum == "1970-01-01 00:00:00+00"
    assert times.histogram == Histogram(edges=(0.0, 0.0), counts=(1,))


def test_booleans_have_a_mean_and_no_histogram(layout: Layout) -> None:
    found = one_column(layout, pl.Series([True, False, True, True]))
    assert (found.mean, found.minimum, found.histogram, found.top) == (0.75, "false", None, (("true", 3), ("false", 1)))


def test_a_column_without_values_does_not_stop_the_rest(layout: Layout) -> None:
    ingest(
        layout,
        "d",
        pl.DataFrame({"none": [None, None], "inf": [float("inf")] * 2, "a": [1, 2]}),
        append=False,
        info=INFO,
    )
    none, infinite, numbers = profile(layout, "d").columns
    assert (none.missing, none.distinct, none.minimum, none.top) == (2, 0, None, ())
    assert (infinite.minimum, infinite.mean, infinite.histogram, infinite.infinite) == (None, None, None, 2)
    assert numbers.mean == 1.5


@pytest.mark.parametrize(
    "values",
    [[-1e308, 1e308], [5e-324, 1e-323], [2.0**62, 2.0**62 + 2**12], [-1.0, 1e-300], [0.1 + 0.2, 0.3]],
)
def test_a_histogram_counts_every_finite_value_once(layout: Layout, values: list[float]) -> None:
    found = one_column(layout, pl.Series(values)).histogram
    assert found is not None
    assert sum(found.counts) == 2
    assert len(found.edges) == len(found.counts) + 1
    assert all(np.isfinite(found.edges))
    assert list(found.edges) == sorted(found.edges)


def test_duplicate_rows_are_counted_beyond_the_first(layout: Layout) -> None:
    rows = pl.DataFrame({"a": [1, 1, 1, None, None, 2], "b": ["x", "x", "y", None, None, "x"]})
    ingest(layout, "d", rows, append=False, info=INFO)
    assert profile(layout, "d").duplicate_rows == 2


def test_a_profile_is_kept_a_torn_one_is_made_again_and_versions_are_apart(layout: Layout) -> None:
    ingest(layout, "d", pl.DataFrame({"a": [1, 2]}), append=False, info=INFO)
    first = profile(layout, "d")
    kept = dataset_path(layout, "d") / "_profiles" / "1.json"
    content = kept.read_bytes()
    kept.write_bytes(content[:20])
    assert profile(layout, "d") == first
    assert kept.read_bytes() == content
    ingest(layout, "d", pl.DataFrame({"a": [3]}), append=True, info=INFO)
    assert [profile(layout, "d", version).rows for version in (1, 2, None)] == [2, 3, 3]
    with pytest.raises(DatasetNotFound):
        profile(layout, "none")

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
        name='od"d [K]', dtype=Dtype.FLOAT, rows=7, missing=2, distinct=4, distinct_exact=True, minimum=0.0,
        maximum=10.0, mean=3.0, std=float(np.std([0, 1, 1, 10])), quantiles=found.quantiles,
        top=(("1.0", 2), ("0.0", 1), ("10.0", 1), ("inf", 1)), infinite=1,
        histogram=Histogram(
            edges=tuple(i / 2 for i in range(21)), counts=(1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
        ),
    )  # fmt: skip
    assert found.quantiles == pytest.approx((0.15, 0.75, 1.0, 3.25, 8.65))


def test_text_counts_what_reads_as_a_number(layout: Layout) -> None:
    found = one_column(layout, pl.Series(["1", "2,5", " 3 ", "x", None, "x"]))
    assert (found.missing, found.distinct, found.numeric_text, found.minimum) == (1, 4, 3, " 3 ")
    assert (found.top[0], found.histogram, found.mean) == (("x", 2), None, None)


def test_text_counts_numbers_whose_thousands_are_set_apart(layout: Layout) -> None:
    values = ["1.234,56", "7.654.321,00", "1,234.56", "0,5", "1.2.3", "10.20.30,1"]
    assert one_column(layout, pl.Series(values)).numeric_text == 4


def test_text_counts_the_ways_in_which_dates_are_written(layout: Layout) -> None:
    found = one_column(
        layout, pl.Series(["2026-01-31", "31/01/2026", "1/2/26", "31.1.2026", "3-Feb-2026 10:00", "soon"])
    )
    assert found.date_forms == (("2026-01-31", 1), ("31/01/2026", 2), ("31.01.2026", 1), ("31-Jan-2026", 1))
    assert one_column(layout, pl.Series(["a", "b"])).date_forms == ()


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
    assert (none.quantiles, none.std, infinite.quantiles, infinite.std) == (None, None, None, None)
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


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of more than a thousand rows is a large one."""
    monkeypatch.setattr("storage.profile_queries.SAMPLE_ROWS", 1000)
    monkeypatch.setattr("storage.profile_queries.COUNTED_DISTINCT", 500)


def large(rows: int = 60_000) -> pl.DataFrame:
    noise = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "x": np.where(noise.random(rows) < 0.2, -999.0, noise.normal(size=rows)),
            "code": [f"k{value}" for value in noise.integers(0, 40, rows)],
            "name": [f"{value}" for value in noise.integers(0, 9_000, rows)],
            "flag": noise.random(rows) < 0.3,
        }
    ).with_columns(at=pl.lit(EPOCH) + pl.duration(seconds=pl.col("id")))


def test_a_large_table_is_counted_whole_where_that_is_told(layout: Layout, small_sample: None) -> None:
    rows = large()
    ingest(layout, "d", rows, append=False, info=INFO)
    found = profile(layout, "d")
    columns = {column.name: column for column in found.columns}
    assert found.duplicate_rows == 0
    assert (columns["id"].distinct, columns["id"].distinct_exact) == (60_000, True)
    assert (columns["id"].minimum, columns["id"].maximum, columns["id"].mean) == (0, 59_999, 29_999.5)
    code = columns["code"]
    counts = rows["code"].value_counts(sort=True)
    assert (code.distinct, code.distinct_exact) == (40, True)
    assert [count for _, count in code.top] == counts["count"].head(10).to_list()
    x = columns["x"]
    assert x.top[0] == ("-999.0", rows["x"].eq(-999).sum()), "a value that stands out is counted in all rows"
    assert x.histogram is not None
    assert sum(x.histogram.counts) == 60_000
    assert x.minimum == -999.0
    assert x.mean == pytest.approx(rows["x"].mean())
    assert columns["flag"].mean == pytest.approx(rows["flag"].mean())
    assert columns["at"].minimum == "1970-01-01 00:00:00+00"


def test_estimates_of_a_large_table_are_near_and_marked(layout: Layout, small_sample: None) -> None:
    rows = large()
    ingest(layout, "d", rows, append=False, info=INFO)
    columns = {column.name: column for column in profile(layout, "d").columns}
    name = columns["name"]
    assert not name.distinct_exact
    assert name.distinct == pytest.approx(rows["name"].n_unique(), rel=0.15)
    assert name.numeric_text == pytest.approx(60_000, rel=0.02)
    quantiles = columns["id"].quantiles
    assert quantiles is not None
    assert [value / 60_000 for value in quantiles] == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95], abs=0.01)


def test_what_is_said_of_texts_is_counted_also_where_values_are_many(layout: Layout, small_sample: None) -> None:
    rows = pl.DataFrame(
        {
            "n": [*map(str, range(60_000)), "oops"],
            "d": [*(f"2026-01-31 {second}" for second in range(60_000)), "soon"],
            "p": [*(f"word {number}" for number in range(60_000)), " word "],
            "q": [*(f" word {number}" for number in range(60_000)), "word"],
        }
    )
    ingest(layout, "d", rows, append=False, info=INFO)
    columns = {column.name: column for column in profile(layout, "d").columns}
    assert columns["n"].numeric_text == 60_000
    assert columns["n"].odd_text == ("oops", 60_001)
    assert columns["d"].odd_text == ("soon", 60_001)
    assert columns["p"].odd_text is None
    assert columns["d"].date_forms == (("2026-01-31", 60_000),)
    assert columns["q"].padded == 60_000


@pytest.mark.parametrize("rows", [900, 2_000])
@pytest.mark.usefixtures("small_sample")
def test_columns_may_be_called_as_the_queries_call_theirs(layout: Layout, rows: int) -> None:
    names = ["row", "place", "v", "n", "h", "t", "g", "s0", "p0", "p1", "estimate", "low", "source", "present"]
    values = [str(number) if number != 7 else "odd" for number in range(rows)]
    frame = pl.DataFrame(dict.fromkeys(names, values) | {"finite": range(rows), "top": [0.5] * rows})
    ingest(layout, "d", frame, append=False, info=INFO)
    columns = profile(layout, "d").columns
    assert [(one.name, one.odd_text) for one in columns[:-2]] == [(name, ("odd", 8)) for name in names]
    assert {(one.distinct, one.numeric_text, one.missing) for one in columns[:-2]} == {(rows, rows - 1, 0)}
    assert (columns[-2].maximum, columns[-1].mean) == (rows - 1, 0.5)


def test_repeated_rows_of_a_large_table_are_counted(layout: Layout, small_sample: None) -> None:
    rows = large(5_000).drop("id", "at").with_columns(n=pl.int_range(5_000) // 2)
    ingest(layout, "d", pl.concat([rows, rows.head(7)]), append=False, info=INFO)
    assert profile(layout, "d").duplicate_rows == pl.concat([rows, rows.head(7)]).is_duplicated().sum() // 2


def test_a_column_with_the_name_of_duckdbs_own_is_profiled(layout: Layout, small_sample: None) -> None:
    ingest(layout, "d", large(5_000).rename({"id": "file_row_number"}), append=False, info=INFO)
    assert profile(layout, "d").columns[0].distinct == 5_000


def test_a_wide_table_has_a_shorter_sample(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.profile_queries.SAMPLE_CELLS", 1)
    rows = pl.DataFrame({f"c{i}": np.random.default_rng(i).normal(size=3_000) for i in range(120)})
    ingest(layout, "d", rows, append=False, info=INFO)
    found = profile(layout, "d")
    assert [column.name for column in found.columns] == rows.columns
    assert all(sum(column.histogram.counts) == 3_000 for column in found.columns if column.histogram)

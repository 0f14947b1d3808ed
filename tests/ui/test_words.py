"""Figures and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.columns import Dtype
from ui.pages.add_data import suggest_name
from ui.pages.quality_tab import bucket_for
from ui.words import DTYPES, NONE, ago, limit, metric, micros, number, plain, seconds, share, size, when

NOW = datetime(2026, 11, 21, 22, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE), (float("nan"), NONE), (0, "0"), (17389, "17,389"), (60.1, "60.10"), (0.83119, "0.8312"),
        (1234.567, "1,234.6"), (0.0000123, "1.23e-05"), (-12.3, "-12.30"), (180.0, "180"), (189.46, "189.5"),
    ],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_type_is_called_on_the_dashboard_as_in_the_reasons_of_rejected_rows() -> None:
    assert {dtype: dtype.words for dtype in Dtype} == DTYPES


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, NONE), (0.0, "0 %"), (1.0, "100 %"), (0.1234, "12.3 %"), (0.0001, "< 0.1 %")],
)
def test_share(value: float | None, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE), (854.2, "854 µs"), (999.4, "999 µs"), (999.7, "1 ms"), (2150.0, "2.15 ms"), (999_400.0, "999 ms"),
        (999_700.0, "1 s"), (3_200_000.0, "3.2 s"), (999_700_000.0, "1,000 s"), (1_234_567_890.0, "1,235 s"),
    ],
)  # fmt: skip
def test_micros(value: float | None, text: str) -> None:
    assert micros(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 B"), (50.0, "50 B"), (512e6, "512 MB"), (999.4e6, "999 MB"), (999.9e6, "1 GB"),
        (23.5e9, "23.5 GB"), (999.4e9, "999 GB"),
        (999.9e9, "1 TB"), (999.9e12, "1,000 TB"),
    ],
)  # fmt: skip
def test_size(value: float, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(256 << 20, "256 MiB"), (4 << 30, "4 GiB"), (1536 << 20, "1,536 MiB"), (64_000_000, "64 MB"), (0, "0 B")],
)
def test_a_limit_is_told_as_its_setting_is_written(value: int, text: str) -> None:
    assert limit(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, NONE), (0.42, "0.4 s"), (12.4, "12 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_seconds(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [(5, "just now"), (300, "5 min ago"), (3 * 3600, "3 h ago"), (12 * 86400, "12 d ago")],
)
def test_ago(age: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=age), now=NOW) == text


def test_moments_say_that_they_are_utc() -> None:
    assert when(datetime(2026, 3, 1, 7, 5, tzinfo=UTC)) == "1 Mar 2026, 07:05 UTC"
    assert when(None) == NONE
    assert ago(None, now=NOW) == "never"


def test_names() -> None:
    assert metric("log_loss") == "Log loss"
    assert metric("something_new") == "something new"
    assert plain("`temp` moved") == "temp moved"
    assert suggest_name("Bike Sharing (2011).final.csv") == "bike-sharing-2011"
    assert suggest_name("Fernwärme, Größe (ål).csv") == "fernwaerme-groesse-aal"
    assert suggest_name("Crème Brûlée.csv") == "creme-brulee"
    assert suggest_name("東京.csv") == "dataset"


@pytest.mark.parametrize(
    ("window_s", "bucket_s"),
    [(3600, 3600), (30 * 86400, 86400), (365 * 86400, 7 * 86400), (10 * 365 * 86400, 28 * 86400)],
)
def test_a_series_stays_readable(window_s: int, bucket_s: int) -> None:
    assert bucket_for(window_s) == bucket_s

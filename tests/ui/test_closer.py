"""Which window a point of a chart opens: the arithmetic is in the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ui.pages.closer import closer, span_text

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY_S = 86_400


@pytest.mark.parametrize(
    ("bucket_s", "window_s", "least_s", "opened"),
    [
        # A bucket that is long enough is the window itself.
        (DAY_S, 90 * DAY_S, 3_600, "/m?t=1&window=1d&until=2030-01-02T12%3A00%3A00Z"),
        (3_600, DAY_S, 600, "/m?t=1&window=1h&until=2030-01-01T13%3A00%3A00Z"),
        # A minute is opened with what is around it: 12:00:30 and five minutes.
        (60, 3_600, 600, "/m?t=1&window=10m&until=2030-01-01T12%3A05%3A30Z"),
        # There is nothing closer than what is shown.
        (60, 600, 600, ""),
        (DAY_S, DAY_S, 3_600, ""),
    ],
)
def test_a_point_opens_its_bucket(bucket_s: int, window_s: int, least_s: int, opened: str) -> None:
    assert closer("/m?t=1", AT, bucket_s, window_s=window_s, least_s=least_s) == opened


@pytest.mark.parametrize(("span_s", "text"), [(600, "10m"), (5_400, "90m"), (7_200, "2h"), (172_800, "2d"), (30, "1m")])
def test_a_span_is_written_as_addresses_take_it(span_s: int, text: str) -> None:
    assert span_text(span_s) == text

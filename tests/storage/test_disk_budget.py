"""Which share of a disk forbids what; a large disk is no shortage; it eases later than it came."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.disk_budget import AMPLE_BYTES, DiskUse, Pressure, capture_reserve, judge_disk, read_disk

GB = 1 << 30


@pytest.mark.parametrize(
    ("size_gb", "free_gb", "pressure"),
    [
        (100, 19.9, Pressure.ALERT),
        (100, 20.0, Pressure.NONE),
        (100, 10.1, Pressure.ALERT),
        (100, 10.0, Pressure.NO_CAPTURE),
        (100, 5.1, Pressure.NO_CAPTURE),
        (100, 5.0, Pressure.NO_JOBS),
        (100, 0.0, Pressure.NO_JOBS),
        (10, 2.1, Pressure.NONE),
        (10_000, 30.0, Pressure.NONE),
        (10_000, 19.0, Pressure.NO_JOBS),
        (0, 0, Pressure.NO_JOBS),
    ],
)
def test_shares_forbid(size_gb: float, free_gb: float, pressure: Pressure) -> None:
    assert judge_disk(DiskUse(size=int(size_gb * GB), free=int(free_gb * GB))) is pressure


def test_it_eases_two_points_below(tmp_path: Path) -> None:
    def at(free: float, before: Pressure) -> Pressure:
        return judge_disk(DiskUse(size=10 * GB, free=int(free * GB)), before=before)

    assert at(1.1, Pressure.NO_CAPTURE) is Pressure.NO_CAPTURE
    assert at(1.1, Pressure.NONE) is Pressure.ALERT
    assert at(1.3, Pressure.NO_CAPTURE) is Pressure.ALERT
    assert at(2.1, Pressure.ALERT) is Pressure.ALERT
    assert at(2.3, Pressure.ALERT) is Pressure.NONE


def test_the_reserve_is_a_tenth_or_what_was_configured(tmp_path: Path) -> None:
    size = read_disk(tmp_path).size
    assert capture_reserve(tmp_path, 0) == pytest.approx(min(size * 0.1, AMPLE_BYTES), abs=1)
    assert capture_reserve(tmp_path, 10 * size) == 10 * size
    assert capture_reserve(tmp_path / "nowhere", 5) == 5

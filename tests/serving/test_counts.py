from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.serving.counts import BOUNDS_S, Counts, wipe


def test_workers_add_up_and_a_restarted_worker_goes_on(tmp_path: Path) -> None:
    first, second = Counts(tmp_path, 0), Counts(tmp_path, 1)
    first.series("m", 1).observe(0.0001, rows=2, unseen=1)
    second.series("m", 1).observe(3600.0, rows=3, unseen=0)
    second.series("m", 1).count_status(422)
    restarted = Counts(tmp_path, 1)
    restarted.series("m", 1).count_status(422)
    tally = first.totals()["m", 1]
    assert dict(tally.statuses)[200] == 2
    assert dict(tally.statuses)[422] == 2
    assert (tally.rows, tally.unseen) == (5, 1)
    assert tally.seconds == 3600.0001
    assert tally.buckets == [1.0, *[0.0] * (len(BOUNDS_S) - 1), 1.0]


def test_what_a_worker_has_in_hand_is_forgotten_when_it_is_started_anew(tmp_path: Path) -> None:
    first, second = Counts(tmp_path, 0), Counts(tmp_path, 1)
    for counts, requests in ((first, 3), (second, 4)):
        counts.series("", 0).note_room(8)
        counts.series("", 0).note_in_flight(requests)
        counts.series("m", 1).queue(2)
    second.series("m", 1).queue(-1)
    totals = first.totals()
    assert (totals["", 0].in_flight, totals["", 0].room, totals["m", 1].queued) == (7, 16, 3)
    restarted = Counts(tmp_path, 1)
    restarted.series("", 0)
    restarted.series("m", 1)
    totals = first.totals()
    assert (totals["", 0].in_flight, totals["", 0].room, totals["m", 1].queued) == (3, 8, 2)


def test_a_bound_belongs_to_its_bucket(tmp_path: Path) -> None:
    counts = Counts(tmp_path, 0)
    for bound in BOUNDS_S:
        counts.series("m", 1).observe(bound, rows=1, unseen=0)
    assert counts.totals()["m", 1].buckets == [*[1.0] * len(BOUNDS_S), 0.0]


@pytest.mark.parametrize("name", ["", "a b", "../x", "ünï@7", "a-b@1"])
def test_any_model_name_finds_its_way_into_a_file_and_back(tmp_path: Path, name: str) -> None:
    counts = Counts(tmp_path / "counts", 0)
    counts.series(name, 3).count_status(200)
    assert list(counts.totals()) == [(name, 3)]
    assert [path.parent for path in tmp_path.rglob("*.counts")] == [tmp_path / "counts"]


def test_an_unforeseen_status_counts_as_internal(tmp_path: Path) -> None:
    counts = Counts(tmp_path, 0)
    counts.series("m", 1).count_status(418)
    assert dict(counts.totals()["m", 1].statuses)[500] == 1


def test_without_a_file_this_worker_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    counts = Counts(tmp_path / "file" / "below", 0)
    counts.series("m", 1).count_status(200)
    assert counts.totals() == {}


def test_wiping_forgets(tmp_path: Path) -> None:
    Counts(tmp_path / "c", 0).series("m", 1).count_status(200)
    wipe(tmp_path / "c")
    wipe(tmp_path / "c")
    assert Counts(tmp_path / "c", os.getpid()).totals() == {}

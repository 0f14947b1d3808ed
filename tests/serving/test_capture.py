from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from appliance.events import StatsEvent
from appliance.serving.capture import Capture, is_full
from storage.errors import EventLogUnwritable
from storage.eventlog import free_bytes, list_segments
from storage.layout import Layout
from storage.migrations import migrate
from tests.storage.conftest import SmallDisk


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(root=tmp_path)
    found.create()
    return found


def read(layout: Layout, kind: str) -> list[bytes]:
    return [line for path in list_segments(layout.events / kind) for line in path.read_bytes().splitlines()]


def test_refusals_are_written_as_deltas(layout: Layout) -> None:
    capture = Capture(layout)
    capture.flush()
    capture.count_refused("m", 1, 422)
    capture.count_refused("m", 1, 422)
    capture.count_refused("", 0, 404)
    capture.flush()
    capture.flush()
    capture.count_refused("m", 1, 422)
    capture.close()
    events = [msgspec.json.decode(line, type=StatsEvent) for line in read(layout, "stats")]
    assert [sorted(event.errors) for event in events] == [[("", 0, 404, 1), ("m", 1, 422, 2)], [("m", 1, 422, 1)]]
    assert len({event.id for event in events}) == 2


def test_labels_of_a_request_are_lines_of_their_own(layout: Layout) -> None:
    capture = Capture(layout)
    capture.append_labels([b'{"id":"a"}', b'{"id":"b"}'])
    assert read(layout, "labels") == [b'{"id":"a"}', b'{"id":"b"}']


def test_a_log_that_cannot_be_written_is_a_problem_until_it_can(layout: Layout) -> None:
    layout.events.rmdir()
    layout.events.write_bytes(b"")
    capture = Capture(layout)
    assert not capture.append_prediction(b'{"id":"a"}')
    capture.count_lost("m", 1, 3)
    with pytest.raises(EventLogUnwritable):
        capture.append_labels([b'{"id":"a.0"}'])
    assert "cannot open a segment" in capture.problem
    capture.count_refused("m", 1, 503)
    capture.flush()
    assert capture.problem
    layout.events.unlink()
    capture.flush()
    assert capture.problem == ""
    assert capture.append_prediction(b'{"id":"b"}')
    assert read(layout, "predictions") == [b'{"id":"b"}']
    (event,) = [msgspec.json.decode(line, type=StatsEvent) for line in read(layout, "stats")]
    assert (event.errors, event.lost) == ([("m", 1, 503, 1)], [("m", 1, 3)])


def test_a_small_disk_keeps_its_reserve_and_the_capture_goes_on_once_there_is_room(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    capture = Capture(layout, reserve_bytes=1 << 20)
    record = b'{"id":"%s"}' % (b"x" * 4000)
    written = 0
    while capture.append_prediction(record):
        written += 1
        capture.flush()
    assert (1 << 20) - 3 * 8192 <= free_bytes(layout.root) <= 1 << 20
    assert "are kept for the state database (setting capture_reserve_mb)" in capture.problem
    with pytest.raises(EventLogUnwritable, match="capture_reserve_mb") as refused:
        capture.append_labels([b'{"id":"a.0"}'])
    assert is_full(refused.value)
    migrate(layout.database)  # which is what the reserve is for
    layout.database.unlink()
    capture.flush()
    assert not capture.append_prediction(record)
    list_segments(layout.events / "predictions")[0].unlink()
    capture.close()
    assert capture.problem == ""
    again = Capture(layout, reserve_bytes=1 << 20)
    assert again.append_prediction(record)
    again.close()
    assert written > 100


@pytest.mark.parametrize(
    ("cause", "full"),
    [
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.EDQUOT, ""), True),
        (OSError(errno.EROFS, ""), False),
        (None, True),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(cause: OSError | None, full: bool) -> None:
    error = EventLogUnwritable("x")
    error.__cause__ = cause
    assert is_full(error) is full

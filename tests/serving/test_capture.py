from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from appliance.events import StatsEvent
from appliance.serving.capture import Capture, is_full
from storage.errors import EventLogUnwritable
from storage.eventlog import list_segments
from storage.layout import Layout


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
    with pytest.raises(EventLogUnwritable):
        capture.append_prediction(b'{"id":"a"}')
    assert "cannot open a segment" in capture.problem
    capture.count_refused("m", 1, 503)
    capture.flush()
    assert capture.problem
    layout.events.unlink()
    capture.flush()
    assert capture.problem == ""
    capture.append_prediction(b'{"id":"b"}')
    assert read(layout, "predictions") == [b'{"id":"b"}']
    assert b'["m",1,503,1]' in read(layout, "stats")[0]


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

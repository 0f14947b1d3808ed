from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.errors import EventLogUnwritable
from storage.eventlog import EventWriter, is_closed, list_segments, scan_ids, tail
from tests.storage.conftest import SmallDisk


def record(number: int, *, size: int = 0) -> bytes:
    return b'{"id":"%d","x":"%s"}' % (number, b"x" * size)


def read_all(directory: Path) -> list[bytes]:
    return [line for chunk in tail(directory, {}) for line in chunk.lines]


def test_records_come_back_in_the_order_they_were_appended(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "predictions")
    records = [record(number) for number in range(100)]
    for each in records:
        writer.append(each)
    writer.sync()
    writer.close()
    assert read_all(tmp_path / "predictions") == records


def test_a_full_segment_is_followed_by_a_new_one(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, max_segment_bytes=100)
    records = [record(number, size=30) for number in range(10)]
    for each in records:
        writer.append(each)
    writer.close()
    assert len(list_segments(tmp_path)) == 5
    assert read_all(tmp_path) == records
    assert all(segment.stat().st_size <= 100 for segment in list_segments(tmp_path))


def test_a_writer_never_continues_an_old_segment(tmp_path: Path) -> None:
    for number in range(2):
        writer = EventWriter(tmp_path)
        writer.append(record(number))
        writer.close()
    assert len(list_segments(tmp_path)) == 2


def test_an_open_segment_is_told_from_a_closed_one(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.append(record(1))
    (segment,) = list_segments(tmp_path)
    assert not is_closed(segment)
    writer.close()
    assert is_closed(segment)


def test_the_segment_of_a_killed_writer_is_closed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storage.eventlog import EventWriter\n"
        "writer = EventWriter(Path(sys.argv[1])); writer.append(b'{}'); print('open', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "open\n"
        (segment,) = list_segments(tmp_path)
        assert not is_closed(segment)
        child.kill()
    assert is_closed(segment)


def test_an_old_segment_is_closed_though_nothing_more_comes(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, max_age_s=0)
    writer.close_if_old()
    writer.append(record(1))
    (segment,) = list_segments(tmp_path)
    writer.close_if_old()
    assert is_closed(segment)
    writer.append(record(2))
    assert len(list_segments(tmp_path)) == 2
    young = EventWriter(tmp_path / "young")
    young.append(record(3))
    young.close_if_old()
    assert not is_closed(list_segments(tmp_path / "young")[0])


def test_a_cursor_continues_behind_what_was_read(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.append(record(1))
    (first,) = tail(tmp_path, {})
    writer.append(record(2))
    (second,) = tail(tmp_path, {first.segment: first.end})
    assert (first.start, second.start, second.lines) == (0, first.end, [record(2)])
    assert list(tail(tmp_path, {second.segment: second.end})) == []
    writer.close()


def test_what_has_not_grown_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, open_file = [], Path.open

    def note(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path)
        return open_file(path, *arguments, **named)

    old, new = EventWriter(tmp_path), EventWriter(tmp_path)
    for writer in (old, new):
        writer.append(b"{}")
    cursors = {path.name: 3 for path in list_segments(tmp_path)}
    monkeypatch.setattr(Path, "open", note)
    assert list(tail(tmp_path, cursors)) == []
    assert opened == []
    new.append(b"[]")
    assert [chunk.lines for chunk in tail(tmp_path, cursors)] == [[b"[]"]]
    assert opened == [list_segments(tmp_path)[1]]


def test_chunks_end_at_a_lines_end_and_a_long_line_stays_whole(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    records = [record(1), record(2, size=500), record(3)]
    for each in records:
        writer.append(each)
    writer.close()
    chunks = list(tail(tmp_path, {}, max_bytes=64))
    assert [line for chunk in chunks for line in chunk.lines] == records
    assert len(chunks) > 1
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]


def test_a_torn_last_line_is_left_unread_and_the_next_segment_is_read(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.append(record(1))
    writer.close()
    (torn,) = list_segments(tmp_path)
    with torn.open("ab") as file:
        file.write(b'{"id":"2","x":"cut by a power f')
    later = EventWriter(tmp_path)
    later.append(record(3))
    later.close()
    assert read_all(tmp_path) == [record(1), record(3)]
    (chunk, _) = tail(tmp_path, {})
    assert chunk.end == len(record(1)) + 1
    assert list(scan_ids(tmp_path, [b"2"])) == []


def test_scan_finds_records_by_id_alone(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    for number in range(50):
        writer.append(record(number))
    writer.close()
    assert list(scan_ids(tmp_path, [b"7", b"31", b"99"])) == [record(7), record(31)]


def test_a_record_survives_a_killed_writer(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from storage.eventlog import EventWriter\n"
        "writer = EventWriter(Path(sys.argv[1]))\n"
        'for number in range(1000): writer.append(b\'{"id":"%d"}\' % number)\n'
        "print('acknowledged', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "acknowledged\n"
        child.send_signal(signal.SIGKILL)
    assert len(read_all(tmp_path)) == 1000


def test_a_short_write_is_undone_and_said(tmp_path: Path) -> None:
    # A limit on the file's size makes the kernel take a part of a line, as a disk does that gets full.
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from storage.errors import EventLogUnwritable; from storage.eventlog import EventWriter\n"
        'writer = EventWriter(Path(sys.argv[1])); writer.append(b\'{"id":"1"}\')\n'
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 1 << 30))\n"
        'try: writer.append(b\'{"id":"2","x":"long"}\')\n'
        "except EventLogUnwritable as exc: print(exc)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))\n"
        'writer.append(b\'{"id":"3"}\')'
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True, env=os.environ
    )
    assert done.stdout == f"cannot append to {tmp_path}: the disk is full\n"
    assert read_all(tmp_path) == [b'{"id":"1"}', b'{"id":"3"}']


def test_a_full_disk_acknowledges_nothing_and_later_appends_work(small_disk: SmallDisk) -> None:
    events = small_disk.path / "events"
    writer = EventWriter(events)
    writer.append(record(1))
    ballast = small_disk.fill()
    kept = [record(1)]
    with pytest.raises(EventLogUnwritable, match=r"cannot append to .*events: (No space left|the disk is full)"):
        for number in range(2, 1000):
            writer.append(record(number, size=100))
            kept.append(record(number, size=100))
    assert read_all(events) == kept
    ballast.unlink()
    writer.append(record(5000))
    assert read_all(events) == [*kept, record(5000)]
    writer.close()


def test_a_read_only_disk_is_said(small_disk: SmallDisk) -> None:
    small_disk.make_read_only()
    with pytest.raises(EventLogUnwritable, match=r"cannot open a segment in .*: Read-only file system"):
        EventWriter(small_disk.path / "events").append(record(1))


def test_a_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("in the way")
    with pytest.raises(EventLogUnwritable, match=r"cannot open a segment in .*events: File exists"):
        EventWriter(tmp_path / "events").append(record(1))

"""Kept figures are those of their stamp, whole, or none."""

from __future__ import annotations

import os
import time
from pathlib import Path

from storage.figures import LEFT_S, forget_days, is_kept, keep, read_kept, stamp_of
from storage.layout import Layout
from tests.storage.conftest import SmallDisk

ONE, OTHER = stamp_of("one", 1), stamp_of("one", 2)


def kept(path: Path, stamp: bytes) -> bytes | None:
    found = read_kept(path, stamp)
    return None if found is None else bytes(found)


def test_what_was_kept_is_there_under_its_stamp_alone(layout: Layout) -> None:
    path = layout.figures / "m" / "1" / "20000.rows"
    assert kept(path, ONE) is None
    assert keep(path, ONE, b"figures")
    assert (kept(path, ONE), kept(path, OTHER)) == (b"figures", None)
    assert (is_kept(path, ONE), is_kept(path, OTHER)) == (True, False)
    assert keep(path, OTHER, b"")
    assert (kept(path, ONE), kept(path, OTHER)) == (None, b"")
    assert path.stat().st_mode & 0o007 == 0


def test_a_file_that_is_broken_anywhere_is_as_good_as_none(layout: Layout) -> None:
    path = layout.figures / "m" / "f.answers"
    assert keep(path, ONE, bytes(range(60)))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert kept(path, ONE) is None
        path.write_bytes(whole[:at])
        assert kept(path, ONE) is None
    path.write_bytes(whole + b"x")
    assert kept(path, ONE) is None
    assert keep(path, ONE, b"again")
    assert kept(path, ONE) == b"again"


def test_on_a_disk_without_room_nothing_is_kept_and_nothing_left(small_disk: SmallDisk) -> None:
    path = small_disk.path / "figures" / "m" / "f.answers"
    assert not keep(path, ONE, b"figures")
    assert not path.exists()
    assert not [one for one in small_disk.path.rglob("*") if one.is_file()]


def test_where_nothing_can_be_written_nothing_is_kept(layout: Layout) -> None:
    layout.figures.write_bytes(b"a file where a folder should be")
    assert not keep(layout.figures / "m" / "f.answers", ONE, b"figures")
    assert kept(layout.figures / "m" / "f.answers", ONE) is None


def test_old_days_and_what_a_killed_process_left_go(layout: Layout) -> None:
    folder = layout.figures / "m" / "1"
    gone = ["19.rows", "19-shadow.rows", "19.cells", "-3.rows"]
    stay = ["20.rows", "20.cells", "21-shadow.rows", "spans.answers"]
    for name in (*gone, *stay):
        assert keep(folder / name, ONE, b"x")
    old, new = folder / ".20.rows.77.88", folder / ".21.rows.77.88"
    model_wide = layout.figures / "m" / ".buckets-24-all.answers.77.88"
    for half in (old, new, model_wide):
        half.write_bytes(b"half")
    for half in (old, model_wide):
        os.utime(half, (time.time() - 2 * LEFT_S,) * 2)
    forget_days(layout.figures, before=20)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*stay, new.name])
    assert not model_wide.exists()
    forget_days(Path("/nowhere"), before=20)

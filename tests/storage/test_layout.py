from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import StateUnwritable
from storage.layout import Layout
from tests.storage.conftest import SmallDisk


def test_create_makes_every_directory_for_the_owner_and_group_alone(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "a" / "state")
    layout.create()
    layout.create()
    for path in (layout.datasets, layout.models, layout.events, layout.tmp, layout.run, layout.logs, layout.specs):
        assert path.is_dir()
        assert path.stat().st_mode & 0o007 == 0


def test_computing_paths_touches_nothing(tmp_path: Path) -> None:
    assert Layout(root=tmp_path / "none").deployments == tmp_path / "none" / "models" / "deployments.json"
    assert list(tmp_path.iterdir()) == []


def test_a_state_directory_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(
        StateUnwritable, match=r"cannot write the state directory .*state: .*choose another with --state"
    ):
        Layout(root=tmp_path / "state").create()


def test_a_state_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StateUnwritable, match=r"Not a directory"):
        Layout(root=tmp_path / "file" / "state").create()


def test_a_read_only_disk_is_told_as_that(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    small_disk.make_read_only()
    with pytest.raises(StateUnwritable, match=r"Read-only file system; free space or make it writable"):
        layout.create()


def test_a_full_disk_is_told_as_that(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    ballast = small_disk.fill()
    with pytest.raises(StateUnwritable, match=r"No space left on device"):
        layout.create()
    ballast.unlink()
    layout.create()

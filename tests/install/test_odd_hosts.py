"""The installer alone, and on a host with next to no room for temporary files."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.install.place import ROOT, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.below(tmp_path)


def test_this_file_alone_says_what_it_lacks(place: Place) -> None:
    alone = place.home / "install.sh"
    alone.write_bytes((ROOT / "install.sh").read_bytes())
    done = place.sh(f"sh {alone} --local {place.base} {' '.join(place.port_flags)}")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"install.sh: {place.home} holds no appliance: run the install.sh of a checkout, or")
    alone.unlink()
    alone.symlink_to(ROOT / "install.sh")
    done = place.sh(f"sh {alone} --local {place.base} {' '.join(place.port_flags)} --dry-run")
    assert (done.code, done.err) == (0, "")


def test_a_very_small_tmp_will_do_for_the_environment(place: Place) -> None:
    """Whose pip is unpacked there, 2 MB."""
    functions = place.home / "functions.sh"
    functions.write_text((ROOT / "install.sh").read_text(encoding="utf-8").removesuffix('main "$@"\n'))
    line = (
        f"mkdir {place.home}/small; mount -t tmpfs -o size=64k tmpfs {place.home}/small; TMPDIR={place.home}/small;"
        f" export TMPDIR; . {functions}; PYTHON={sys.executable};"
        f" RELEASE={place.home}/release BUILD={place.home}/build; make_environment"
    )
    done = place.sh(f"unshare -m sh -ec '{line}'")
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    assert done.code == 0, done.err
    assert (place.home / "release" / "venv" / "bin" / "pip").exists()


def test_it_ends_within_main_so_that_what_lands_behind_its_last_line_meanwhile_is_not_run() -> None:
    """A pull or a copy may write over the file, and the shell reads it as it goes."""
    text = (ROOT / "install.sh").read_text(encoding="utf-8")
    assert re.search(r'\n  exit 0[^\n]*\n}\n\nmain "\$@"\n\Z', text)

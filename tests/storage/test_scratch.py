from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from storage.errors import StateUnwritable
from storage.scratch import open_scratch

HOLDER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from storage.scratch import open_scratch
with ExitStack() as stack:
    made = open_scratch(Path(sys.argv[1]), stack)
    (made / "spill").write_bytes(b"x" * 1000)
    print(made, flush=True)
    time.sleep(60)
"""


def test_it_goes_with_the_stack(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = open_scratch(tmp_path, stack)
        (made / "spill").write_text("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_killed", [True, False])
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path: Path, *, is_killed: bool
) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        held = Path(child.stdout.readline().strip())
        if is_killed:
            child.send_signal(signal.SIGKILL)
            child.wait()
        os.utime(held, (1, 1))
        with ExitStack() as stack:
            open_scratch(tmp_path, stack)
            assert held.exists() is not is_killed
        child.kill()


def test_a_young_one_that_is_not_locked_yet_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "scratch-new").mkdir()
    with ExitStack() as stack:
        open_scratch(tmp_path, stack)
    assert (tmp_path / "scratch-new").is_dir()


def test_no_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateUnwritable, match=r"cannot write below .*nowhere: No such file"), ExitStack() as stack:
        open_scratch(tmp_path / "nowhere", stack)

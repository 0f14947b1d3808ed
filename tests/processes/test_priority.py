"""A process that works in the background, asked of the kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.processes.priority import FIRST_TO_GO

AUTOGROUP = Path("/proc/self/autogroup")
LOOK = """
import os
from pathlib import Path
from appliance.processes.priority import step_back
step_back()
group = Path("/proc/self/autogroup")
words = group.read_text().split() if group.exists() else []
print(os.getpriority(os.PRIO_PROCESS, 0), words[-1] if words else "none")  # empty outside of any session's group
"""


def priorities(*, leader: bool) -> list[str]:
    """Of a process that stepped back, and of its session's group: ``["19", "0"]``."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], start_new_session=leader, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_the_leader_of_a_session_steps_back_with_all_of_it() -> None:
    assert priorities(leader=True) == ["19", "19"]


def test_the_session_of_somebody_else_keeps_its_priority() -> None:
    before = AUTOGROUP.read_text() if AUTOGROUP.exists() else ""
    assert priorities(leader=False)[0] == "19"
    assert (AUTOGROUP.read_text() if AUTOGROUP.exists() else "") == before


def test_a_child_goes_before_its_parent_where_memory_runs_out() -> None:
    look = "from pathlib import Path; from appliance.processes.priority import go_first; go_first()"
    look += "; print(Path('/proc/self/oom_score').read_text(), Path('/proc/self/oom_score_adj').read_text())"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    score, adjusted = (int(word) for word in done.stdout.split())
    assert adjusted == FIRST_TO_GO
    assert score > int(Path("/proc/self/oom_score").read_text()), "the kernel would take this one first"

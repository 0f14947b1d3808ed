"""The kernel's count of processes that it ended for want of memory, in both forms in which it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.processes.oom import count_oom_kills

UNIT = "appliance-batch.slice/appliance-runner.service"


@pytest.mark.parametrize(
    ("groups", "mount", "name", "text", "found"),
    [
        (f"0::/{UNIT}\n", "/ {point} rw - cgroup2 cgroup2 rw", "memory.events", "low 0\nmax 9\noom 2\noom_kill 2\n", 2),
        (
            f"4:memory:/box/{UNIT}\n0::/\n", "/box {point} rw - cgroup cgroup rw,memory",
            "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1,
        ),
        (f"4:memory:/box/{UNIT}\n", "/box {point} rw - cgroup x rw,cpu", "memory.oom_control", "oom_kill 1\n", None),
        (f"0::/{UNIT}\n", "/ {point} rw - cgroup2 cgroup2 rw", "memory.current", "7\n", None),
    ],
)  # fmt: skip
def test_the_count_is_read_where_the_group_is_mounted(
    tmp_path: Path, groups: str, mount: str, name: str, text: str, found: int | None
) -> None:
    point = tmp_path / "cgroup"
    (point / UNIT).mkdir(parents=True)
    (point / UNIT / name).write_text(text)
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text(f"31 20 0:27 {mount.format(point=point)}\n")
    assert count_oom_kills(proc) == found


def test_this_process_is_asked_without_an_error() -> None:
    found = count_oom_kills()
    assert found is None or found >= 0

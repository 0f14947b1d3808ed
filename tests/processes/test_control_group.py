"""A unit's memory and processor time from its control group, in both forms in which kernels tell them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.processes.control_group import find_group_cpu_s, find_group_mb

UNIT = "/appliance.slice/appliance-ui.service"
OLD_MEMORY = "cache 9000000\nrss 1\ntotal_rss 70000000\ntotal_mapped_file 5500000\n"
NEW_MEMORY = "anon 70000000\nfile 9000000\nfile_mapped 5500000\n"


def mounted(tmp_path: Path, line: str, files: dict[str, str], *, at: str = UNIT) -> Path:
    """A process's folder whose mounts are one; the group lies there with these files."""
    point = tmp_path / "cgroup"
    folder = point / at.lstrip("/")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (tmp_path / "mountinfo").write_text(f"20 1 8:1 / / rw - ext4 /dev/vda rw\n31 20 0:27 {line.format(point=point)}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "files", "mb", "cpu_s"),
    [
        (
            "/ {point} rw shared:4 - cgroup2 cgroup2 rw",
            {"memory.stat": NEW_MEMORY, "cpu.stat": "usage_usec 2500000\nuser_usec 1\n"}, 75.5, 2.5,
        ),
        ("/ {point} rw - cgroup cgroup rw,memory", {"memory.stat": OLD_MEMORY}, 75.5, None),
        ("/ {point} rw - cgroup cgroup rw,cpu,cpuacct", {"cpuacct.usage": "2500000000\n"}, None, 2.5),
        ("/ {point} rw - cgroup cgroup rw,freezer", {"memory.stat": OLD_MEMORY, "cpuacct.usage": "1"}, None, None),
        ("/ {point} rw - cgroup2 cgroup2 rw", {"cgroup.procs": ""}, None, None),  # without controllers
        ("/ {point} rw - cgroup2 cgroup2 rw", {"memory.stat": "anon x\n", "cpu.stat": "\n"}, None, None),
    ],
)  # fmt: skip
def test_memory_and_time_are_those_of_the_group(
    tmp_path: Path, line: str, files: dict[str, str], mb: float | None, cpu_s: float | None
) -> None:
    proc = mounted(tmp_path, line, files)
    assert (find_group_mb(UNIT, proc=proc), find_group_cpu_s(UNIT, proc=proc)) == (mb, cpu_s)


def test_in_a_container_the_group_begins_below_the_mounts_top(tmp_path: Path) -> None:
    proc = mounted(tmp_path, "/box {point} rw - cgroup2 cgroup2 rw", {"memory.stat": NEW_MEMORY})
    assert find_group_mb(f"/box{UNIT}", proc=proc) == 75.5


@pytest.mark.parametrize("group", ["", "none", "/other.slice/gone.service"])
def test_a_group_that_is_not_there_is_no_error(tmp_path: Path, group: str) -> None:
    proc = mounted(tmp_path, "/ {point} rw - cgroup2 cgroup2 rw", {"memory.stat": NEW_MEMORY})
    assert find_group_mb(group, proc=proc) is None
    assert find_group_cpu_s(group, proc=proc) is None
    assert find_group_mb(UNIT, proc=tmp_path / "nowhere") is None

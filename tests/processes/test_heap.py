"""What was freed goes back to the kernel, also when something small lives on above it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
from pathlib import Path
import numpy as np
from appliance.processes import heap

def anonymous_mb():
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6

{first}
large = np.ones(30_000_000 // 8)  # what glibc learns from: such buffers lie on the heap from now on
del large
before = anonymous_mb()
kept = []
for _ in range(8):
    large = np.ones(24_000_000 // 8)
    kept.append(np.ones(40_000))  # lies above the large one, which is then freed
    del large
{then}
print(anonymous_mb() - before - sum(small.nbytes for small in kept) / 1e6)
"""


def grown_mb(*, first: str = "", then: str = "") -> float:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first, then=then)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_buffers_leave_nothing_behind() -> None:
    assert grown_mb() > 20, "else nothing is shown here"
    assert grown_mb(first="heap.keep_small()") < 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_malloc_keeps_is_given_back() -> None:
    assert grown_mb(then="heap.give_back()") < 5

"""How full the disk is, and what gives way first: predictions go on being answered whatever it says.

From 80 % on an alert, from 90 % nothing is captured, from 95 % no job starts. A large disk is no shortage: the shares
count only where less than ``AMPLE_BYTES`` are free.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

ALERT_SHARE, CAPTURE_SHARE, JOBS_SHARE = 0.80, 0.90, 0.95
"""Of what an ordinary user may fill."""
AMPLE_BYTES = 20 << 30


class Pressure(IntEnum):
    """What a disk still allows; each forbids what those before it forbid."""

    NONE = 0
    ALERT = 1
    NO_CAPTURE = 2
    NO_JOBS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """A file system as an ordinary user sees it, as ``df`` counts.

    Attributes:
        size: Bytes that are used or may be.
        free: Bytes that may be used.
    """

    size: int
    free: int

    @property
    def used_share(self) -> float:
        """In [0, 1]."""
        return 1 - self.free / self.size if self.size else 1.0


def read_disk(path: Path) -> DiskUse:
    """The file system that holds a path.

    Raises:
        OSError: It cannot be asked.
    """
    facts = os.statvfs(path)
    used = facts.f_blocks - facts.f_bfree
    return DiskUse(size=(used + facts.f_bavail) * facts.f_frsize, free=facts.f_bavail * facts.f_frsize)


def judge_disk(use: DiskUse, *, before: Pressure = Pressure.NONE, easing: float = 0.02) -> Pressure:
    """What the disk allows now.

    Args:
        use: How full it is.
        before: What was found last; it eases only when ``easing`` less is used than would bring it on.
        easing: A share.
    """
    if use.free >= AMPLE_BYTES:
        return Pressure.NONE
    shares = {Pressure.ALERT: ALERT_SHARE, Pressure.NO_CAPTURE: CAPTURE_SHARE, Pressure.NO_JOBS: JOBS_SHARE}
    reached = [
        level for level, share in shares.items() if use.used_share >= share - (easing if level <= before else 0.0)
    ]
    return max(reached, default=Pressure.NONE)


def capture_reserve(path: Path, configured: int) -> int:
    """Free bytes below which nothing is captured: ``configured``, or a tenth of the disk if that is more.

    A disk that cannot be asked leaves it at ``configured``.
    """
    try:
        size = read_disk(path).size
    except OSError:
        return configured
    return max(configured, min(int(size * (1 - CAPTURE_SHARE)), AMPLE_BYTES))

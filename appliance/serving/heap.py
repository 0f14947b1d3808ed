"""The C heap of a serving process: kept between large requests that follow each other, given back when they end."""

from __future__ import annotations

import ctypes
import time

IDLE_S = 2.0
"""Seconds after the last large request until its memory is given back."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_BYTES = 32 << 20
_TRIM_BYTES = 64 << 20


class Heap:
    """glibc's heap, tuned: one for all threads, and not returned to the kernel a buffer at a time.

    By its own choice glibc asks the kernel for each buffer of a large request anew, and the kernel clears each page
    at its first touch: a fifth of the time of a 1,000-row request. Kept for good it would weigh on an idle process.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._used_at = 0.0
        for option, value in (
            (_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES),
        ):  # fmt: skip
            self._libc.mallopt(option, value)

    def note_large(self) -> None:
        """A large request is served."""
        self._used_at = time.monotonic()

    def give_back(self) -> bool:
        """Return what is free to the kernel once large requests have ended; True when it did."""
        if not self._used_at or time.monotonic() - self._used_at < IDLE_S:
            return False
        self._used_at = 0.0
        self._libc.malloc_trim(0)
        return True

"""glibc's heap in a process that lives for months: what was freed goes back to the kernel.

By its own choice glibc takes the largest buffer that was ever freed, up to 32 MB, for the size below which buffers
share the heap. There a small one that lives on above a large one that is gone keeps the large one's memory: the figures
of a day of labels would weigh on the process for good.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers of the options, malloc.h."""
_MMAP_BYTES = 1 << 20
_TRIM_BYTES = 4 << 20


def keep_small() -> None:
    """Two heaps instead of one a thread, since each keeps what its busiest moment needed; large buffers in neither.

    Nothing happens where the C library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in ((_M_ARENA_MAX, 2), (_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES)):
            libc.mallopt(option, value)


def give_back() -> None:
    """Give the kernel back what was freed, which malloc keeps; takes milliseconds, the GIL is free meanwhile."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

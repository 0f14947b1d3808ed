"""What keeps the dashboard's process light: nothing here changes what it does."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_ARENA_MAX = -8
"""glibc's number of the option, malloc.h."""


def refuse_pandas() -> None:
    """MLflow brings pandas, and pyarrow and sqlite-utils load it where they find it: 55 MB that nothing here uses."""
    sys.modules["pandas"] = None  # type: ignore[assignment]  # what the import system takes for "there is none"


def keep_few_heaps() -> None:
    """Two malloc heaps instead of one a thread: each keeps what its busiest moment needed. Nothing where not glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Give the kernel back what was freed, which malloc keeps; takes milliseconds, the GIL is free meanwhile."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

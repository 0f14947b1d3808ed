"""What keeps the dashboard's process light: nothing here changes what it does."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_M_ARENA_MAX = -8
"""glibc's number of the option, malloc.h."""


_UNUSED = (
    "pandas",  # MLflow brings it; pyarrow and sqlite-utils load it where they find it: 55 MB
    "redis", "aiohttp", "requests",  # clients of socketio and engineio, of which we are the server: 17 MB
)  # fmt: skip


class _Refusing(Loader, MetaPathFinder):
    """Finds the unused libraries, and fails to load them, as a library does that lacks a part of its own.

    ``None`` in ``sys.modules`` would be shorter, but compiled modules (pyarrow's) take it for the library itself.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """A specification for those names alone."""
        return ModuleSpec(fullname, self) if fullname in _UNUSED else None

    def exec_module(self, module: ModuleType) -> None:
        """Refuse."""
        raise ModuleNotFoundError(f"the dashboard goes without {module.__name__}", name=module.__name__)


def refuse_unused() -> None:
    """Tell the libraries that try them that these are not there; each of them does without."""
    sys.meta_path.insert(0, _Refusing())


def keep_few_heaps() -> None:
    """Two malloc heaps instead of one a thread: each keeps what its busiest moment needed. Nothing where not glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def settle() -> None:
    """Take what is there for good, modules and routes, out of what the garbage collector looks through.

    A look through all of it holds the GIL, and so every tab, for 0.2 s.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give the kernel back what was freed, which malloc keeps; takes milliseconds, the GIL is free meanwhile."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

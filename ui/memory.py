"""What keeps the dashboard's process light: nothing here changes what it does."""

from __future__ import annotations

import gc
import sys
from copy import copy
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nicegui import Client

_NEVER = 1_000_000

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


def settle() -> None:
    """Take what is there for good, modules and routes, out of what the garbage collector looks through.

    Called before the loop runs and again once it does, when the little that was added since is all there is to look
    through: a look through all of it holds the GIL, and so every tab, for 0.2 s. From now on ``sweep`` looks through
    what is old: the collector of itself would do so in the middle of drawing a page, and only once a dozen pages are
    garbage, which weigh 20 MB and hold every tab for 0.1 s.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


def sweep() -> None:
    """Look through what is old for garbage, if something became old since the last time."""
    if gc.get_count()[2]:
        gc.collect()


def let_go(client: Client) -> None:
    """Let a page that its browser has left go as soon as the connection ends.

    A page whose connection is lost is kept for ten seconds, in case the browser comes back. One that was left does not:
    somebody who clicks through the dashboard would have a dozen of them beside the one that is seen.
    """
    client.page = copy(client.page)  # every client of an address shares the page's settings
    client.page.reconnect_timeout = 0.0

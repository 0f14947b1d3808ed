"""Reads what comes next in a thread of its own, while its taker is busy with what came."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

AHEAD = 2
"""Items that wait to be taken, at most."""
LOOK_S = 0.1


@contextmanager
def read_ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """The same items in the same order, two of them ahead; an error comes where it arose.

    Whatever ``items`` reads is read in the thread alone until the block ends.
    """
    reading = _Reading(items)
    thread = threading.Thread(target=reading.run, name="read ahead", daemon=True)
    thread.start()
    try:
        yield reading.taken()
    finally:
        reading.end()
        thread.join()


class _Reading(Generic[Item]):
    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._ready: Queue[tuple[Item] | BaseException | None] = Queue(AHEAD)
        self._is_over = threading.Event()

    def run(self) -> None:
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
            self._put(None)
        except BaseException as exc:  # noqa: BLE001  (raised again where the items are taken)
            self._put(exc)

    def taken(self) -> Iterator[Item]:
        while (found := self._ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]

    def end(self) -> None:
        self._is_over.set()

    def _put(self, what: tuple[Item] | BaseException | None) -> bool:
        while not self._is_over.is_set():
            with contextlib.suppress(Full):
                self._ready.put(what, timeout=LOOK_S)
                return True
        return False

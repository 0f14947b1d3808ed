"""Group commit: one flush to the disk for all requests that wait for one, off the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from storage.errors import EventLogUnwritable


class GroupCommit:
    """Requests that come while a flush is under way share the next one; used from one event loop.

    Attributes:
        syncs: Flushes so far.
    """

    def __init__(
        self,
        take: Callable[[], list[int]],
        failed: Callable[[EventLogUnwritable], None],
        *,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """Prepare.

        Args:
            take: Gives descriptors of everything that was written and not flushed; they are closed here.
            failed: Told when a flush failed, before the requests that waited for it.
            sync: Waits until the disk has a descriptor's bytes.
        """
        self._take = take
        self._failed = failed
        self._sync = sync
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self.syncs = 0

    def wait(self) -> asyncio.Future[None]:
        """Done once the disk has everything that was written before this call.

        The future raises ``EventLogUnwritable`` when the disk refused.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if self._task is None:
            self._task = loop.create_task(self._run(loop))
        return future

    def close(self) -> None:
        """End the thread; whoever still waits is served first."""
        self._pool.shutdown()

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            descriptors = self._take()
            self.syncs += 1
            try:
                await loop.run_in_executor(self._pool, self._flush, descriptors)
            except OSError as exc:
                error = EventLogUnwritable(f"cannot flush the event log to the disk: {exc.strerror}")
                error.__cause__ = exc
                self._failed(error)
                for future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for future in batch:
                    if not future.done():  # its caller hung up
                        future.set_result(None)
        self._task = None

    def _flush(self, descriptors: list[int]) -> None:
        try:
            for descriptor in descriptors:
                self._sync(descriptor)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

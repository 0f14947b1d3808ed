"""Reads request bodies whole, within a size and a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from appliance.api.inference.errors import BodyTooLarge, BodyTooSlow, ClientGone

Receive = Callable[[], Awaitable[Any]]

MOST_DISCARDED = 256 << 20
"""Bytes of a refused body that are taken in and dropped: a caller that still sends when the connection closes sees a
reset instead of the answer."""


class BodyReader:
    """Reads the bodies of one process.

    A timer for each request would cost more than its key check; instead the readers are listed, and ``end_overdue``
    looks through them now and then.

    Attributes:
        timeout_s: Seconds that a body may take.
    """

    def __init__(self, max_bytes: int, *, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self.timeout_s = timeout_s
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge: It says so, or turns out so; what is left of it is not kept.
            BodyTooSlow: It did not arrive in time.
            ClientGone: The caller hung up before its end.
        """
        length = int(headers.get(b"content-length", 0))
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is served in a task")
        self._waiting[task] = time.monotonic()
        try:
            if length > self._max_bytes:
                if b"expect" not in headers:  # else the caller asked first, and has sent nothing
                    await _discard(receive)
                self.require_size(length)
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                return self._checked(message["body"])
            return await self._read_parts(message, receive)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            self._overdue.discard(task)
            task.uncancel()
            raise self.too_slow() from None
        finally:
            del self._waiting[task]

    def too_slow(self) -> BodyTooSlow:
        """What a body is refused with that is waited for too long."""
        return BodyTooSlow(
            f"the body did not arrive within {self.timeout_s:g} s; send it faster, or raise the setting body_timeout_s"
        )

    def require_size(self, length: int) -> None:
        """Refuse a body by its length.

        Raises:
            BodyTooLarge: It is beyond the limit.
        """
        if length > self._max_bytes:
            raise BodyTooLarge(
                f"the body has {length} bytes; accepted: at most {self._max_bytes} (setting max_body_bytes)"
            )

    def end_overdue(self) -> None:
        """Refuse the bodies that are waited for too long."""
        oldest = time.monotonic() - self.timeout_s
        for task, since in self._waiting.items():
            if since < oldest and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()

    async def _read_parts(self, message: Mapping[str, Any], receive: Receive) -> bytes:
        body = bytearray()
        while message["type"] == "http.request":
            body += message["body"]
            if len(body) > self._max_bytes and message.get("more_body"):
                await _discard(receive)
            self._checked(body)
            if not message.get("more_body"):
                return bytes(body)
            message = await receive()
        raise ClientGone("the caller hung up before the body's end")

    def _checked(self, body: Any) -> bytes:
        if len(body) > self._max_bytes:
            raise BodyTooLarge(f"the body has more than {self._max_bytes} bytes (setting max_body_bytes)")
        return body  # type: ignore[no-any-return]


async def _discard(receive: Receive) -> None:
    """Take in the rest of a body without keeping it."""
    left = MOST_DISCARDED
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        left -= len(message["body"])

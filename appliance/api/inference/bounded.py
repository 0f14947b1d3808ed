"""Connections that wait for their callers within bounds: a request's head has a size and a time, as its body has.

Only what goes uvicorn's way is looked at, and one timer is set when a connection is made: a plain request that comes
whole costs nothing here.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from appliance.api.inference.draining import DrainingProtocol
from appliance.api.inference.errors import HeadTooLarge, HeadTooSlow

MOST_HEAD_BYTES = 64 << 10
"""Of a head, and of what stands around a body's chunks and after the last; more may come with the first read."""

_LINE_BYTES = 4
"""Beside name and value, a header has a colon, a space, and the line's end."""


class BoundedProtocol(DrainingProtocol):
    """A connection that gives up a caller who begins, and does not go on.

    A connection on which nothing has come is closed; a head that is not whole is refused and the connection closed
    (408 by its time, 431 by its size); the rest of a request that was answered before its end is not waited for longer
    than its body would have been. A kept connection is idle for as long as uvicorn lets it.
    """

    def __init__(self, patience_s: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience_s = patience_s
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._given = 0
        self._beside = 0
        self._too_large: HeadTooLarge | None = None

    @abstractmethod
    def turn_away(self, exc: Exception) -> None:
        """Refuse a request whose head is not whole, and end the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more: a timer would hold the connection, and its last request, until it ends.

        Uvicorn lets its own run on when the caller reset the connection.
        """
        self._stop_waiting()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let uvicorn read, then see whether the caller has to go on, and has not sent too much."""
        self._given = len(data)
        super().data_received(data)
        self._beside += self._given
        if self.ended or self.transport.is_closing():
            return
        if self.receiving and self._beside > MOST_HEAD_BYTES:
            self._refuse_head(_too_large())
        elif self._in_head or not self._is_answering():
            self._wait()

    def on_message_begin(self) -> None:
        """A head has its own time from its first byte on."""
        self._in_head = True
        self._beside = -self._given
        self._stop_waiting()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Headers after the body (trailers) are dropped: what they would change is under way."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            HeadTooLarge: It came in one piece, and is too large; the parser turns that into an error of its own.
        """
        size = len(self.url) + sum(len(name) + len(value) + _LINE_BYTES for name, value in self.headers)
        if size > MOST_HEAD_BYTES:
            self._too_large = _too_large()
            raise self._too_large
        self._in_head = False
        self._beside = -self._given
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bodies have bounds of their own."""
        self._beside -= len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Each chunk of a body may have a line before it, and the last one trailers after it."""
        self._beside = -self._given

    def on_message_complete(self) -> None:
        """Nothing of it is missing."""
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request that was answered before its end has that end outstanding."""
        super().on_response_complete()
        if self.receiving and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read, or was told not to."""
        if self._too_large is not None:
            self._refuse_head(self._too_large)
        else:
            super().send_400_response(msg)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._patience_s, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _lose_patience(self) -> None:
        self._deadline = None
        if self.ended or self.transport.is_closing():
            return
        if self._is_answering() or self.flow.read_paused:
            self._wait()  # the caller waits, too
        elif self.receiving:
            self._refuse_head(
                HeadTooSlow(
                    f"the request's head did not arrive within {self._patience_s:g} s; send it faster, or raise the "
                    "setting body_timeout_s"
                )
            )
        elif self.timeout_keep_alive_task is None:
            self._end()

    def _refuse_head(self, exc: Exception) -> None:
        """Refuse a head and end the connection; what is under way is still answered, nothing is answered twice."""
        self._stop_waiting()
        if self._is_answering():
            self.ended = True
            self._make_last(self.cycle)
        elif self._in_head:
            self.turn_away(exc)
        else:
            self.part()


def _too_large() -> HeadTooLarge:
    return HeadTooLarge(
        f"the request's head has more than {MOST_HEAD_BYTES} bytes; send fewer or shorter headers, and rows as the body"
    )

"""Connections that end without losing a request: what the caller sent before it could see the end is still answered."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from appliance.api.offers import StayingProtocol

PATIENCE_S = 0.6
"""How long an idle connection may still bring a request once the process ends: longer than a caller's way to us."""

LINGER_S = 1.0
"""Between our end of a connection and its close, when the caller does not close first."""


class DrainingProtocol(StayingProtocol):
    """Uvicorn's connection, whose end is announced.

    Uvicorn closes an idle connection at once when the process ends. A request that is on its way then meets a reset,
    which its caller cannot tell from a request that was carried out. Here an idle connection is kept for a moment; a
    request that comes is answered with ``Connection: close``; then our side is ended (the caller reads an orderly end,
    and whatever still comes is read and dropped, not reset); then it is closed.

    Attributes:
        leaving: The process ends: no request after the next one is answered here.
        receiving: A request has begun and is not whole yet.
        ended: Our side is ended.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaving = False
        self.receiving = False
        self.ended = False
        self._last: RequestResponseCycle | None = None

    def shutdown(self) -> None:
        """Called when the process ends; a second time, nothing happens."""
        if self.leaving:
            return
        self.leaving = True
        if self.is_busy():
            if self.cycle is not None:
                self._make_last(self.cycle)
        else:
            self.loop.call_later(PATIENCE_S, self._end)

    def timeout_keep_alive_handler(self) -> None:
        """Called on a connection that was idle for too long."""
        self._end()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the caller was told that nothing more is answered."""
        if not self.ended:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """The parser is inside a request from here on."""
        self.receiving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Of several requests that came at once, the last says ``Connection: close``."""
        before = self.cycle
        super().on_headers_complete()
        if self.leaving and self.cycle is not None and self.cycle is not before:
            self._make_last(self.cycle)

    def on_message_complete(self) -> None:
        """The parser has the whole of it."""
        self.receiving = False
        super().on_message_complete()

    def is_busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return self.receiving or (self.cycle is not None and not self.cycle.response_complete)

    def _make_last(self, cycle: RequestResponseCycle) -> None:
        earlier, self._last = self._last, cycle
        if earlier is not None and not earlier.response_started:
            earlier.keep_alive = True
        cycle.keep_alive = False

    def _end(self) -> None:
        """End an idle connection."""
        if self.ended or self.transport.is_closing() or self.is_busy():
            return
        if _unread_bytes(self.transport.get_extra_info("socket").fileno()):
            self.loop.call_later(PATIENCE_S, self._end)  # the loop reads it first
            return
        self.part()

    def part(self) -> None:
        """End our side: the caller was told, or has read all that it asked for."""
        self.ended = True
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _unread_bytes(fd: int) -> int:
    """What the kernel has received and this process has not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return int(count)

"""Requests that offer to go on in another protocol are answered in this one, body and all.

Java's HTTP client offers HTTP/2 (``Upgrade: h2c``) with each request on a connection without TLS. A server may pass the
offer over (RFC 9110, 7.8); httptools ends the message behind the head instead, whatever body follows.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFER = frozenset({b"upgrade", b"http2-settings"})


class StayingProtocol(HttpToolsProtocol):
    """Uvicorn's connection, which takes up no offer but a WebSocket where one is served."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)  # type: ignore[assignment]  # as much of a parser as uvicorn asks for

    def on_headers_complete(self) -> None:
        """A head with an offer is read once more, without it, before anything is answered."""
        if not self.is_offer():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The parser is behind such a head, and takes it for the whole message."""
        if not self.is_offer():
            super().on_message_complete()

    def is_offer(self) -> bool:
        """Whether the head that was read offers a protocol that is not spoken here."""
        is_asked = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        return is_asked and not self._should_upgrade()

    def head_without_offer(self) -> bytes:
        """The head that was read, as if it offered nothing."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name not in _OFFER]
        return b"\r\n".join([*lines, b"", b""])


class _Parser:
    """Httptools' parser, which goes on behind an offer."""

    def __init__(self, protocol: StayingProtocol) -> None:
        self._protocol = protocol
        self._begin()

    def _begin(self) -> None:
        """Read with a new parser, set as uvicorn sets its own.

        One that read a head that does not keep the connection would pass over everything behind it.
        """
        parser = httptools.HttpRequestParser(self._protocol)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parser = parser
        self.get_http_version = parser.get_http_version
        self.get_method = parser.get_method
        self.should_keep_alive = parser.should_keep_alive
        self.should_upgrade = parser.should_upgrade

    def feed_data(self, data: bytes) -> None:
        """Read on.

        Raises:
            httptools.HttpParserError: It is not HTTP.
            httptools.HttpParserUpgrade: The offer is taken up, or is none (``CONNECT``).
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._protocol.is_offer():
                    raise
                data = self._protocol.head_without_offer() + data[offer.args[0] :]
                self._begin()
            else:
                return

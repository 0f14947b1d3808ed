"""JSON bodies of requests, and what is told of those that are none, whatever is wrong with them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a body: malformed or of another shape, not UTF-8, nested too deeply."""


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is read as JSON; Litestar itself knows of malformed ones alone."""

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            ClientException: It is none.
        """
        try:
            return await super().json()
        except UNREADABLE as exc:
            raise ClientException(f"the body is not JSON: {why(exc)}") from exc


def why(error: Exception) -> str:
    """What keeps a body from being read; without the place of a byte that is no UTF-8, which msgspec does not know."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8, a text in it has the byte {error.object[error.start]:#04x}; send JSON in UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)

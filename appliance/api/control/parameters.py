"""Query parameters that a route does not have are refused: one that is misspelled would change nothing, unseen."""

from __future__ import annotations

import difflib
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter


async def require_known(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass whose query parameters its route has; a guard, to stand behind the one that asks for a key.

    Raises:
        ValidationException: It has others; names each, the one that may have been meant, and those that there are.
    """
    if connection.scope.get("method") == "OPTIONS":
        return  # a browser asks about the address as it will be sent, before it sends it
    known = query_parameters(handler)
    if strangers := [name for name in dict.fromkeys(connection.query_params) if name not in known]:
        takes = f"the query parameters {', '.join(known)}" if known else "no query parameters"
        raise ValidationException(f"{', '.join(_told(name, known) for name in strangers)}; this path takes {takes}")


def query_parameters(handler: BaseRouteHandler) -> tuple[str, ...]:
    """The query parameters of a route, as its function declares them."""
    found = []
    for name, field in handler.parsed_fn_signature.parameters.items():
        declared = field.kwarg_definition
        if isinstance(declared, QueryParameter):
            found.append(declared.name or name)
    return tuple(found)


def _told(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no query parameter {name[:100]!r}" + (f" (did you mean {close[0]!r}?)" if close else "")

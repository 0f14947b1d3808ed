"""What HTTP itself can be asked wrongly, beside ``appliance.errors``.

RequestError
├── NoSuchRoute         no such path
├── MethodNotAllowed    the path has no such method
├── BadJson             the body is not JSON, or not an object of the right shape
├── BadField            one member of the body is missing or wrong
├── BodyTooLarge        more bytes than max_body_bytes
├── BodyTooSlow         the body did not arrive in time
├── NoKey               no API key, or one that opens nothing
├── WrongScope          the key is good, but not for this
└── ClientGone          the caller hung up; nobody reads an answer
"""

from __future__ import annotations


class RequestError(Exception):
    """A request that cannot be answered as it is."""


class NoSuchRoute(RequestError):
    """No such path."""


class MethodNotAllowed(RequestError):
    """The path has no such method.

    Attributes:
        allowed: The methods it has.
    """

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(f"this path takes {' or '.join(allowed)}, not {method}")


class BadJson(RequestError):
    """The body is not JSON, or not an object of the right shape."""


class BadField(RequestError):
    """One member of the body is missing or wrong.

    Attributes:
        field: Its path in the body.
        found: What was there.
        accepted: What would be right.
    """

    def __init__(self, *, field: str, found: str, accepted: str) -> None:
        self.field = field
        self.found = found
        self.accepted = accepted
        super().__init__(f"field {field!r}: {found}; accepted: {accepted}")


class BodyTooLarge(RequestError):
    """The body is larger than ``max_body_bytes``."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class NoKey(RequestError):
    """No API key, or one that opens nothing."""


class WrongScope(RequestError):
    """The key is good, but not for this."""


class ClientGone(RequestError):
    """The caller hung up."""

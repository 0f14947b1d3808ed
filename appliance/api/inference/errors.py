"""What HTTP itself can be asked wrongly, beside ``appliance.errors``.

RequestError
├── NoSuchRoute         no such path
├── MethodNotAllowed    the path has no such method
├── BadJson             the body is not JSON, or not an object of the right shape
├── BadField            one member of the body is missing or wrong
├── HeadTooLarge        the head has too many bytes
├── HeadTooSlow         the head did not arrive in time
├── BodyTooLarge        more bytes than max_body_bytes
├── BodyTooSlow         the body did not arrive in time
├── BadCsv              the body is not a CSV table
├── UnknownMediaType    the body is of a kind that this path does not read
├── TooManyRows         more rows than max_rows
├── TooManyInFlight     more requests at once than max_in_flight
├── TooManyRequests     more requests of one key than key_rate_per_s
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


class HeadTooLarge(RequestError):
    """The request line and the headers have too many bytes."""


class HeadTooSlow(RequestError):
    """The request line and the headers did not arrive in time."""


class BodyTooLarge(RequestError):
    """The body is larger than ``max_body_bytes``."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class BadCsv(RequestError):
    """The body is not a CSV table with a header row."""


class UnknownMediaType(RequestError):
    """The body is of a kind that this path does not read."""


class TooManyRows(RequestError):
    """The request has more rows than ``max_rows``."""


class TooManyInFlight(RequestError):
    """More requests at once than ``max_in_flight``."""


class TooManyRequests(RequestError):
    """One key sent more requests than ``key_rate_per_s``.

    Attributes:
        retry_after_s: Whole seconds until the next one is taken.
    """

    def __init__(self, rate_per_s: float, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            f"this key may send {rate_per_s:g} requests a second (setting key_rate_per_s); "
            f"send it again in {retry_after_s} s"
        )


class NoKey(RequestError):
    """No API key, or one that opens nothing."""


class WrongScope(RequestError):
    """The key is good, but not for this."""


class ClientGone(RequestError):
    """The caller hung up."""

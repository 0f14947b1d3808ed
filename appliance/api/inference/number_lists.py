"""Long lists of numbers in JSON, read into float64 without a Python object a number.

A list of 28,000 numbers costs msgspec 0.9 ms and simdjson 0.5, of which the objects are the difference. Whatever is
not such a list (null, text, lists of unequal lengths, broken JSON) is left to the ordinary decoders, which also say
what is wrong with it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import simdjson

LARGE_BYTES = 16 << 10
"""Bodies from this size on are tried as long lists of numbers first."""

KEPT_BYTES = 4 << 20
"""Documents up to which a thread keeps its parser, whose memory is five times the largest it has read."""

_kept = threading.local()


class NumberDocument:
    """A JSON object; read what is wanted of it before the same thread opens the next.

    A list inside a row of numbers is not seen when the numbers are taken, only flattened: compare ``lists`` with how
    many there should be.

    Attributes:
        lists: Opening brackets in the text; at least as many as it has lists.
    """

    def __init__(self, found: simdjson.Object, lists: int) -> None:
        self._found = found
        self.lists = lists

    def get(self, *path: str | int) -> Any:
        """A member that is not a list of numbers, as Python has it; None when it is absent."""
        found = self._walk(path)
        if hasattr(found, "as_dict"):
            return found.as_dict()
        return found.as_list() if hasattr(found, "as_list") else found

    def members(self, *path: str | int) -> list[str]:
        """The names in an object."""
        found = self._walk(path)
        return list(found.keys()) if hasattr(found, "keys") else []

    def length(self, *path: str | int) -> int:
        """How many a list has; 0 for what is no list."""
        found = self._walk(path)
        return len(found) if hasattr(found, "as_buffer") else 0

    def flat(self, *path: str | int) -> NDArray[np.float64] | None:
        """A list of numbers, one-dimensional; None when it is another thing."""
        found = self._walk(path)
        if not hasattr(found, "as_buffer") or not len(found) or hasattr(found[0], "as_buffer"):
            return None
        return _numbers(found, len(found))

    def matrix(self, *path: str | int) -> NDArray[np.float64] | None:
        """A list of lists of numbers of one length, ``(rows, columns)``; None when it is another thing."""
        found = self._walk(path)
        if not hasattr(found, "as_buffer") or not len(found) or not hasattr(found[0], "as_buffer"):
            return None
        try:
            widths = set(map(len, found))
        except TypeError:
            return None
        width = widths.pop()
        if widths or not width:
            return None
        numbers = _numbers(found, len(found) * width)
        return None if numbers is None else numbers.reshape(-1, width)

    def _walk(self, path: tuple[str | int, ...]) -> Any:
        found: Any = self._found
        try:
            for step in path:
                found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
        return found


def open_document(body: bytes) -> NumberDocument | None:
    """A JSON object; None when it is no JSON, or another thing."""
    import simdjson  # noqa: PLC0415  (5 MB that a process without large requests need not carry)

    parser = getattr(_kept, "parser", None)
    if parser is None or len(body) > KEPT_BYTES:
        parser = simdjson.Parser()
        if len(body) <= KEPT_BYTES:
            _kept.parser = parser
    try:
        found = parser.parse(body)
    except (ValueError, RuntimeError):  # the second: a document of it is still held
        return None
    return NumberDocument(found, body.count(b"[")) if isinstance(found, simdjson.Object) else None


def _numbers(found: simdjson.Array, count: int) -> NDArray[np.float64] | None:
    """The numbers of a list, or of the lists in it, whatever their depth; None unless they are so many."""
    try:
        buffer = found.as_buffer(of_type="d")
    except (TypeError, ValueError):
        return None
    numbers = np.frombuffer(buffer, dtype=np.float64)
    return numbers if len(numbers) == count else None

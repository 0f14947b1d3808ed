"""Prediction ids that prove themselves: whether an id was ours is known without looking it up.

A token is 32 hex digits of a UUIDv7, the number of rows, and a keyed tag: ``HEX-ROWS-TAG``. Prediction i of the request
has the id ``TOKEN.i``.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from hmac import compare_digest

_HEX_DIGITS = 32
_TAG_BYTES = 8


def issue(secret: bytes, model: str, at_us: int, n: int) -> str:
    """A new token for a request of ``n`` rows.

    Args:
        secret: The appliance's own 32 bytes.
        model: Who answered.
        at_us: Microseconds since 1970, UTC; the id sorts by its milliseconds.
        n: Rows of the request.
    """
    number = (at_us // 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    stem = f"{number:032x}-{n}"
    return f"{stem}-{_tag(secret, model, stem)}"


def is_known(secret: bytes, model: str, prediction_id: str) -> bool:
    """Whether this appliance issued that prediction id for that model."""
    token, dot, row = prediction_id.rpartition(".")
    stem, _, tag = token.rpartition("-")
    digits, dash, rows = stem.partition("-")
    if not (dot and dash and len(digits) == _HEX_DIGITS and _is_count(row) and _is_count(rows)):
        return False
    if int(row) >= int(rows) or not tag.isascii():
        return False
    return compare_digest(tag, _tag(secret, model, stem))


def request_id(token: str) -> str:
    """The token's UUIDv7 in its usual dashed form."""
    return f"{token[:8]}-{token[8:12]}-{token[12:16]}-{token[16:20]}-{token[20:32]}"


def _is_count(text: str) -> bool:
    """A number as we write it, so that no two texts name one prediction."""
    return text.isascii() and text.isdigit() and len(text) <= 9 and (text == "0" or text[0] != "0")


def _tag(secret: bytes, model: str, stem: str) -> str:
    return blake2b(f"{stem}{model}".encode(), key=secret, digest_size=_TAG_BYTES).hexdigest()

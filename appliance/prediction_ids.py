"""Prediction ids that prove themselves: whether an id was ours is known without looking it up.

A token is 32 hex digits of a UUIDv7, the number of rows, and a keyed tag: ``HEX-ROWS-TAG``. Prediction i of the request
has the id ``TOKEN.i``.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from random import Random

_HEX_DIGITS = 32
_TAG_BYTES = 8
_VERSION_AND_VARIANT = 0x7 << 76 | 0x2 << 62
_RANDOM_BITS = (1 << 80) - 1 ^ (0xF << 76) ^ (0x3 << 62)
_random = Random()  # noqa: S311  (seeded by the system; an id must be unique, its tag is what cannot be guessed)


def issue(secret: bytes, model: str, at_us: int, n: int) -> str:
    """A new token for a request of ``n`` rows.

    Args:
        secret: The appliance's own 32 bytes.
        model: Who answered.
        at_us: Microseconds since 1970, UTC; the id sorts by its milliseconds.
        n: Rows of the request.
    """
    number = (at_us // 1000) << 80 | _random.getrandbits(80) & _RANDOM_BITS | _VERSION_AND_VARIANT
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
    tag = _keyed(secret).copy()
    tag.update(f"{stem}{model}".encode())
    return tag.hexdigest()


@lru_cache(maxsize=4)
def _keyed(secret: bytes) -> blake2b:
    """The hash before its first byte: keying it costs a block of its own."""
    return blake2b(key=secret, digest_size=_TAG_BYTES)

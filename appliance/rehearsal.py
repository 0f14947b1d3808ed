"""Rehearsals: requests that the appliance sends itself after a deployment, answered as any other, recorded nowhere.

The header proves that the body is the appliance's own, so that no caller can ask without leaving a trace.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

HEADER = "x-appliance-rehearsal"
_TAG_BYTES = 16


def sign(secret: bytes, body: bytes) -> str:
    """The header's value for a body, in hex."""
    return blake2b(body, key=secret[:64], digest_size=_TAG_BYTES, person=b"rehearsal").hexdigest()


def is_signed(secret: bytes, body: bytes, value: bytes) -> bool:
    """Whether the header's value belongs to the body."""
    return bool(secret) and compare_digest(value, sign(secret, body).encode())

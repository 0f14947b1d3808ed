"""Figures that are kept beside the state they were worked out of, so that a look need not work them out again.

They are worth nothing without that state: a stamp says what each was made of, and a file that is missing, torn, broken
or of another stamp is as good as none. So nobody waits for the disk, a full one is no error, and no backup has them.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from storage.eventlog import free_bytes

ROOM_LEFT_BYTES = 512 << 20
"""Nothing is kept on a disk with less room: what must be written comes first."""
LEFT_S = 86_400
"""No process takes so long to write a file."""
_DIGEST_BYTES = 16


def stamp_of(*facts: object) -> bytes:
    """Sixteen bytes that differ when a fact does; facts are what msgspec writes (texts, numbers, bytes, sequences)."""
    return hashlib.blake2b(msgspec.msgpack.encode(facts), digest_size=_DIGEST_BYTES).digest()


def read_kept(path: Path, stamp: bytes) -> memoryview | None:
    """What was kept under that stamp; None when it was not, or cannot be read as it was written.

    A view, since a day of labels is large: nothing is copied.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
    if body[: len(stamp)] != stamp or _digest(body) != digest:
        return None
    return body[len(stamp) :]


def is_kept(path: Path, stamp: bytes) -> bool:
    """Whether something was kept under that stamp; it may be broken all the same."""
    try:
        with path.open("rb") as file:
            return file.read(_DIGEST_BYTES + len(stamp))[_DIGEST_BYTES:] == stamp
    except OSError:
        return False


def keep(path: Path, stamp: bytes, content: bytes | memoryview) -> bool:
    """Keep something in place of what was there; readers see one or the other. False where it cannot be written.

    Any process may: what two of them keep under one stamp is the same.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if free_bytes(path.parent) < ROOM_LEFT_BYTES + len(content):
            return False
        with open(half, "wb", opener=lambda name, flags: os.open(name, flags, 0o640)) as file:
            file.writelines((_digest(stamp, content), stamp, content))
        half.replace(path)
    except OSError:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        return False
    return True


def forget_days(figures: Path, *, before: int) -> None:
    """Remove what is kept of days before that (since 1970), and what a killed process left half-written.

    Rows of such a day that were replayed since are there; what is worked out of them is worked out again.
    """
    for path in figures.glob("*/*/*"):
        day = re.fullmatch(r"(-?\d+)(-shadow)?\.(rows|cells|counts)", path.name)
        if int(day[1]) < before if day else _is_left(path):
            path.unlink(missing_ok=True)
    for path in figures.glob("*/.*"):
        if _is_left(path):
            path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    return path.name.startswith(".") and _is_older(path, time.time() - LEFT_S)


def _is_older(path: Path, moment_s: float) -> bool:
    try:
        return path.stat().st_mtime < moment_s
    except OSError:
        return False


def _digest(*parts: bytes | memoryview) -> bytes:
    """Of all parts, as if they were one."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()

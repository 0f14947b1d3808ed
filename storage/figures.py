"""Figures that are kept beside the state they were worked out of, so that a look need not work them out again.

They are worth nothing without that state: a stamp says what each was made of, and a file that is missing, torn, broken
or of another stamp is as good as none. So nobody waits for the disk, a full one is no error, and no backup has them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from storage.eventlog import free_bytes

ROOM_LEFT_BYTES = 512 << 20
"""Nothing is kept on a disk with less room: what must be written comes first."""
_DIGEST_BYTES = 16


def stamp_of(*facts: object) -> bytes:
    """Sixteen bytes that differ when a fact does; facts are what msgspec writes (texts, numbers, bytes, sequences)."""
    return hashlib.blake2b(msgspec.msgpack.encode(facts), digest_size=_DIGEST_BYTES).digest()


def read_kept(path: Path, stamp: bytes) -> bytes | None:
    """What was kept under that stamp; None when it was not, or cannot be read as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
    if body[: len(stamp)] != stamp or _digest(body) != digest:
        return None
    return bytes(body[len(stamp) :])


def keep(path: Path, stamp: bytes, content: bytes) -> bool:
    """Keep something in place of what was there; readers see one or the other. False where it cannot be written.

    Any process may: what two of them keep under one stamp is the same.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    body = stamp + content
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if free_bytes(path.parent) < ROOM_LEFT_BYTES + len(body):
            return False
        half.write_bytes(_digest(memoryview(body)) + body)
        half.replace(path)
    except OSError:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        return False
    return True


def forget_kept(folder: Path) -> None:
    """Remove a folder of kept figures; what is asked for again is worked out again."""
    shutil.rmtree(folder, ignore_errors=True)


def _digest(body: memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()

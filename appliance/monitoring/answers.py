"""Answers that are kept: what was worked out of some labelled rows, until a label of them comes, changes or goes.

An area under a curve, a median or a resampled interval is no sum of its parts, so the whole answer is kept, beside a
stamp of everything that it depends on. Equal stamps mean equal rows, so what is read back is what would be worked out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from storage.figures import keep, read_kept, stamp_of

T = TypeVar("T")
MOST = 10_000
"""Answers of one file; those that nobody asked for longest go first."""
_WORKED_OUT_BY = ("monitoring/*.py", "training/evaluate.py")
"""The programs whose results are kept: an upgrade that changes one of them makes the answers anew."""


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    stamp: bytes
    content: bytes


_Answers = dict[str, _Answer]


class Answers:
    """The answers of one file; of one look, not shared by threads.

    Two processes that save at once leave one's answers; the other's are worked out again when they are asked for.
    """

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self._path = path
        self._most = most
        kept = read_kept(path, program_stamp())
        self._found: _Answers = {} if kept is None else msgspec.msgpack.decode(kept, type=_Answers)
        self._used: _Answers = {}
        self._changed = False

    def find(self, key: str, stamp: bytes, kind: type[T]) -> T | None:
        """The answer of that stamp, or None."""
        answer = self._found.get(key)
        if answer is None or answer.stamp != stamp:
            return None
        self._used[key] = answer
        return msgspec.msgpack.decode(answer.content, type=kind)

    def put(self, key: str, stamp: bytes, value: object) -> None:
        """Take an answer in, in place of an earlier one."""
        self._used[key] = _Answer(stamp, msgspec.msgpack.encode(value))
        self._changed = True

    def save(self) -> None:
        """Keep what was put; those asked for last stand last and stay longest."""
        if self._changed:
            rest = {key: answer for key, answer in self._found.items() if key not in self._used}
            together = list((rest | self._used).items())[-self._most :]
            keep(self._path, program_stamp(), msgspec.msgpack.encode(dict(together)))


@cache
def program_stamp() -> bytes:
    """Differs when a program that works answers out does."""
    here = Path(__file__).parents[1]
    files = sorted(file for pattern in _WORKED_OUT_BY for file in here.glob(pattern))
    return stamp_of(np.__version__, *(file.read_bytes() for file in files))

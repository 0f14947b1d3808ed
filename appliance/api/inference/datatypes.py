"""Datatypes of the Open Inference Protocol: how each lies in bytes, and which of JSON's values it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TEXT = "BYTES"

DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""NumPy's name of each that holds numbers."""

DATATYPES = frozenset(DTYPES) | {TEXT}
_WHOLE = frozenset({int, bool})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """The values of a datatype lie between ``above`` and ``below``, neither of which is one."""

    above: int
    below: int
    whole: bool
    accepted: str

    def holds(self, value: object) -> bool:
        """Whether a value of JSON is one of them, or null; exact however large a whole number is."""
        if value is None:
            return True
        if not isinstance(value, int | float) or not self.above < value < self.below:
            return False
        return not self.whole or value == int(value)

    def holds_all(self, values: Sequence[float | None]) -> bool:
        """Whether all numbers are, nulls aside; the same, several times as fast."""
        known = [value for value in values if value is not None] if None in values else values
        if known and not (self.above < min(known) and max(known) < self.below):  # type: ignore[type-var,operator]
            return False
        return not self.whole or _WHOLE.issuperset(map(type, known)) or all(map(self.holds, known))

    def holds_array(self, numbers: Matrix) -> bool:
        """Whether all are; also False where float64 cannot tell."""
        if not (float(self.above) < numbers.min() and numbers.max() < float(self.below)):
            return False
        return not self.whole or bool((np.floor(numbers) == numbers).all())


def _range(name: str) -> _Range:
    dtype = np.dtype(DTYPES[name])
    if dtype.kind == "b":
        return _Range(above=-1, below=2, whole=True, accepted="true or false")
    if dtype.kind == "f":
        bits = np.finfo(dtype)
        # A number is rounded to the nearest; half a step beyond the greatest there is none any more.
        below = int(bits.max) + 2 ** (bits.maxexp - bits.nmant - 2)
        greatest = f"{float(bits.max):.8g}"
        told = f"{name} values, numbers from -{greatest} to {greatest}"
        return _Range(above=-below, below=below, whole=False, accepted=told)
    bounds = np.iinfo(dtype)
    told = f"{name} values, whole numbers from {bounds.min} to {bounds.max}"
    return _Range(above=int(bounds.min) - 1, below=int(bounds.max) + 1, whole=True, accepted=told)


_RANGES = {name: _range(name) for name in DTYPES}


def accepted_values(datatype: str) -> str:
    """What a tensor of a datatype may hold, in a person's words."""
    return f"{'strings' if datatype == TEXT else _RANGES[datatype].accepted}, or null"


def find_misfit(datatype: str, values: Sequence[object]) -> int | None:
    """The place of the first value of JSON that a datatype does not hold; None where it holds all."""
    if datatype == TEXT:
        return next((at for at, value in enumerate(values) if not (value is None or isinstance(value, str))), None)
    holds = _RANGES[datatype].holds
    return next((at for at, value in enumerate(values) if not holds(value)), None)


def holds_all(datatype: str, values: Sequence[float | None]) -> bool:
    """Whether a datatype holds all numbers of JSON, nulls aside, at one look; an FP64 is not looked at."""
    return datatype == "FP64" or _RANGES[datatype].holds_all(values)


def surely_holds(datatype: str, numbers: Matrix) -> bool:
    """Whether a datatype holds all numbers, at one look; False where ``find_misfit`` has to say.

    An FP64 holds every float64; what is no datatype holds nothing.
    """
    return datatype == "FP64" or (datatype in _RANGES and _RANGES[datatype].holds_array(numbers))

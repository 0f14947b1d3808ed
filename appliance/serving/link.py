"""From raw scores to outputs: what LightGBM's objectives make of the sum of a row's trees.

LightGBM is asked for the raw scores alone, and the last step is done here, with the same operations on the same
float64: one walk through the trees gives both, and the bits are LightGBM's (src/objective/*.hpp, ``ConvertOutput``).
The golden rows of each bundle prove it when it is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

Link = Callable[[Sequence[float]], list[float]]
"""Raw scores, flat and row-major ``rows * outputs``, to outputs of the same shape."""


def find_link(text: bytes) -> Link | None:
    """The link of a model's objective; None when LightGBM has to apply its own.

    Args:
        text: The model, as LightGBM writes it.
    """
    line = next((line for line in text[:4096].splitlines() if line.startswith(b"objective=")), b"objective=")
    name, *options = line.decode(errors="replace").removeprefix("objective=").split() or [""]
    found = dict(option.split(":", 1) for option in options if ":" in option)
    try:
        if name in {"binary", "multiclassova"}:
            return partial(sigmoid, steepness=float(found["sigmoid"]))
        if name == "multiclass":
            return partial(softmax, classes=int(found["num_class"]))
    except (KeyError, ValueError):
        return None
    return None


def sigmoid(raw: Sequence[float], *, steepness: float) -> list[float]:
    """``1 / (1 + exp(-steepness * raw))`` of each."""
    try:
        return [1.0 / (1.0 + math.exp(-steepness * score)) for score in raw]
    except OverflowError:  # below -709 the probability is 0, as it is in C
        return [1.0 / (1.0 + _exp(-steepness * score)) for score in raw]


def softmax(raw: Sequence[float], *, classes: int) -> list[float]:
    """The softmax of each ``classes`` neighbours."""
    found: list[float] = []
    for start in range(0, len(raw), classes):
        row = raw[start : start + classes]
        most = max(row)
        shares = [math.exp(score - most) for score in row]
        total = 0.0
        for share in shares:
            total += share
        found += [share / total for share in shares]
    return found


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf

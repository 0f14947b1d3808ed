"""Figures in sentences that people read."""

from __future__ import annotations

_LARGEST = 1e15
"""From here on a float knows no ones, and a figure is better told by its power of ten."""


def figure(value: float, *, digits: int = 4, sign: bool = False) -> str:
    """Significant digits, and all that stand before the point: 0.01235, 48.16, 17,997, not 1.8e+04.

    Args:
        value: Any float.
        digits: So many significant ones at most where there is something behind the point, 1 or more.
        sign: A plus stands before what is positive.
    """
    plus = "+" if sign else ""
    large = 10.0**digits - 0.5 <= abs(value) < _LARGEST
    return f"{value:{plus},.0f}" if large else f"{value:{plus}.{digits}g}"

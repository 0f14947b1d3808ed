"""Small drawings that are cheaper as markup than as a chart: a column's histogram, a line of traffic, a signed bar."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def histogram_html(counts: Sequence[float], *, label: str) -> str:
    """Bars of a histogram, the highest as high as the cell."""
    highest = max(counts, default=0) or 1
    bars = "".join(f'<i style="height:{max(count / highest, 0.02):.1%}"></i>' for count in counts)
    return f'<div class="hist" role="img" aria-label="{escape(label)}" title="{escape(label)}">{bars}</div>'


def sparkline_html(values: Sequence[float], *, label: str) -> str:
    """A line with the area below it, from the first value at the left to the last at the right."""
    if not values:
        return f'<div class="spark muted small">{escape(label)}</div>'
    highest = max(values) or 1
    step = 100 / max(len(values) - 1, 1)
    points = [(i * step, 34 - value / highest * 32) for i, value in enumerate(values)]
    if len(points) == 1:
        points.append((100.0, points[0][1]))
    curve = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<svg class="spark" viewBox="0 0 100 36" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<path class="area" d="M0 36L{curve}L100 36Z"/><path class="curve" d="M{curve}"/></svg>'
    )

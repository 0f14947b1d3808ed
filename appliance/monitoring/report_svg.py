"""The report's pictures, as SVG inside the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from appliance.monitoring.drift_report import BinShare

WIDTH, HEIGHT = 220, 90
LINE_WIDTH, LINE_HEIGHT = 760, 180
COLOURS = ("#2f6fd0", "#9aa6b5", "#b7791f")
Point = tuple[datetime, float | None]


def bars_svg(bins: Sequence[BinShare], *, label: str) -> str:
    """Two bars a bin, the reference's behind the current one's."""
    highest = max((max(one.reference, one.current) for one in bins), default=0.0) or 1.0
    step = WIDTH / max(1, len(bins))
    bars = []
    for i, one in enumerate(bins):
        told = escape(f"{one.label}: {one.reference:.1%} in the reference, {one.current:.1%} now")
        for share, left, wide, colour in (
            (one.reference, 0.05, 0.9, "#c3cad3"), (one.current, 0.25, 0.5, COLOURS[0]),
        ):  # fmt: skip
            high = share / highest * HEIGHT
            bars.append(
                f'<rect x="{(i + left) * step:.1f}" y="{HEIGHT - high:.1f}" width="{wide * step:.1f}" '
                f'height="{high:.1f}" fill="{colour}"><title>{told}</title></rect>'
            )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(bars)}</svg>'
    )


def lines_svg(curves: Sequence[tuple[str, Sequence[Point]]], *, level: float | None = None) -> str:
    """Curves over time with their least and greatest value written at the side; a sentence when there is no point."""
    known = [(name, [(at, value) for at, value in points if value is not None]) for name, points in curves]
    known = [(name, points) for name, points in known if points]
    values = [value for _, points in known for _, value in points] + ([level] if level is not None and known else [])
    if not values:
        return "<p>Nothing to draw in this window.</p>"
    low, high = min(values), max(values)
    times = [at.timestamp() for _, points in known for at, _ in points]
    first, last = min(times), max(times)

    def place(at_s: float, value: float) -> str:
        x = (at_s - first) / (last - first or 1.0) * (LINE_WIDTH - 120) + 60
        return f"{x:.1f} {LINE_HEIGHT - 20 - (value - low) / (high - low or 1.0) * (LINE_HEIGHT - 40):.1f}"

    parts = [f'<text x="0" y="24">{high:.4g}</text><text x="0" y="{LINE_HEIGHT - 20}">{low:.4g}</text>']
    if level is not None:
        path = f"M{place(first, level)}L{place(last, level)}"
        parts.append(f'<path d="{path}" stroke="#3d8f6f" stroke-dasharray="5 4" fill="none"/>')
    for index, (name, points) in enumerate(known):
        colour = COLOURS[index % len(COLOURS)]
        places = [place(at.timestamp(), value) for at, value in points]
        path = "L".join(places if len(places) > 1 else places * 2)
        parts.append(f'<path d="M{path}" stroke="{colour}" fill="none" stroke-width="1.5" stroke-linecap="round"/>')
        parts.append(f'<text x="{60 + 170 * index}" y="12" fill="{colour}">{escape(name)}</text>')
    start, end = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}" for at_s in (first, last))
    parts.append(f'<text x="60" y="{LINE_HEIGHT - 4}">{start}</text>')
    parts.append(f'<text x="{LINE_WIDTH - 120}" y="{LINE_HEIGHT - 4}">{end}</text>')
    return (
        f'<svg width="{LINE_WIDTH}" height="{LINE_HEIGHT}" viewBox="0 0 {LINE_WIDTH} {LINE_HEIGHT}" role="img" '
        f'font-size="11" aria-label="over time">{"".join(parts)}</svg>'
    )

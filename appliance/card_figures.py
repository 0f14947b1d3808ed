"""The pictures of a model card: SVG drawn from the card's own data, readable in light and dark, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from appliance.figures import figure
from appliance.model_evaluation import Curve, Evaluation

WIDTH, HEIGHT = 360, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 44

_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:currentColor}.t{font-weight:600;font-size:12px}"
    ".l{fill:none;stroke:#2f6fb0;stroke-width:2}.d{stroke:currentColor;stroke-opacity:.35;stroke-dasharray:4 3}"
    ".a{stroke:currentColor;stroke-opacity:.5;fill:none}.b{fill:#2f6fb0}"
)


def draw_figures(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, str]:
    """File name without its ending to an SVG document, for what the evaluation holds."""
    found: dict[str, str] = {}
    curves = (
        ("roc", "ROC", evaluation.roc, ("false positive rate", "true positive rate")),
        ("precision_recall", "Precision and recall", evaluation.precision_recall, ("recall", "precision")),
        ("calibration", "Calibration", evaluation.calibration, ("mean probability", "share of positives")),
        ("predicted", "Prediction and truth", evaluation.predicted, ("mean prediction", "mean truth")),
    )
    for name, title, curve, axes in curves:
        if curve is not None:
            span = _common_span(curve) if name == "predicted" else (0.0, 1.0)
            found[name] = draw_line(title, curve, axes, span, diagonal=name != "precision_recall")
    for name, title, axes in (
        ("roc", "ROC of each class", ("false positive rate", "true positive rate")),
        ("precision_recall", "Precision and recall of each class", ("recall", "precision")),
        ("calibration", "Calibration of each class", ("mean probability", "share of the class")),
    ):
        several = [(one.name, curve) for one in evaluation.classes if (curve := getattr(one, name)) is not None]
        if several:
            found[name] = draw_lines(title, several, axes, diagonal=name != "precision_recall")
    if evaluation.residuals is not None:
        found["residuals"] = draw_bars("Residuals", evaluation.residuals, ("prediction - truth", "rows"))
    if evaluation.confusion:
        found["confusion"] = draw_matrix("Truth (down) by answer (across)", evaluation.confusion, classes)
    if evaluation.contributions:
        shares = [(one.column, one.share) for one in evaluation.contributions[:12]]
        found["contributions"] = draw_shares("Mean share of |SHAP|", shares)
    return found


def draw_line(title: str, curve: Curve, axes: tuple[str, str], span: tuple[float, float], *, diagonal: bool) -> str:
    """A line over axes that both go over ``span``; with a diagonal, the line x = y is dashed."""
    parts = [_axes(title, axes, span, span)]
    if diagonal:
        parts.append(_diagonal(span))
    parts.append(f'<polyline class="l" points="{_points(curve, span)}"/>')
    return _svg(title, "".join(parts), HEIGHT)


def draw_lines(title: str, curves: Sequence[tuple[str, Curve]], axes: tuple[str, str], *, diagonal: bool) -> str:
    """Named lines over axes that both go from 0 to 1, in colours that are told below."""
    span = (0.0, 1.0)
    parts = [_axes(title, axes, span, span)]
    if diagonal:
        parts.append(_diagonal(span))
    for at, (name, curve) in enumerate(curves):
        colour = f"hsl({210 + round(at * 360 / len(curves))} 55% 48%)"
        y = HEIGHT + 6 + at * 16
        parts.append(
            f'<polyline class="l" style="stroke:{colour}" points="{_points(curve, span)}"/>'
            f'<path d="M{LEFT} {y}h18" style="stroke:{colour};stroke-width:3"/>'
            f'<text x="{LEFT + 24}" y="{y + 4}">{escape(name[:40])}</text>'
        )
    return _svg(title, "".join(parts), HEIGHT + 6 + 16 * len(curves))


def _points(curve: Curve, span: tuple[float, float]) -> str:
    return " ".join(f"{_x(x, span):.1f},{_y(y, span):.1f}" for x, y in zip(curve.x, curve.y, strict=True))


def _diagonal(span: tuple[float, float]) -> str:
    low, high = span
    return (
        f'<line class="d" x1="{_x(low, span):.1f}" y1="{_y(low, span):.1f}" '
        f'x2="{_x(high, span):.1f}" y2="{_y(high, span):.1f}"/>'
    )


def draw_bars(title: str, curve: Curve, axes: tuple[str, str]) -> str:
    """A histogram: bin middles to heights."""
    step = curve.x[1] - curve.x[0] if len(curve.x) > 1 else 1.0
    x_range = (curve.x[0] - step / 2, curve.x[-1] + step / 2)
    y_range = (0.0, max(*curve.y, 1.0))
    parts = [_axes(title, axes, x_range, y_range)]
    for x, y in zip(curve.x, curve.y, strict=True):
        left, right = _x(x - step / 2, x_range), _x(x + step / 2, x_range)
        top = _y(y, y_range)
        parts.append(
            f'<rect class="b" x="{left:.1f}" y="{top:.1f}" width="{max(0.5, right - left - 1):.1f}" '
            f'height="{_y(0.0, y_range) - top:.1f}"/>'
        )
    return _svg(title, "".join(parts), HEIGHT)


def draw_matrix(title: str, counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix; a cell is darker the larger its share of its row; at most twelve classes are drawn."""
    most = min(len(counts), 12)
    side = min(44.0, (WIDTH - 110) / most)
    parts = [f'<text class="t" x="8" y="16">{escape(title)}</text>']
    for row in range(most):
        total = sum(counts[row]) or 1
        y = 44 + row * side
        parts.append(f'<text x="100" y="{y + side / 2 + 4:.1f}" text-anchor="end">{escape(names[row][:14])}</text>')
        parts.append(
            f'<text x="{108 + row * side + side / 2:.1f}" y="38" text-anchor="middle">{escape(names[row][:6])}</text>'
        )
        for column in range(most):
            count = counts[row][column]
            x = 108 + column * side
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" fill="#2f6fb0" '
                f'fill-opacity="{0.08 + 0.6 * count / total:.2f}"/>'
                f'<text x="{x + side / 2:.1f}" y="{y + side / 2 + 4:.1f}" text-anchor="middle">{count}</text>'
            )
    return _svg(title, "".join(parts), round(56 + most * side))


def draw_shares(title: str, shares: Sequence[tuple[str, float]]) -> str:
    """Named bars, the longest first."""
    longest = max((share for _, share in shares), default=0.0) or 1.0
    parts = [f'<text class="t" x="8" y="16">{escape(title)}</text>']
    for at, (name, share) in enumerate(shares):
        y = 30 + at * 20
        width = share / longest * (WIDTH - 190)
        parts.append(
            f'<text x="130" y="{y + 12}" text-anchor="end">{escape(name[:20])}</text>'
            f'<rect class="b" x="136" y="{y + 2}" width="{width:.1f}" height="13"/>'
            f'<text x="{140 + width:.1f}" y="{y + 12}">{share:.1%}</text>'
        )
    return _svg(title, "".join(parts), 36 + 20 * len(shares))


def _svg(title: str, content: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" color="#333"><style>{_STYLE}</style>{content}</svg>'
    )


def _axes(title: str, axes: tuple[str, str], x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    parts = [
        f'<text class="t" x="8" y="16">{escape(title)}</text>',
        f'<path class="a" d="M{left} {top}V{bottom}H{right}"/>',
        f'<text x="{(left + right) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(axes[0])}</text>',
        f'<text transform="translate(12 {(top + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(axes[1])}</text>",
    ]
    for at in range(3):
        x = x_range[0] + (x_range[1] - x_range[0]) * at / 2
        y = y_range[0] + (y_range[1] - y_range[0]) * at / 2
        anchor = ("start", "middle", "end")[at]
        parts.append(f'<text x="{_x(x, x_range):.1f}" y="{bottom + 14}" text-anchor="{anchor}">{figure(x)}</text>')
        parts.append(f'<text x="{left - 4}" y="{_y(y, y_range) + 4:.1f}" text-anchor="end">{figure(y)}</text>')
    return "".join(parts)


def _common_span(curve: Curve) -> tuple[float, float]:
    low, high = min(*curve.x, *curve.y), max(*curve.x, *curve.y)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _x(value: float, span: tuple[float, float]) -> float:
    return LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, span: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)

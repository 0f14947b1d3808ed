"""Quality: how right the predictions were, once labels came, beside the training and the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.deployments import Deployment
from appliance.monitoring.quality_report import QualityPoint, QualityReport, QualitySeries, SegmentReport
from ui.components.chart import Chart, Line, lines
from ui.components.empty import empty
from ui.components.form import figure, segmented
from ui.components.markup import box, panel, text
from ui.components.snippet import snippet
from ui.components.status import badge, notice
from ui.page import View
from ui.pages.deploy_markers import markers_of
from ui.pages.fairness_panel import show_fairness
from ui.pages.version_figures import show_versions_beside
from ui.pages.window_line import window_line
from ui.words import metric, number, plain, seconds, share

_DAY_S = 86_400
_POINTS = 120
"""Buckets are as wide as it takes to stay near this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    report: QualityReport
    series: QualitySeries
    history: tuple[Deployment, ...]
    fairness: tuple[SegmentReport, ...]

    @property
    def current(self) -> tuple[Deployment, ...]:
        return tuple(one for one in self.history if one.ended_at is None)


async def show_quality(view: View, name: str, window_s: int) -> None:
    """Fill the tab."""
    monitoring = view.appliance.monitoring
    bucket_s = bucket_for(window_s)

    def fetch() -> _Found:
        return _Found(
            report=monitoring.quality(name, window_s),
            series=monitoring.quality_series(name, window_s, bucket_s=bucket_s),
            history=view.appliance.deployments.history(name),
            fairness=monitoring.fairness(name, window_s),
        )

    span = view.query.get("window", "")
    chosen = view.query.get("metric", "")

    def address(key: str) -> str:
        return f"/monitoring/{name}?tab=quality&metric={key}" + (f"&window={span}" if span else "")

    await view.live(10.0, fetch, lambda found: _show(view, found, chosen, address))


def bucket_for(window_s: int) -> int:
    """Seconds a bucket: an hour for short windows, a day for longer ones, a week for years."""
    widths = (3_600, _DAY_S, 7 * _DAY_S)
    return next((width for width in widths if window_s / width <= _POINTS), 28 * _DAY_S)


def _show(view: View, found: _Found, chosen: str, address: Callable[[str], str]) -> None:
    report = found.report
    if not report.labelled:
        _estimate_panel(report)
        _no_labels(view, report)
        return
    with panel(), box("stack"):
        with box("line"):
            badge(report.state.value)
            text(plain(report.sentence), "grow")
        with box("figures"):
            for name, value in report.metrics.items():
                low, high = report.intervals.get(name, (None, None))
                parts = [] if low is None or high is None else [f"{number(low)} to {number(high)}"]
                parts += [f"training {number(report.reference[name])}"] if name in report.reference else []
                parts += [f"baseline {number(report.baseline[name])}"] if name in report.baseline else []
                figure(metric(name), number(value), note=", ".join(parts))
            figure("Labelled", share(report.coverage), note=f"{number(report.labelled)} of {number(report.predicted)}")
            figure("Label delay", seconds(report.delay_p50_s), note=f"19 of 20 within {seconds(report.delay_p95_s)}")
    window_line(report.window, what="Predictions")
    if not report.mature:
        notice(
            f"{share(report.coverage)} of these predictions have a label; from 90 % on the figures count as settled.",
            tone="warn", title="Labels are still coming",
        )  # fmt: skip
    if report.selection:
        notice(plain(report.selection), tone="warn", title="The labelled predictions are not like the others")
    _estimate_panel(report)
    _series(found, chosen, address)
    show_fairness(found.fairness)
    show_versions_beside(current=found.current, quality=report)


def _series(found: _Found, chosen: str, address: Callable[[str], str]) -> None:
    series, names = found.series, list(found.report.metrics)
    shown = chosen if chosen in names else names[0]
    points = series.points
    marks, span = markers_of(found.history), (found.report.window.start, found.report.window.end)
    with panel(f"{metric(shown)} over time", f"by {_width(series.bucket_s)} of event time"):
        segmented([(name, metric(name)) for name in names], shown, address, label="Metric")
        curves = [Line(name="labelled predictions", points=[(p.at, p.metrics.get(shown)) for p in points])]
        curves += _estimated(points, shown)
        ends = (points[0].at, points[-1].at) if points else ()
        for label, level, colour in (
            ("training holdout", series.reference.get(shown), "var(--series-5)"),
            ("baseline", series.baseline.get(shown), "var(--series-2)"),
        ):
            if level is not None and ends:
                curves.append(Line(name=label, points=[(at, level) for at in ends], colour=colour, dashed=True))
        Chart(
            lines(curves, y_unit=metric(shown), span=span, markers=marks),
            size="l",
            label=f"{metric(shown)} over time beside training and baseline",
        )
    with panel("Share of predictions with a label", f"by {_width(series.bucket_s)} of event time"):
        coverage = [Line(name="labelled", points=[(p.at, round(p.coverage * 100, 1)) for p in points], area=True)]
        options = lines(coverage, y_unit="% of predictions", span=span, markers=marks)
        options["yAxis"] |= {"min": 0, "max": 100, "scale": False}
        Chart(options, size="s", label="Share of predictions with a label over time")


def _estimated(points: Sequence[QualityPoint], shown: str) -> list[Line]:
    """What was expected before the labels; nothing where the metric cannot be expected."""
    expected = [(p.at, p.estimate.get(shown)) for p in points]
    if all(value is None for _, value in expected):
        return []
    return [Line(name="estimate, without labels", points=expected, colour="var(--series-3)", dashed=True)]


def _estimate_panel(report: QualityReport) -> None:
    estimate = report.estimate
    if estimate is None or not estimate.metrics:
        return
    with (
        panel("Estimated without labels", "from how sure the answers are; blind to a change of the truth itself"),
        box("figures"),
    ):
        for name, value in estimate.metrics.items():
            off = estimate.past_error.get(name)
            note = "its error is not known yet" if off is None else f"was off by {number(off)} where labels came"
            figure(metric(name), number(value), note=note)


def _width(bucket_s: int) -> str:
    return {3_600: "hour", _DAY_S: "day", 7 * _DAY_S: "week", 28 * _DAY_S: "four weeks"}.get(
        bucket_s, seconds(bucket_s)
    )


def _no_labels(view: View, report: QualityReport) -> None:
    empty(
        "No labels in this window",
        f"{number(report.predicted)} predictions wait for the truth. Send it under the id that came with each "
        "prediction; the metrics appear here within seconds.",
        icon_name="fact_check",
    )
    snippet(
        f"curl -s {view.appliance.settings.api_url}/models/{report.model}/labels \\\n"
        '  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n'
        '  -d \'{"labels": [{"id": "ID OF A PREDICTION", "label": 12.5}]}\''
    )

"""Quality: how right the predictions were, once labels came, beside the training and the baseline."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.deployments import Deployment
from appliance.errors import BundleRefused, NotFound
from appliance.monitoring.quality_report import QualityPoint, QualityReport, QualitySeries
from ui.components.chart import Chart, Line, lines
from ui.components.empty import empty
from ui.components.form import figure, segmented
from ui.components.markup import box, panel, text
from ui.components.snippet import snippet
from ui.components.status import badge, notice
from ui.page import View
from ui.pages.class_panel import show_classes
from ui.pages.closer import LEAST_EVENTS_S, Point, closer, opener, show_points, until_part
from ui.pages.deploy_markers import markers_of
from ui.pages.version_figures import show_versions_beside
from ui.pages.window_line import window_line
from ui.texts import _, ngettext
from ui.words import NONE, metric, number, plain, seconds, share

_DAY_S = 86_400
_POINTS = 120
"""Buckets are as wide as it takes to stay near this many."""
_MEASURED = "var(--series-1)"
"""The colour of what labels say, settled or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    report: QualityReport
    series: QualitySeries
    history: tuple[Deployment, ...]
    example: str
    """A label that the model may get, as JSON; empty where there are labels."""

    @property
    def current(self) -> tuple[Deployment, ...]:
        return tuple(one for one in self.history if one.ended_at is None)


async def show_quality(view: View, name: str, window_s: int, until: datetime | None = None) -> None:
    """Fill the tab."""
    monitoring = view.appliance.monitoring
    bucket_s = bucket_for(window_s)

    def fetch() -> _Found:
        report = monitoring.quality(name, window_s, until=until)
        return _Found(
            report=report,
            series=monitoring.quality_series(name, window_s, bucket_s=bucket_s, until=until),
            history=view.appliance.deployments.history(name),
            example="" if report.labelled else _example_label(view, name),
        )

    span = view.query.get("window", "")
    chosen = view.query.get("metric", "")

    def address(key: str) -> str:
        return f"/monitoring/{name}?tab=quality&metric={key}" + (f"&window={span}" if span else "") + until_part(view)

    await view.live(10.0, fetch, lambda found: _show(view, found, chosen, address))


def bucket_for(window_s: int) -> int:
    """Seconds a bucket: an hour for short windows, a day for longer ones, a week for years."""
    widths = (3_600, _DAY_S, 7 * _DAY_S)
    return next((width for width in widths if window_s / width <= _POINTS), 28 * _DAY_S)


def _show(view: View, found: _Found, chosen: str, address: Callable[[str], str]) -> None:
    report = found.report
    if not report.labelled:
        _estimate_panel(report)
        _no_labels(view, report, found.example)
        return
    with panel(), box("stack"):
        with box("line"):
            badge(report.state.value)
            text(plain(report.sentence), "grow")
        with box("figures"):
            for name, value in report.metrics.items():
                figure(metric(name), number(value), note=_beside(report, name))
            figure(
                _("Labelled"),
                share(report.coverage),
                note=_("{labelled} of {predicted}").format(
                    labelled=number(report.labelled), predicted=number(report.predicted)
                ),
            )
            figure(
                _("Label delay"),
                seconds(report.delay_p50_s),
                note=_("19 of 20 within {span}").format(span=seconds(report.delay_p95_s)),
            )
    window_line(report.window, what=_("Predictions"), newest="until" not in view.query)
    if not report.mature:
        notice(
            _("{coverage} of these predictions have a label; from 90 % on the figures count as settled.").format(
                coverage=share(report.coverage)
            ),
            tone="warn",
            title=_("Labels are still coming"),
        )
    if report.selection:
        notice(plain(report.selection), tone="warn", title=_("The labelled predictions are not like the others"))
    _estimate_panel(report)
    _series(found, chosen, address)
    show_classes(report)
    show_versions_beside(current=found.current, quality=report)


def _beside(report: QualityReport, name: str) -> str:
    """What stands under a metric: its interval, what the training had, what a model that knows nothing has."""
    low, high = report.intervals.get(name, (None, None))
    parts = [] if low is None or high is None else [_("{low} to {high}").format(low=number(low), high=number(high))]
    if name in report.reference:
        parts.append(_("training {figure}").format(figure=number(report.reference[name])))
    if name in report.baseline:
        parts.append(_("baseline {figure}").format(figure=number(report.baseline[name])))
    return ", ".join(parts)


def _series(found: _Found, chosen: str, address: Callable[[str], str]) -> None:
    series, names = found.series, list(found.report.metrics)
    shown = chosen if chosen in names else names[0]
    points = series.points
    window_s = int(found.report.window.seconds)
    behind = [
        Point(
            at=p.at, figures=(number(p.metrics.get(shown)), share(p.coverage), _maturity(p)),
            address=closer(
                f"/monitoring/{found.report.model}?tab=quality&metric={shown}", p.at, series.bucket_s,
                window_s=window_s, least_s=LEAST_EVENTS_S,
            ),
        )
        for p in points
    ]  # fmt: skip
    marks, span = markers_of(found.history), (found.report.window.start, found.report.window.end)
    with panel(
        _("{metric} over time").format(metric=metric(shown)),
        _("by {span} of event time").format(span=_width(series.bucket_s)),
    ):
        segmented([(name, metric(name)) for name in names], shown, address, label=_("Metric"))
        curves = [*_labelled(points, shown), *_estimated(points, shown)]
        ends = (points[0].at, points[-1].at) if points else ()
        for label, level, colour in (
            (_("training holdout"), series.reference.get(shown), "var(--series-5)"),
            (_("baseline"), series.baseline.get(shown), "var(--series-2)"),
        ):
            if level is not None and ends:
                curves.append(Line(name=label, points=[(at, level) for at in ends], colour=colour, dashed=True))
        Chart(
            lines(curves, y_unit=metric(shown), span=span, markers=marks),
            size="l",
            label=_("{metric} over time beside training and baseline").format(metric=metric(shown)),
            on_place=opener(behind),
        )
    with panel(
        _("Share of predictions with a label"),
        _("by {span} of event time").format(span=_width(series.bucket_s)),
    ):
        coverage = [Line(name=_("labelled"), points=[(p.at, round(p.coverage * 100, 1)) for p in points], area=True)]
        options = lines(coverage, y_unit=_("% of predictions"), span=span, markers=marks)
        options["yAxis"] |= {"min": 0, "max": 100, "scale": False}
        Chart(options, size="s", label=_("Share of predictions with a label over time"), on_place=opener(behind))
    show_points(behind, (metric(shown), _("Labelled"), _("Labels")), name=f"{found.report.model}-quality")


def _labelled(points: Sequence[QualityPoint], shown: str) -> list[Line]:
    """What the labels say; where they are still coming, apart, since those figures may still turn."""
    settled = [(p.at, p.metrics.get(shown) if p.mature else None) for p in points]
    coming = [(p.at, None if p.mature else p.metrics.get(shown)) for p in points]
    lines_of = [Line(name=_("labelled predictions"), points=settled, colour=_MEASURED)]
    if any(value is not None for _at, value in coming):
        name = _("labels still coming, may turn")
        lines_of.append(Line(name=name, points=coming, colour=_MEASURED, dashed=True, hollow=True))
    return lines_of


def _maturity(point: QualityPoint) -> str:
    """Whether a bucket's figures count as settled."""
    if not point.labelled:
        return NONE
    return _("settled") if point.mature else _("still coming")


def _estimated(points: Sequence[QualityPoint], shown: str) -> list[Line]:
    """What was expected before the labels; nothing where the metric cannot be expected."""
    expected = [(p.at, p.estimate.get(shown)) for p in points]
    if all(value is None for _, value in expected):
        return []
    return [Line(name=_("estimate, without labels"), points=expected, colour="var(--series-3)", dashed=True)]


def _estimate_panel(report: QualityReport) -> None:
    estimate = report.estimate
    if estimate is None or not estimate.metrics:
        return
    with (
        panel(_("Estimated without labels"), _("from how sure the answers are; blind to a change of the truth itself")),
        box("figures"),
    ):
        for name, value in estimate.metrics.items():
            off = estimate.past_error.get(name)
            note = (
                _("its error is not known yet")
                if off is None
                else _("was off by {off} where labels came").format(off=number(off))
            )
            figure(metric(name), number(value), note=note)


def _width(bucket_s: int) -> str:
    return {3_600: _("hour"), _DAY_S: _("day"), 7 * _DAY_S: _("week"), 28 * _DAY_S: _("four weeks")}.get(
        bucket_s, seconds(bucket_s)
    )


def _example_label(view: View, name: str) -> str:
    try:
        classes = view.appliance.models.card(name).classes
    except (NotFound, BundleRefused):  # no version, so nobody has anything to label; or the alert tells of its bundle
        classes = ()
    return json.dumps(classes[0], ensure_ascii=False) if classes else "12.5"


def _no_labels(view: View, report: QualityReport, example: str) -> None:
    empty(
        _("No labels in this window"),
        ngettext(
            "{count} prediction waits for the truth. Send it under the id that came with it; the metrics appear here "
            "within seconds.",
            "{count} predictions wait for the truth. Send it under the id that came with each prediction; the metrics "
            "appear here within seconds.",
            report.predicted,
        ).format(count=number(report.predicted)),
        icon_name="fact_check",
    )
    body = f'{{"labels": [{{"id": "ID OF A PREDICTION", "label": {example}}}]}}'
    snippet(
        f"curl -s {view.addresses.api}/models/{report.model}/labels \\\n"
        '  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )

"""Service: how many requests, how fast, how many refused; and how loaded the appliance is now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from appliance.deployments import Deployment
from appliance.monitoring.service_report import LatencyReport, TrafficSeries
from ui.components.chart import Chart, Line, bars_over_time, lines
from ui.components.empty import empty
from ui.components.form import figure
from ui.components.markup import box, panel
from ui.page import View
from ui.pages.closer import LEAST_SERVICE_S, Point, closer, opener, show_points
from ui.pages.deploy_markers import markers_of
from ui.pages.load_panel import show_load
from ui.pages.version_figures import show_versions_beside
from ui.pages.window_line import window_line
from ui.texts import _, ngettext
from ui.words import micros, number, seconds

MS = 1_000.0
"""Microseconds in the unit of the latency axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    latency: LatencyReport
    traffic: TrafficSeries
    history: tuple[Deployment, ...]

    @property
    def current(self) -> tuple[Deployment, ...]:
        return tuple(one for one in self.history if one.ended_at is None)


async def show_service(view: View, name: str, window_s: int, until: datetime | None = None) -> None:
    """Fill the tab."""
    monitoring = view.appliance.monitoring

    def fetch() -> _Found:
        return _Found(
            latency=monitoring.latency(name, window_s, until=until),
            traffic=monitoring.traffic(name, window_s, until=until),
            history=view.appliance.deployments.history(name),
        )  # fmt: skip

    parts = [view.live_part(10.0, fetch, lambda found: _show(name, found, newest=until is None))]
    if until is None:  # the load is of now, and somebody looks at then
        parts += [view.live_part(5.0, lambda: view.appliance.load.look(name), show_load)]
    await asyncio.gather(*parts)


def _show(name: str, found: _Found, *, newest: bool) -> None:
    total, traffic = found.latency.total, found.traffic
    if not total.count and not total.errors:
        empty(
            _("No request in this window"),
            _("Requests to the inference API are counted here within seconds, by minute of their arrival."),
            icon_name="monitor_heart",
            action=(_("Send one from the page Try it"), f"/models/{name}/try"),
        )
        return
    with panel(), box("figures"):
        figure(
            _("Requests"),
            number(total.count),
            note=ngettext("{rows} prediction", "{rows} predictions", total.rows).format(rows=number(total.rows)),
        )
        figure(_("Errors"), number(total.errors), note=_by_status(found.latency))
        figure("p50", micros(total.p50_us), note=_("half are faster"))
        figure("p95", micros(total.p95_us), note=_("19 of 20 are faster"))
        figure("p99", micros(total.p99_us), note=_("99 of 100 are faster"))
        figure(_("Slowest"), micros(total.max_us))
    window_line(found.latency.window, what=_("Arrivals"), newest=newest)
    behind = [
        Point(
            at=p.at, figures=(
                number(p.latency.count), number(p.latency.errors), micros(p.latency.p50_us), micros(p.latency.p95_us),
                micros(p.latency.p99_us),
            ),
            address=closer(
                f"/monitoring/{name}?tab=service", p.at, traffic.bucket_s, window_s=int(traffic.window.seconds),
                least_s=LEAST_SERVICE_S,
            ),
        )
        for p in traffic.points
    ]  # fmt: skip
    marks, span = markers_of(found.history), (traffic.window.start, traffic.window.end)
    with panel(
        _("Latency"),
        _("of the answers in each {span}; logarithmic scale").format(span=seconds(traffic.bucket_s)),
    ):
        options = lines(
            (
                Line(name="p50", points=[(p.at, _ms(p.latency.p50_us)) for p in traffic.points]),
                Line(name="p95", points=[(p.at, _ms(p.latency.p95_us)) for p in traffic.points]),
                Line(name="p99", points=[(p.at, _ms(p.latency.p99_us)) for p in traffic.points]),
            ),
            y_unit=_("ms"), span=span, markers=marks,
        )  # fmt: skip
        options["yAxis"]["type"] = "log"
        Chart(
            options,
            label=_("Latency of {name}: p50, p95 and p99 in milliseconds over time").format(name=name),
            on_place=opener(behind),
        )
    with box("cols wide"):
        with panel(_("Traffic"), _("requests in each {span}").format(span=seconds(traffic.bucket_s))):
            points = [(p.at, float(p.latency.count)) for p in traffic.points]
            chart = bars_over_time(points, name=_("requests"), y_unit=_("requests"), span=span, markers=marks)
            Chart(chart, label=_("Requests to {name} over time").format(name=name), on_place=opener(behind))
        with panel(_("Errors"), _("refused or failed in each {span}").format(span=seconds(traffic.bucket_s))):
            points = [(p.at, float(p.latency.errors)) for p in traffic.points]
            chart = bars_over_time(points, name=_("errors"), y_unit=_("requests"), span=span, markers=marks)
            chart["series"][0]["itemStyle"]["color"] = "var(--series-4)"
            Chart(chart, label=_("Errors of {name} over time").format(name=name), on_place=opener(behind))
    headings = (_("Requests"), _("Errors"), "p50", "p95", "p99")
    show_points(behind, headings, name=f"{name}-service")
    show_versions_beside(current=found.current, latency=found.latency)


def _ms(us: float | None) -> float | None:
    return round(us / MS, 3) if us is not None else None


def _by_status(report: LatencyReport) -> str:
    return ", ".join(
        _("{count} with HTTP {status}").format(count=number(count), status=status)
        for status, count in report.errors_by_status.items()
    )

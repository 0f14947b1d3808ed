"""The first page: every model at a glance, what needs somebody, and whether the parts run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from nicegui import ui as ng

from appliance.api.control.host_routes import HostReport, look_at_host
from appliance.cron import next_after
from appliance.deployments import Deployment
from appliance.errors import ApplianceError
from appliance.glance import ModelGlance
from appliance.house import Appliance
from appliance.monitoring.alerts import Alert
from appliance.processes.control import status
from appliance.processes.report import ProcessReport, StatusReport
from ui.components.form import figure
from ui.components.histogram import sparkline_html
from ui.components.markup import ago_html, box, filled_html, link, panel, text, text_html, with_attributes
from ui.components.status import Status, badge, badge_link, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.time_range import choose_range
from ui.pages.welcome import show_welcome
from ui.shared import glances_over
from ui.texts import _, pgettext
from ui.words import NONE, metric, micros, number, plain, seconds, share, size, when

SERVICES = {
    "api": _("Inference API"), "ui": _("Dashboard and control API"), "orchestrator": _("Orchestrator (Prefect)"),
    "runner": _("Runner and watch loop"), "mlflow": _("MLflow, started when opened"),
}  # fmt: skip
"""How the parts of the appliance are called on the page."""

_TRIALS = {"canary": _("Version {version} canary, {percent} %"), "shadow": _("Version {version} shadow")}


async def build(view: View) -> None:
    """Fill the page."""
    appliance = view.appliance
    welcome = box("stack")
    if not await view.ask(appliance.models.list):
        with welcome:
            await show_welcome(view)
        await view.ask(appliance.expect_rows)

    window_s = choose_range(view, lambda key: f"/?window={key}", usual=_("Each its own"))

    def models(seen: tuple[_Seen, ...]) -> None:
        # It stands outside of what is drawn anew, so that a file that is being sent goes on.
        welcome.set_visibility(not seen)
        _models(seen, window_s)

    parts = [view.live_part(5.0, lambda: _seen(appliance, window_s), models)]
    with box("cols wide"):
        with box():
            parts += [view.live_part(5.0, lambda: tuple(appliance.monitoring.alerts(open_only=True)), _alerts)]
        with box("stack"):
            parts += [view.live_part(5.0, lambda: _rounded(look_at_host(appliance)), _host)]
            parts += [view.live_part(5.0, lambda: _services_of(view), _services)]
    await asyncio.gather(*parts)  # the look at the host alone takes a quarter of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A model, what is on trial of it, and when its schedule trains it again."""

    glance: ModelGlance
    trials: tuple[Deployment, ...]
    next_at: datetime | None


def _seen(appliance: Appliance, window_s: int | None) -> tuple[_Seen, ...]:
    now, current = datetime.now(UTC), appliance.deployments.current()
    return tuple(
        _Seen(
            glance=one, next_at=next_after(one.model.spec.schedule, now) if one.model.spec.schedule else None,
            trials=tuple(each for each in current if each.model == one.model.name and each.role != "champion"),
        )
        for one in glances_over(appliance, window_s)
    )  # fmt: skip


def _models(models: tuple[_Seen, ...], window_s: int | None) -> None:
    if not models:
        return
    with box("cols models"):
        for one in models:
            _model(one, window_s)


def _model(seen: _Seen, window_s: int | None) -> None:
    one = seen.glance
    name = one.model.name
    with panel() as card:
        card.classes("glance").mark(name)
        with box("panel-head"):
            link(name, f"/models/{name}", "strong grow wrap-any")
            if one.model.deployed:
                badge("serving", _("Version {version} serves").format(version=one.model.deployed))
            else:
                badge("none", _("Nothing serves"))
            for trial in seen.trials:
                said = _TRIALS[trial.role].format(version=trial.version, percent=trial.percent)
                badge_link(trial.role, said, f"/models/{name}")
        if one.newest is None:
            text(_("Declared, not trained yet."), "muted")
            link(_("Train it"), f"/models/{name}", "small")
            return
        _traffic(one, window_s)
        with box("figures"):
            _service(one, window_s)
            _quality(one)
        with box("line"):
            if one.drift:
                state = one.drift.state.value
                badge_link(
                    state, _("Drift: {state}").format(state=status_of(state).label), f"/monitoring/{name}?tab=drift"
                )
            if one.quality:
                state = one.quality.state.value
                badge_link(
                    state, _("Quality: {state}").format(state=status_of(state).label), f"/monitoring/{name}?tab=quality"
                )
            trained = filled_html(_("trained {when}"), when=ago_html(one.newest.created_at))
            said = filled_html(
                _("newest version {version}, {trained}; {retrains}"), version=str(one.newest.version), trained=trained,
                retrains=text_html(_retrains(seen)),
            )  # fmt: skip
            ng.html(said, sanitize=False).classes("muted small")


def _retrains(seen: _Seen) -> str:
    return (
        _("retrains next {when}").format(when=when(seen.next_at)) if seen.next_at else _("retrains when somebody asks")
    )


def _traffic(one: ModelGlance, window_s: int | None) -> None:
    if not one.activity:
        text(_("No request in its last day. The page Try it sends the first one."), "muted small")
        return
    newest = ago_html(one.last_request_at)
    if window_s is None:
        said = _("requests in the last day of {name}").format(name=one.model.name)
        told = filled_html(_("requests over the last day of traffic, the newest {newest}"), newest=newest)
    else:
        span = seconds(window_s)
        said = _("requests in the last {span} of {name}").format(span=span, name=one.model.name)
        asked = _("requests over the last {span} of traffic, the newest {newest}")
        told = filled_html(asked, span=span, newest=newest)
    opened = ng.html(sparkline_html(one.activity, label=said), sanitize=False, tag="a").classes("spark-link")
    with_attributes(opened, href=f"/monitoring/{one.model.name}?tab=service")
    ng.html(told, sanitize=False).classes("muted small")


def _service(one: ModelGlance, window_s: int | None) -> None:
    service = one.service
    if service is None:
        return
    figure(_("Requests"), number(service.count), note=_in_span(window_s))
    figure("p95", micros(service.p95_us), note=f"p50 {micros(service.p50_us)}")
    figure(_("Errors"), number(service.errors), note=_("refused or failed"))


def _in_span(window_s: int | None) -> str:
    return pgettext("rate", "a day") if window_s is None else _("in {span}").format(span=seconds(window_s))


def _quality(one: ModelGlance) -> None:
    if one.quality and one.quality.metrics:
        name, value = next(iter(one.quality.metrics.items()))
        reference = one.quality.reference.get(name)
        figure(
            metric(name),
            number(value),
            note=_("training {figure}").format(figure=number(reference)) if reference is not None else "",
        )
    elif one.newest:
        for name, value in list(one.newest.metrics.items())[:1]:
            figure(metric(name), number(value), note=_("on the holdout; no labels yet"))


def _alerts(alerts: tuple[Alert, ...]) -> None:
    with panel(_("Open alerts"), tight=True):
        if not alerts:
            text(_("Nothing needs you."), "muted").style("padding: 16px 20px")
            return
        columns = (
            Column(name="state", label=_("State")), Column(name="model", label=_("Model")),
            Column(name="what", label=_("What"), prose=True),
        )  # fmt: skip
        Table(
            columns,
            [
                Row(
                    id=str(one.id),
                    cells={
                        "state": Cell(status=status_of(one.state.value)),
                        "model": Cell(text=one.about, href=alert_address(one)),
                        "what": Cell(text=plain(one.message), note=_("since {when}").format(when=when(one.opened_at))),
                    },
                )
                for one in alerts
            ],
            name="open-alerts",
        )


def alert_address(alert: Alert) -> str:
    """The page of an alert."""
    return f"/alerts/{alert.id}"


def _rounded(found: HostReport) -> HostReport:
    """To what is shown, so that the page is drawn again only when that changes."""
    return replace(found, cpu_share=round(found.cpu_share, 2), memory_available=found.memory_available >> 26 << 26,
                   disk_free=found.disk_free >> 26 << 26)  # fmt: skip


def _host(found: HostReport) -> None:
    with panel(_("Host")), box("figures"):
        figure(_("Processor"), share(found.cpu_share), note=_("of {cores} cores, busy").format(cores=found.cores))
        figure(
            _("Memory"),
            share(found.memory_share),
            note=_("{free} of {total} free").format(free=size(found.memory_available), total=size(found.memory_total)),
        )
        figure(
            _("Disk of the state"),
            share(found.disk_share),
            note=_("{free} of {total} free").format(free=size(found.disk_free), total=size(found.disk_total)),
        )


def _services_of(view: View) -> StatusReport | None:
    try:
        return status(view.appliance.settings)
    except ApplianceError:
        return None


def _services(report: StatusReport | None) -> None:
    with panel(_("Parts of the appliance"), tight=True):
        if report is None:
            text(_("systemd does not say how the parts stand."), "muted").style("padding: 16px 20px")
            return
        columns = (
            Column(name="name", label=_("Part")), Column(name="state", label=_("State")),
            Column(name="memory", label=_("Memory"), numeric=True), Column(name="since", label=_("Since")),
        )  # fmt: skip
        Table(
            columns,
            [
                Row(
                    id=one.name,
                    cells={
                        "name": Cell(text=SERVICES.get(one.name, one.name), note=one.detail),
                        "state": Cell(status=part_status(one)),
                        "memory": Cell(
                            text=_("{size} MB").format(size=number(one.pss_mb, digits=3)) if one.pss_mb else NONE,
                            sort=one.pss_mb or 0.0,
                        ),
                        "since": _since(one.since),
                    },
                )
                for one in report.services
            ],
            name="parts",
        )
        with box("foot-line"):
            link(_("Check of the host"), "/doctor", "small")


def part_status(one: ProcessReport) -> Status:
    """The badge of a part of the appliance."""
    return status_of("ok", _("Running")) if one.state == "running" else status_of(one.state)


def _since(moment: str | None) -> Cell:
    if not moment:
        return Cell(text=NONE, sort=0.0)
    at = datetime.fromisoformat(moment)
    return Cell(text=when(at), markup=ago_html(at), sort=at.timestamp())


PAGE = Page(
    path="/", section="overview", title=_("Overview"), build=build, cli="appliance status; appliance models",
    rest="GET /api/overview; GET /api/host",
)  # fmt: skip

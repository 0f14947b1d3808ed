"""One alert: what happened, in pictures of its own time, what its channels were told, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from nicegui import ui as ng

from appliance.errors import BadInput
from appliance.house import Appliance
from appliance.monitoring.alert_story import TREND_DAYS, AlertFacts, AlertStory, TrendPoint, tell_alert
from appliance.monitoring.alerts import Alert
from appliance.monitoring.message import NAMES
from appliance.monitoring.quality_report import QualitySeries
from appliance.monitoring.spans import parse_span, utc_text
from appliance.permissions import Action
from storage.delivery_rows import DeliveryRow
from ui.components.chart import Chart, Line, Marker, lines
from ui.components.facts import facts
from ui.components.form import button, cancel_button, choice, dialog
from ui.components.markup import box, button_link, panel, text
from ui.components.status import badge, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View, tell
from ui.pages.alert_windows import show_moving, trend_points
from ui.pages.closer import Point, opener, show_points, span_text
from ui.pages.data_quality_tab import show_columns
from ui.pages.deploy_markers import markers_of
from ui.pages.rollout import ask_rollback
from ui.texts import _
from ui.words import NONE, metric, number, plain, when

_RETRAINABLE = frozenset({"drift", "prediction", "quality", "domain"})
_QUIET = {"1h": _("one hour"), "8h": _("eight hours"), "24h": _("a day"), "7d": _("a week")}
_TABS = {"quality": "quality", "data_quality": "rows"}


async def build(view: View) -> None:
    """Fill the page."""
    try:
        alert_id = int(view.parts["id"])
    except ValueError:
        raise BadInput(
            _("{id!r} is no number of an alert; the page Alerts lists them").format(id=view.parts["id"])
        ) from None
    monitoring = view.appliance.monitoring
    alert = (await view.ask(monitoring.alert, alert_id)).alert
    if view.actions is not None and alert.model:
        with view.actions:
            button_link(_("Monitoring"), _address(alert), icon_name="monitor_heart")
            button_link(_("Model"), f"/models/{alert.model}", icon_name="hub")
    elif view.actions is not None and alert.kind == "feed":
        with view.actions:
            button_link(_("Dataset"), f"/data/{alert.subject.partition(' ')[2]}?tab=feed", icon_name="table_chart")
    await view.live(4.0, lambda: _look(view.appliance, alert_id), lambda found: _show(view, *found))
    # A window that is over hardly changes, and its pictures ask for weeks of counts.
    await view.live(60.0, lambda: _tell(view.appliance, alert), lambda found: _pictures(view, found))
    await view.live(4.0, lambda: monitoring.alert(alert_id).deliveries, _deliveries)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """What an alert is about in pictures, and what was deployed meanwhile."""

    told: AlertStory
    marks: tuple[Marker, ...]


def _look(appliance: Appliance, alert_id: int) -> tuple[AlertFacts, bool]:
    """The alert, and whether its model has something that a rollback takes back."""
    found = appliance.monitoring.alert(alert_id)
    model = found.alert.model
    return found, bool(model) and appliance.deployments.can_roll_back(model)


def _tell(appliance: Appliance, alert: Alert) -> _Story:
    history = appliance.deployments.history(alert.model) if alert.model else ()
    return _Story(told=tell_alert(appliance.monitoring, alert.id), marks=markers_of(history))


def _address(alert: Alert) -> str:
    return f"/monitoring/{alert.model}?tab={_TABS.get(alert.subject, 'drift')}"


def _show(view: View, found: AlertFacts, can_roll_back: bool) -> None:
    alert = found.alert
    is_open = alert.closed_at is None
    with panel(), box("stack"):
        with box("line"):
            badge("open" if is_open else "closed")
            badge(alert.state.value)
            text(f"{alert.about}, {NAMES.get(alert.kind, alert.kind)}", "strong grow")
        text(plain(alert.message))
        judged = found.judged
        facts(
            (
                (_("Since"), when(alert.opened_at)),
                (
                    _("Until"),
                    when(alert.closed_at) if alert.closed_at else _("it holds; it closes by itself when it is over"),
                ),
                (
                    _("Judged"),
                    NONE
                    if judged is None
                    else _("version {version}, {start} to {end}").format(
                        version=judged.version, start=when(judged.window.start), end=when(judged.window.end)
                    ),
                ),
                (_("Seen by"), alert.acknowledged_by or _("nobody yet")),
                (
                    _("Quiet"),
                    _("until {when}").format(when=when(found.snoozed_until)) if found.snoozed_until else _("no"),
                ),
            )
        )
    if is_open:
        _what_to_do(view, found, can_roll_back=can_roll_back)


def _pictures(view: View, found: _Story) -> None:
    story = found.told
    show_moving(view, story)
    if story.trend:
        _trend(story.pictures[0].drift.name, story.trend, trend_points(story), found.marks)
    if story.rows is not None:
        show_columns(story.rows, "")
    if story.series is not None:
        _quality(story.series, found.marks)


def _what_to_do(view: View, found: AlertFacts, *, can_roll_back: bool) -> None:
    alert = found.alert
    with panel(_("What to do")), box("stack"):
        text(plain(found.advice))
        if not view.may(Action.WORK):
            text(_("Operators acknowledge, snooze, retrain and roll back from here."), "muted small")
            return
        with box("line"):
            if alert.acknowledged_by is None:
                button(_("Acknowledge"), lambda: _acknowledge(view, alert), kind="primary", icon_name="done")
            else:  # something stays in its place: others that moved up would be pressed instead of one another
                button(_("Seen"), lambda: _acknowledge(view, alert), icon_name="done").disable()
            button(_("Snooze"), lambda: _ask_snooze(view, alert), icon_name="snooze")
            if alert.model and alert.subject in _RETRAINABLE:
                button(_("Retrain on labels"), lambda: _retrain(view, alert.model), icon_name="restart_alt")
            if can_roll_back:
                button(_("Roll back"), lambda: _roll_back(view, alert.model), icon_name="undo")
        text(
            _(
                "Acknowledging says that somebody has seen it: channels that have not been told are not told any "
                "more, and it stays open while its state holds. Snoozing keeps its subject quiet; what holds then is "
                "told again."
            ),
            "muted small",
        )


async def _acknowledge(view: View, alert: Alert) -> None:
    if await view.act(Action.WORK, view.appliance.monitoring.acknowledge, alert.id, who=view.caller.name):
        tell(_("Noted that you have seen it. It closes by itself when its cause is gone."))
        view.look_now()


async def _ask_snooze(view: View, alert: Alert) -> None:
    with dialog(_("Keep quiet about it")) as window:
        span = choice(_("For"), _QUIET, "8h")

        async def go() -> None:
            chosen = str(span.value)
            snooze = view.appliance.channels.snooze
            if await view.act(Action.WORK, snooze, alert.id, parse_span(chosen), who=view.caller.name):
                window.close()
                tell(_("Quiet for {span}").format(span=_QUIET[chosen]))
                view.look_now()

        with box("line"):
            button(_("Snooze"), go, kind="primary", icon_name="snooze")
            cancel_button(window)
    window.open()


async def _retrain(view: View, model: str) -> None:
    job = await view.act(Action.WORK, view.appliance.jobs.start_retraining, model, who=view.caller.name)
    if job:
        ng.navigate.to(f"/jobs/{job}")


async def _roll_back(view: View, model: str) -> None:
    await ask_rollback(view, await view.ask(view.appliance.models.get, model))


def _trend(name: str, trend: tuple[TrendPoint, ...], behind: list[Point], marks: tuple[Marker, ...]) -> None:
    with panel(
        _("{name}: how it came").format(name=name),
        _("PSI of the window that ends at each of the {days} days before").format(days=TREND_DAYS),
    ):
        points = [(point.at, point.psi) for point in trend]
        curves = [Line(name=_("PSI of {name}").format(name=name), points=points)]
        for label, level, colour in ((_("warning"), 0.1, "var(--series-2)"), (_("alarm"), 0.2, "var(--series-4)")):
            ends = [(points[0][0], level), (points[-1][0], level)]
            curves.append(Line(name=label, points=ends, dashed=True, colour=colour))
        chart = lines(curves, y_unit=_("PSI"), span=(points[0][0], points[-1][0]), markers=marks)
        Chart(
            chart, label=_("PSI of {name} day by day, beside the levels of warning and alarm").format(name=name),
            on_place=opener(behind),
        )  # fmt: skip
        show_points(behind, (_("PSI"), _("State")), name="alert-trend")


def _quality(series: QualitySeries, marks: tuple[Marker, ...]) -> None:
    names = list(series.reference) or [name for point in series.points[:1] for name in point.metrics]
    if not names or not series.points:
        return
    shown, points = names[0], series.points
    page = f"/monitoring/{series.model}?tab=quality&metric={shown}&window={span_text(series.bucket_s)}"
    behind = [
        Point(
            at=p.at, figures=(number(p.metrics.get(shown)),),
            address=f"{page}&until={quote(utc_text(p.at + timedelta(seconds=series.bucket_s)))}",
        )
        for p in points
    ]  # fmt: skip
    curves = [Line(name=_("labelled predictions"), points=[(p.at, p.metrics.get(shown)) for p in points])]
    if shown in series.reference:
        level = series.reference[shown]
        ends = [(points[0].at, level), (points[-1].at, level)]
        curves.append(Line(name=_("training holdout"), points=ends, dashed=True, colour="var(--series-5)"))
    with panel(
        _("{metric} over time").format(metric=metric(shown)),
        _("the training's holdout had {reference}").format(reference=number(series.reference.get(shown))),
    ):
        chart = lines(curves, y_unit=metric(shown), span=(points[0].at, points[-1].at), markers=marks)
        Chart(
            chart,
            label=_("{metric} of the labelled predictions over time, beside the training's holdout").format(
                metric=metric(shown)
            ),
            on_place=opener(behind),
        )
        show_points(behind, (metric(shown),), name="alert-quality")


_DELIVERIES = (
    Column(name="channel", label=_("Channel")), Column(name="event", label=_("Told that it")),
    Column(name="state", label=_("Delivery")), Column(name="at", label=_("When")),
)  # fmt: skip
_EVENTS = {"opened": _("opened"), "closed": _("is over"), "still_open": _("still holds")}


def _deliveries(deliveries: tuple[DeliveryRow, ...]) -> None:
    if not deliveries:
        with panel(_("Messages")):
            text(_("No channel was told: none was there when it opened. Alerts, Channels adds one."), "muted")
        return
    with panel(_("Messages"), tight=True):
        Table(_DELIVERIES, [
            Row(id=str(one.id), cells={
                "channel": Cell(text=one.channel), "event": Cell(text=_EVENTS.get(one.event, one.event)),
                "state": Cell(status=status_of(one.state), note=one.reason),
                "at": Cell(text=when(one.ended_at or one.due_at)),
            })
            for one in deliveries
        ], name="alert-messages")  # fmt: skip


PAGE = Page(
    path="/alerts/{id}", section="alerts", title=_("Alert {id}"), build=build, parents=((_("Alerts"), "/alerts"),),
    cli="appliance alerts show {id}", rest="GET /api/alerts/{id}",
)  # fmt: skip

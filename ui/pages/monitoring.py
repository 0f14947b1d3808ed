"""Monitoring: every model's state, and the way to the figures behind it."""

from __future__ import annotations

from dataclasses import replace

from appliance.glance import ModelGlance
from appliance.monitoring.spans import State
from ui.components.empty import empty
from ui.components.markup import panel
from ui.components.status import Status, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View
from ui.pages.time_range import choose_range
from ui.shared import glances_over
from ui.texts import _
from ui.words import NONE, metric, micros, number, seconds, share, when

_COLUMNS = (
    Column(name="name", label=_("Model")),
    Column(name="version", label=_("Serves")),
    Column(name="drift", label=_("Drift")),
    Column(name="drifted", label=_("Columns that drifted"), numeric=True),
    Column(name="quality", label=_("Quality")),
    Column(name="figure", label=_("Metric now"), numeric=True),
    Column(name="requests", label=_("Requests a day"), numeric=True),
    Column(name="p95", label="p95", numeric=True),
    Column(name="errors", label=_("Errors"), numeric=True),
    Column(name="last", label=_("Newest request")),
)


async def build(view: View) -> None:
    """Fill the page."""
    window_s = choose_range(view, lambda key: f"/monitoring?window={key}", usual=_("Each its own"))
    await view.live(5.0, lambda: glances_over(view.appliance, window_s), lambda found: _show(found, window_s))


def _show(glances: tuple[ModelGlance, ...], window_s: int | None) -> None:
    if not glances:
        empty(
            _("No model to watch yet"),
            _(
                "Once a model serves, its latency, the drift of its inputs and, when labels come, its quality stand "
                "here."
            ),
            icon_name="monitor_heart",
            action=(_("Create a model"), "/models/new"),
        )
        return
    with panel(tight=True):
        Table(_columns(window_s), [_row(one) for one in glances], search=_("Search models"), name="monitoring")


def _columns(window_s: int | None) -> tuple[Column, ...]:
    """Requests are of a day, unless somebody chose another span."""
    if window_s is None:
        return _COLUMNS
    said = _("Requests in {span}").format(span=seconds(window_s))
    return tuple(replace(one, label=said) if one.name == "requests" else one for one in _COLUMNS)


def _row(one: ModelGlance) -> Row:
    service, quality, drift = one.service, one.quality, one.drift
    name, value = next(iter(quality.metrics.items()), ("", None)) if quality else ("", None)
    judged = drift is not None and drift.state is not State.NOT_ENOUGH_DATA  # else no column was looked at
    cells = {
        "name": Cell(text=one.model.name, href=f"/monitoring/{one.model.name}"),
        "version": Cell(text=_("version {version}").format(version=one.model.deployed) if one.model.deployed else NONE),
        "drift": Cell(status=_state(drift.state.value if drift else None)),
        "drifted": Cell(
            text=share(drift.drifted_share) if drift and judged else NONE,
            sort=drift.drifted_share if drift and judged else -1.0,
        ),
        "quality": Cell(status=_state(quality.state.value if quality else None)),
        "figure": Cell(
            text=f"{metric(name)} {number(value)}" if name else NONE, sort=value if value is not None else -1.0
        ),
        "requests": Cell(text=number(service.count) if service else NONE, sort=service.count if service else 0),
        "p95": Cell(text=micros(service.p95_us) if service else NONE, sort=(service.p95_us or 0.0) if service else 0.0),
        "errors": Cell(text=number(service.errors) if service else NONE, sort=service.errors if service else 0),
        "last": Cell(
            text=when(one.last_request_at), sort=one.last_request_at.timestamp() if one.last_request_at else 0.0
        ),
    }
    return Row(id=one.model.name, cells=cells)


def _state(state: str | None) -> Status:
    return status_of(state) if state else status_of("none", _("Not trained yet"))


PAGE = Page(
    path="/monitoring", section="monitoring", title=_("Monitoring"), build=build,
    lead=_("Whether models answer, whether their inputs are still those of the training, and whether they are right."),
    cli="appliance drift NAME; appliance quality NAME; appliance latency NAME", rest="GET /api/overview",
)  # fmt: skip

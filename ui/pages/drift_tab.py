"""Drift: each column of the window against the training, in figures, in a sentence, and as two histograms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from nicegui import ui as ng

from appliance.monitoring.drift_report import ColumnDrift, DriftDetail, DriftReport
from appliance.monitoring.spans import State
from ui.components.chart import Chart, compared_histogram, signed_bars
from ui.components.empty import empty
from ui.components.facts import facts
from ui.components.form import figure
from ui.components.markup import box, panel, text
from ui.components.status import badge, notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View
from ui.pages.closer import until_part
from ui.pages.window_line import window_line
from ui.texts import _, ngettext
from ui.words import NONE, SEVERITY, number, plain, share

_COLUMNS = (
    Column(name="name", label=_("Column")),
    Column(name="state", label=_("State")),
    Column(name="psi", label=_("PSI"), numeric=True),
    Column(name="floor", label=_("Noise floor"), numeric=True),
    Column(name="what", label=_("What happened"), prose=True),
    Column(name="nulls", label=_("Missing, then and now"), numeric=True),
    Column(name="unseen", label=_("Unseen categories"), numeric=True),
)

_MOST_BARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    report: DriftReport
    detail: DriftDetail


async def show_drift(view: View, name: str, window_s: int, column: str, until: datetime | None = None) -> None:
    """Fill the tab; ``column`` is the one whose histograms are shown, by default the one that moved most."""
    monitoring = view.appliance.monitoring
    span = (f"&window={quote(view.query['window'])}" if view.query.get("window") else "") + until_part(view)

    def fetch() -> _Found:
        report = monitoring.drift(name, window_s, until=until)
        shown = column or next(iter(report.dataset.drifted), "") or _strongest(report)
        return _Found(report=report, detail=monitoring.drift_detail(name, shown, window_s, until=until))

    def address(key: str) -> str:
        return f"/monitoring/{name}?tab=drift{span}&column={quote(key)}"

    await view.live(10.0, fetch, lambda found: _show(found, address, newest=until is None))


def _strongest(report: DriftReport) -> str:
    return max(report.columns, key=lambda one: one.psi or 0.0).name if report.columns else "prediction"


def _show(found: _Found, address: Callable[[str], str], *, newest: bool) -> None:
    report = found.report
    if not report.rows.current:
        empty(
            _("No prediction in this window"),
            _("Every row that is predicted is counted into the bins of the training, so that the two can be compared."),
            icon_name="monitor_heart",
            action=(_("Send a row from the page Try it"), f"/models/{report.model}/try"),
        )
        return
    with panel(), box("stack"):
        with box("line"):
            badge(
                report.dataset.state.value,
                _("Inputs: {state}").format(state=status_of(report.dataset.state.value).label),
            )
            text(_verdict(report), "grow")
        with box("figures"):
            figure(
                _("Rows in the window"),
                number(int(report.rows.current)),
                note=_("version {version}").format(version=report.version),
            )
            figure(_("Rows of the training"), number(int(report.rows.reference)))
            judged = report.dataset.state is not State.NOT_ENOUGH_DATA  # else no column was held against its own
            figure(_("Columns that drifted"), share(report.dataset.drifted_share if judged else None))
            figure(_("By importance"), share(report.dataset.weighted_share), note=_("weighted by the model's gain"))
    if report.rows.current < 50:
        notice(
            ngettext(
                "{count} of the 50 predictions that a verdict needs is there. Send more, or choose a longer window.",
                "{count} of the 50 predictions that a verdict needs are there. Send more, or choose a longer window.",
                report.rows.current,
            ).format(count=number(int(report.rows.current))),
        )
    window_line(report.window, what=_("Events"), newest=newest)
    _histograms(found.detail)
    _moved(report, address)
    ordered = sorted(report.everything, key=lambda one: (-SEVERITY.get(one.state.value, 0.0), -(one.psi or 0.0)))
    with panel(_("Columns"), _("click one to see its histograms"), tight=True):
        rows = [_row(one, address(one.name), _kind(one, report)) for one in ordered]
        Table(
            _COLUMNS,
            rows,
            search=_("Search columns"),
            per_page=25 if len(ordered) > 25 else 0,
            name=f"{report.model}-drift",
        )
    text(
        _("PSI measures how far the shares of the bins moved. A column counts as drifted from 0.1 (warning) or 0.2 "
        "(alarm), and only above its noise floor: what chance alone exceeds once in a thousand times at these row "
        "counts. Drift "
        "says that inputs changed, not that answers are wrong; that is what Quality shows."), "muted small",
    ).style("max-width: 92ch")  # fmt: skip


def _verdict(report: DriftReport) -> str:
    drifted = report.dataset.drifted
    if report.dataset.state is State.NOT_ENOUGH_DATA:
        return _("Too few rows to tell whether the inputs are still those of the training.")
    if not drifted:
        return _("The inputs are those of the training, as far as these rows can tell.")
    columns, more = ", ".join(drifted[:4]), len(drifted) - 4
    if more <= 0:
        return _("{columns} moved most.").format(columns=columns)
    return ngettext("{columns} and {count} more moved.", "{columns} and {count} more moved.", more).format(
        columns=columns, count=more
    )


def _kind(one: ColumnDrift, report: DriftReport) -> str:
    if any(one is output for output in report.outputs):
        return _("what the model answers")
    return _("the truth that came") if one is report.label else one.kind


def _row(one: ColumnDrift, address: str, kind: str) -> Row:
    cells = {
        "name": Cell(text=one.name, href=address, note=kind),
        "state": Cell(status=status_of(one.state.value), sort=SEVERITY.get(one.state.value, 0.0)),
        "psi": Cell(text=number(one.psi, digits=3), sort=one.psi if one.psi is not None else -1.0),
        "floor": Cell(text=number(one.noise_floor, digits=3), sort=one.noise_floor or 0.0),
        "what": Cell(text=plain(one.sentence), note="; ".join(one.faults)),
        "nulls": Cell(
            text=f"{share(one.null_share.reference)} → {share(one.null_share.current)}", sort=one.null_share.current
        ),
        "unseen": Cell(text=share(one.unseen_share), sort=one.unseen_share),
    }
    return Row(id=one.name, cells=cells)


def _moved(report: DriftReport, address: Callable[[str], str]) -> None:
    """How far the columns moved that moved most; a click on one shows its histograms, as its link in the table does."""
    known = [one for one in report.columns if one.psi is not None]
    most = sorted(known, key=lambda one: -(one.psi or 0.0))[:_MOST_BARS]
    if len(most) < 2:
        return

    def show(row: float) -> None:
        ng.navigate.to(address(most[min(max(round(row), 0), len(most) - 1)].name))

    with panel(_("How far each column moved"), _("those that moved most; click one to see its histograms")):
        bars = signed_bars([one.name for one in most], [round(one.psi or 0.0, 4) for one in most], x_unit=_("PSI"))
        said = _("PSI of the columns that moved most; the table below has them as links")
        Chart(bars, label=said, on_row=show).tall(80 + 26 * len(most))


def _measured(said: str, distance: float | None) -> str:
    """A distance with its unit; a dash alone where a column has none, as a category."""
    return NONE if distance is None else said.format(distance=number(distance, digits=3))


def _histograms(detail: DriftDetail) -> None:
    one = detail.drift
    with panel(_("{name}: the training against this window").format(name=one.name)):
        with box("line"):
            badge(one.state.value)
            text(plain(one.sentence), "grow")
        Chart(
            compared_histogram(
                [part.label for part in detail.bins],
                [round(part.reference * 100, 3) for part in detail.bins],
                [round(part.current * 100, 3) for part in detail.bins],
                x_name=one.name,
            ),
            size="l",
            label=_("Shares of {name} by bin, at training and in the window, in per cent of the rows").format(
                name=one.name
            ),
        )
        facts(
            (
                (
                    _("PSI"),
                    _("{psi}, noise floor {noise_floor}").format(
                        psi=number(one.psi, digits=3), noise_floor=number(one.noise_floor, digits=3)
                    ),
                ),
                (
                    _("Jensen-Shannon distance"),
                    _measured(_("{distance} (base 2, 0 to 1)"), one.js),
                ),
                (
                    _("Wasserstein"),
                    _measured(_("{distance} (in standard deviations of the training)"), one.wasserstein),
                ),
                (_("Kolmogorov-Smirnov D"), number(one.ks, digits=3)),
                (_("Bin that moved most"), one.moved_bin or NONE),
            )
        )

"""Drift: each column of the window against the training, in figures, in a sentence, and as two histograms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from appliance.monitoring.drift_report import ColumnDrift, DriftDetail, DriftReport
from ui.components.chart import Chart, compared_histogram
from ui.components.empty import empty
from ui.components.facts import facts
from ui.components.form import figure
from ui.components.markup import box, panel, text
from ui.components.status import badge, notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View
from ui.pages.window_line import window_line
from ui.words import NONE, SEVERITY, number, plain, share

_COLUMNS = (
    Column(name="name", label="Column"), Column(name="state", label="State"),
    Column(name="psi", label="PSI", numeric=True),
    Column(name="floor", label="Noise floor", numeric=True), Column(name="what", label="What happened", prose=True),
    Column(name="nulls", label="Missing, then and now", numeric=True),
    Column(name="unseen", label="Unseen categories", numeric=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    report: DriftReport
    detail: DriftDetail


async def show_drift(view: View, name: str, window_s: int, column: str) -> None:
    """Fill the tab; ``column`` is the one whose histograms are shown, by default the one that moved most."""
    monitoring = view.appliance.monitoring
    span = f"&window={quote(view.query['window'])}" if view.query.get("window") else ""

    def fetch() -> _Found:
        report = monitoring.drift(name, window_s)
        shown = column or next(iter(report.dataset.drifted), "") or _strongest(report)
        return _Found(report=report, detail=monitoring.drift_detail(name, shown, window_s))

    def address(key: str) -> str:
        return f"/monitoring/{name}?tab=drift{span}&column={quote(key)}"

    await view.live(10.0, fetch, lambda found: _show(found, address))


def _strongest(report: DriftReport) -> str:
    return max(report.columns, key=lambda one: one.psi or 0.0).name if report.columns else "prediction"


def _show(found: _Found, address: Callable[[str], str]) -> None:
    report = found.report
    if not report.rows.current:
        empty(
            "No prediction in this window",
            "Every row that is predicted is counted into the bins of the training, so that the two can be compared.",
            icon_name="monitor_heart",
            action=("Send a row from the page Try it", f"/models/{report.model}/try"),
        )
        return
    with panel(), box("stack"):
        with box("line"):
            badge(report.dataset.state.value, f"Inputs: {status_of(report.dataset.state.value).label}")
            text(_verdict(report), "grow")
        with box("figures"):
            figure("Rows in the window", number(int(report.rows.current)), note=f"version {report.version}")
            figure("Rows of the training", number(int(report.rows.reference)))
            figure("Columns that drifted", share(report.dataset.drifted_share))
            figure("By importance", share(report.dataset.weighted_share), note="weighted by the model's gain")
    if report.rows.current < 50:
        notice(
            f"{number(int(report.rows.current))} of the 50 predictions that a verdict needs are there. Send more, or "
            "choose a longer window.",
        )
    window_line(report.window, what="Events")
    _histograms(found.detail)
    everything = [*report.columns, report.prediction, *([report.label] if report.label else [])]
    ordered = sorted(everything, key=lambda one: (-SEVERITY.get(one.state.value, 0.0), -(one.psi or 0.0)))
    with panel("Columns", "click one to see its histograms", tight=True):
        rows = [_row(one, address(one.name)) for one in ordered]
        Table(
            _COLUMNS,
            rows,
            search="Search columns",
            per_page=25 if len(ordered) > 25 else 0,
            name=f"{report.model}-drift",
        )
    text(
        "PSI measures how far the shares of the bins moved. A column counts as drifted from 0.1 (warning) or 0.2 "
        "(alarm), and only above its noise floor: what chance alone exceeds once in a thousand times at these row "
        "counts. Drift "
        "says that inputs changed, not that answers are wrong; that is what Quality shows.", "muted small",
    ).style("max-width: 92ch")  # fmt: skip


def _verdict(report: DriftReport) -> str:
    drifted = report.dataset.drifted
    if not drifted:
        return "The inputs are those of the training, as far as these rows can tell."
    named = ", ".join(drifted[:4])
    return f"{named} moved most." if len(drifted) <= 4 else f"{named} and {len(drifted) - 4} more moved."


def _row(one: ColumnDrift, address: str) -> Row:
    kind = {"prediction": "what the model answers", "label": "the truth that came"}.get(one.name, one.kind)
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


def _histograms(detail: DriftDetail) -> None:
    one = detail.drift
    with panel(f"{one.name}: the training against this window"):
        with box("line"):
            badge(one.state.value)
            text(plain(one.sentence), "grow")
        Chart(
            compared_histogram(
                [part.label for part in detail.bins], [round(part.reference * 100, 3) for part in detail.bins],
                [round(part.current * 100, 3) for part in detail.bins], x_name="",
            ),
            size="l", label=f"Shares of {one.name} by bin, at training and in the window, in per cent of the rows",
        )  # fmt: skip
        facts((
            ("PSI", f"{number(one.psi, digits=3)}, noise floor {number(one.noise_floor, digits=3)}"),
            ("Jensen-Shannon distance", f"{number(one.js, digits=3)} (base 2, 0 to 1)"),
            ("Wasserstein", f"{number(one.wasserstein, digits=3)} (in standard deviations of the training)"),
            ("Kolmogorov-Smirnov D", number(one.ks, digits=3)),
            ("Bin that moved most", one.moved_bin or NONE),
        ))  # fmt: skip

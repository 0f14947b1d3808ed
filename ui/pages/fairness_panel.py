"""How alike the groups of each protected column are treated, by the labels that came."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.monitoring.quality_report import SegmentReport
from appliance.monitoring.segments import Rate, Segment
from ui.components.markup import box, panel, text
from ui.components.status import badge
from ui.components.table import Cell, Column, Row, Table
from ui.texts import _, ngettext
from ui.words import NONE, number, plain, share

_COLUMNS = (
    Column(name="name", label=_("Group")), Column(name="rows", label=_("Labelled rows"), numeric=True),
    Column(name="selection", label=_("Positive answers"), numeric=True),
    Column(name="true_positive", label=_("Of positive rows"), numeric=True),
    Column(name="false_positive", label=_("Of negative rows"), numeric=True),
)  # fmt: skip


def show_fairness(reports: Sequence[SegmentReport]) -> None:
    """A panel a protected column of a model with two classes."""
    for report in reports:
        if not any(group.selection for group in report.segments):
            continue
        with panel(
            _("Fairness by {column}").format(column=report.column),
            _("shares with their 95 % intervals; groups below 100 rows are shown"),
        ):
            if report.fairness is not None:
                with box("line"):
                    badge("warn" if report.fairness.flagged else "ok")
                    text(plain(report.fairness.sentence), "grow")
            if report.unknown:
                text(
                    ngettext(
                        "Of {count} labelled prediction the group is not known.",
                        "Of {count} labelled predictions the group is not known.",
                        report.unknown,
                    ).format(count=number(report.unknown)),
                    "muted small",
                )
            rows = [_row(group) for group in report.segments]
            Table(_COLUMNS, rows, name=f"fairness-{report.column}", per_page=25 if len(rows) > 25 else 0)


def _row(group: Segment) -> Row:
    cells = {
        "name": Cell(text=group.name, note="" if group.enough else _("too few to compare")),
        "rows": Cell(text=number(group.rows), sort=group.rows),
        "selection": _rate(group.selection), "true_positive": _rate(group.true_positive),
        "false_positive": _rate(group.false_positive),
    }  # fmt: skip
    return Row(id=group.name, cells=cells)


def _rate(rate: Rate | None) -> Cell:
    if rate is None or rate.value is None:
        return Cell(text=NONE, sort=-1.0)
    low, high = rate.interval
    return Cell(
        text=share(rate.value), note=_("{low} to {high}").format(low=share(low), high=share(high)), sort=rate.value
    )

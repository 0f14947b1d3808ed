"""Several classes: how right the answers were of each, once labels came, beside the training."""

from __future__ import annotations

from appliance.model_evaluation import ClassResult
from appliance.monitoring.quality_report import ClassQuality, QualityReport
from ui.components.markup import panel
from ui.components.table import Cell, Column, Row, Table
from ui.texts import _
from ui.words import metric, number, share

_COLUMNS = (
    Column(name="name", label=_("Class")), Column(name="rows", label=_("Labelled so"), numeric=True),
    Column(name="given", label=_("Answered so"), numeric=True),
    Column(name="precision", label=_("Precision"), numeric=True),
    Column(name="recall", label=_("Recall"), numeric=True), Column(name="f1", label=metric("f1"), numeric=True),
)  # fmt: skip
_PER_PAGE = 25


def show_classes(report: QualityReport) -> None:
    """A row for each class; nothing where there are two classes, which the metrics above tell apart, or none."""
    if not report.classes:
        return
    note = _("of the labelled predictions; shares with their 95 % interval")
    with panel(_("Quality by class"), note, tight=True):
        Table(
            _COLUMNS, [_row(one) for one in report.classes], search=_("Search classes"),
            per_page=_PER_PAGE if len(report.classes) > _PER_PAGE else 0, name=f"{report.model}-classes",
        )  # fmt: skip


def _row(one: ClassQuality) -> Row:
    now, before = one.now, one.holdout
    cells = {
        "name": Cell(text=now.name),
        "rows": Cell(text=number(now.rows), sort=now.rows),
        "given": Cell(text=number(now.given), sort=now.given),
        "precision": _share(one, "precision", now.precision, before.precision if before else None),
        "recall": _share(one, "recall", now.recall, before.recall if before else None),
        "f1": Cell(text=number(now.f1), sort=now.f1, note=_trained(before, number(before.f1) if before else "")),
    }
    return Row(id=now.name, cells=cells)


def _share(one: ClassQuality, name: str, now: float | None, before: float | None) -> Cell:
    """A share with its interval, and what the training had under it."""
    low, high = one.intervals.get(name, (None, None))
    parts = [] if low is None or high is None else [_("{low} to {high}").format(low=share(low), high=share(high))]
    if trained := _trained(one.holdout, share(before)):
        parts.append(trained)
    return Cell(text=share(now), sort=-1.0 if now is None else now, note=", ".join(parts))


def _trained(holdout: ClassResult | None, figure: str) -> str:
    return "" if holdout is None else _("training {figure}").format(figure=figure)

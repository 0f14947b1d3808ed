"""What a version did on its held-out rows beyond the metrics: curves, the threshold, slices, groups."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from appliance.model_card import ModelCard
from appliance.model_evaluation import (
    ClassResult,
    Curve,
    Cut,
    ErrorGroup,
    Evaluation,
    Fairness,
    Group,
    GroupErrors,
    Mean,
    Segment,
    Share,
)
from appliance.model_spec import Threshold
from appliance.models import ModelInfo
from appliance.permissions import Action
from ui.components.chart import Chart, Line, counted_bars, lines
from ui.components.facts import sentences
from ui.components.form import button, figure, native_choice, native_slider
from ui.components.markup import box, panel, text
from ui.components.status import badge
from ui.components.table import Cell, Column, Row, Table
from ui.page import View, tell
from ui.redraw import redraw
from ui.texts import _
from ui.words import NONE, metric, number, share


def show_evaluation(view: View, model: ModelInfo, card: ModelCard) -> None:
    """Put it on the page; nothing for versions of releases that did not measure it."""
    found = card.evaluation
    if found is None:
        return
    if found.cuts:
        _ThresholdPanel(view, model, card, found.cuts).draw()
    elif found.confusion:
        with panel(_("Answers beside the truth"), _("held-out rows; the truth down, the answer across")):
            _matrix(card.classes, found.confusion)
    with box("cols wide"):
        _curves(card, found)
    _ClassPanel(found.classes).draw()
    if found.worst:
        _worst(found.worst, _("RMSE") if card.task == "regression" else _("log loss"))
    for one in found.fairness:
        _fairness(one)
    for errors in found.group_errors:
        _group_errors(errors)
    if found.notes:
        text(" ".join(f"{note[0].upper()}{note[1:]}." for note in found.notes), "muted small")


class _ThresholdPanel:
    """The slider, and what the version would have answered from that probability on."""

    def __init__(self, view: View, model: ModelInfo, card: ModelCard, cuts: Sequence[Cut]) -> None:
        self._view, self._model, self._card, self._cuts = view, model, card, cuts
        served = min(range(len(cuts)), key=lambda i: abs(cuts[i].threshold - card.threshold))
        self._slider = f"threshold-{card.version}"
        self._place = view.kept.get(self._slider, served)

    def draw(self) -> None:
        """Put it on the page."""
        positive = self._card.classes[-1]
        with panel(_("Threshold"), _("{positive} is answered from this probability on; this version serves with "
                   "{threshold}").format(positive=positive, threshold=number(self._card.threshold))):  # fmt: skip
            native_slider(_("Threshold"), len(self._cuts), self._place, self._move)
            self._result = box("stack")
            with self._result:
                self._show()

    def _move(self, place: int) -> None:
        self._place = self._view.kept[self._slider] = place
        redraw(self._result, self._show)

    def _show(self) -> None:
        cut = self._cuts[self._place]
        with box("figures"):
            figure(_("Threshold"), number(cut.threshold))
            figure(_("Precision"), share(cut.precision), note=_("of the alarms are right"))
            figure(_("Recall"), share(cut.recall), note=_("of the positives are found"))
            figure("F1", number(cut.f1))
        counts = ((cut.true_negative, cut.false_positive), (cut.false_negative, cut.true_positive))
        _matrix(self._card.classes, counts)
        if self._view.may(Action.WORK):
            with box("line"):
                button(_("Use it from the next training on"), self._declare, icon_name="tune")
                text(_("A version that was trained keeps the threshold it was checked with."), "muted small")

    async def _declare(self) -> None:
        at = round(self._cuts[self._place].threshold, 4)
        wanted = msgspec.structs.replace(self._model.spec, threshold=Threshold(goal="fixed", at=at))
        done = await self._view.act(Action.WORK, self._view.appliance.models.apply, wanted, who=self._view.caller.name)
        if done:
            tell(
                _("{name} is declared with the threshold {at}; train it to serve with it").format(
                    name=done.name, at=number(at)
                )
            )


def _matrix(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    columns = (
        Column(name="truth", label=_("Truth")),
        *(
            Column(name=f"c{i}", label=_("answered {name}").format(name=name), numeric=True)
            for i, name in enumerate(classes)
        ),
    )
    rows = [
        Row(id=name, cells={"truth": Cell(text=name)} | {
            f"c{i}": Cell(text=number(count), sort=count, note=_("right") if i == place else "")
            for i, count in enumerate(row)
        })
        for place, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]  # fmt: skip
    Table(columns, rows, name="confusion-matrix")


def _curves(card: ModelCard, found: Evaluation) -> None:
    _binary_curves(found.roc, found.precision_recall, found.calibration, name=_("this version"))
    if found.predicted:
        _line(
            _("Prediction and truth"), found.predicted, x=_("predicted, mean of a tenth of the rows"),
            y=_("true {target}").format(target=card.target), name=_("this version"), straight=_("exact"),
        )  # fmt: skip
    if found.residuals:
        with panel(_("Errors"), _("prediction minus truth")):
            points = list(zip(found.residuals.x, found.residuals.y, strict=True))
            options = counted_bars(
                points, name=_("rows"), x_name=_("error, in {target}").format(target=card.target), y_unit=_("rows")
            )
            Chart(options, label=_("Held-out rows by their error"))


def _binary_curves(roc: Curve | None, precision_recall: Curve | None, calibration: Curve | None, *, name: str) -> None:
    if roc:
        _line(_("ROC"), roc, x=_("false positive rate"), y=_("true positive rate"), name=name, straight=_("by chance"))
    if precision_recall:
        _line(_("Precision and recall"), precision_recall, x=_("recall"), y=_("precision"), name=name)
    if calibration:
        _line(
            _("Calibration"), calibration, x=_("probability given, mean of a tenth of the rows"),
            y=_("share of positives"), name=name, straight=_("exactly as often as said"),
        )  # fmt: skip


def _line(title: str, curve: Curve, *, x: str, y: str, name: str, straight: str = "") -> None:
    series = [Line(name=name, points=list(zip(curve.x, curve.y, strict=True)))]
    if straight:
        ends = (min(curve.x), max(curve.x))
        series.append(Line(name=straight, points=[(end, end) for end in ends], colour="var(--series-2)", dashed=True))
    with panel(title, _("on the held-out rows")):
        Chart(lines(series, y_unit=y, x_name=x), label=_("{title}: {y} by {x}").format(title=title, y=y, x=x))


class _ClassPanel:
    """One of several classes against the others: its figures and its curves."""

    def __init__(self, classes: Sequence[ClassResult]) -> None:
        self._classes = {one.name: one for one in classes if one.auc is not None}

    def draw(self) -> None:
        """Put it on the page, with the most frequent class; nothing where there are two classes, or none."""
        if not self._classes:
            return
        ranked = sorted(self._classes.values(), key=lambda one: -one.rows)
        with panel(_("One class against the others"), _("on the held-out rows")):
            native_choice(_("Class"), {one.name: one.name for one in ranked}, self._show)
            self._place = box("stack")
        self._show(ranked[0].name)

    def _show(self, name: str) -> None:
        one = self._classes[name]
        self._place.clear()
        with self._place:
            with box("figures"):
                figure(_("Held-out rows"), number(one.rows))
                figure(_("Precision"), share(one.precision), note=_("of its answers are right"))
                figure(_("Recall"), share(one.recall), note=_("of its rows are found"))
                figure(metric("f1"), number(one.f1))
                figure(metric("auc"), number(one.auc))
            with box("cols wide"):
                _binary_curves(one.roc, one.precision_recall, one.calibration, name=name)


def _worst(segments: Sequence[Segment], loss: str) -> None:
    columns = (
        Column(name="where", label=_("Rows where")), Column(name="rows", label=_("Held-out rows"), numeric=True),
        Column(name="loss", label=loss, numeric=True),
        Column(name="ratio", label=_("Times that of the rest"), numeric=True),
    )  # fmt: skip
    with panel(
        _("Where it does worst"), _("slices whose error is above that of the rest by more than chance"), tight=True
    ):
        Table(
            columns,
            [
                Row(
                    id=f"{one.column}={one.value}",
                    cells={
                        "where": Cell(text=_("{column} is {value}").format(column=one.column, value=one.value)),
                        "rows": Cell(text=number(one.rows), sort=one.rows),
                        "loss": Cell(text=number(one.loss), sort=one.loss),
                        "ratio": _ratio(one.ratio),
                    },
                )
                for one in segments
            ],
            name="worst-slices",
        )


def _ratio(value: float | None) -> Cell:
    if value is None:
        return Cell(text="∞", sort=sys.float_info.max)  # infinity itself is no JSON
    return Cell(text=number(value, digits=3), sort=value)


def _fairness(one: Fairness) -> None:
    columns = (
        Column(name="selected", label=_("Given the positive class"), numeric=True),
        Column(name="hits", label=_("True positive rate"), numeric=True),
        Column(name="alarms", label=_("False positive rate"), numeric=True),
    )
    rows = [
        _group_row(
            group, selected=_share(group.selected), hits=_share(group.true_positive),
            alarms=_share(group.false_positive),
        )
        for group in one.groups
    ]  # fmt: skip
    _compared(one, _("Below four fifths") if one.flagged else _("Within four fifths"), columns, rows)


def _group_errors(one: GroupErrors) -> None:
    columns = (
        Column(name="mae", label=_("Mean absolute error"), numeric=True),
        Column(name="bias", label=_("Prediction minus truth"), numeric=True),
    )
    rows = [_group_row(group, mae=_mean(group.mae), bias=_mean(group.bias)) for group in one.groups]
    _compared(one, _("One group's errors are larger") if one.flagged else _("Errors are alike"), columns, rows)


def _compared(one: Fairness | GroupErrors, verdict: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """The groups of one protected column, and what their comparison says."""
    first = (Column(name="group", label=one.column), Column(name="rows", label=_("Held-out rows"), numeric=True))
    with panel(_("Fairness by {column}").format(column=one.column), _("held-out rows"), tight=True):
        with box("line").style("padding: 12px 20px"):
            if one.ratio is None and not one.flagged:
                badge("idle", _("Not compared"))
            else:
                badge("warn" if one.flagged else "ok", verdict)
            sentences((one.sentence,))
        Table((*first, *columns), rows, name=f"fairness-{one.column}")


def _group_row(group: Group | ErrorGroup, **cells: Cell) -> Row:
    name = Cell(text=group.name, note="" if group.judged else _("too few rows to compare"))
    return Row(id=group.name, cells={"group": name, "rows": Cell(text=number(group.rows), sort=group.rows)} | cells)


def _share(rate: Share) -> Cell:
    if rate.value is None:
        return Cell(text=share(rate.value), sort=-1.0, note=NONE)
    note = _("{low} to {high}").format(low=share(rate.low), high=share(rate.high))
    return Cell(text=share(rate.value), sort=rate.value, note=note)


def _mean(found: Mean) -> Cell:
    if found.low is None or found.high is None:
        return Cell(text=number(found.value), sort=found.value)
    note = _("{low} to {high}").format(low=number(found.low), high=number(found.high))
    return Cell(text=number(found.value), sort=found.value, note=note)

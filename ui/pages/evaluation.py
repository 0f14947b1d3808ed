"""What a version did on its held-out rows beyond the metrics: curves, the threshold, slices, groups."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.model_card import ModelCard
from appliance.model_evaluation import Curve, Cut, Evaluation, Fairness, Segment
from appliance.model_spec import Threshold
from appliance.models import ModelInfo
from appliance.permissions import Action
from ui.components.chart import Chart, Line, counted_bars, lines
from ui.components.facts import sentences
from ui.components.form import button, figure, native_slider
from ui.components.markup import box, panel, text
from ui.components.status import badge
from ui.components.table import Cell, Column, Row, Table
from ui.page import View, tell
from ui.words import NONE, number, share


def show_evaluation(view: View, model: ModelInfo, card: ModelCard) -> None:
    """Put it on the page; nothing for versions of releases that did not measure it."""
    found = card.evaluation
    if found is None:
        return
    if found.cuts:
        _ThresholdPanel(view, model, card, found.cuts).draw()
    elif found.confusion:
        with panel("Answers beside the truth", "held-out rows; the truth down, the answer across"):
            _matrix(card.classes, found.confusion)
    with box("cols wide"):
        _curves(card, found)
    if found.worst:
        _worst(found.worst, "RMSE" if card.task == "regression" else "log loss")
    for one in found.fairness:
        _fairness(one)
    if found.notes:
        text(" ".join(f"{note[0].upper()}{note[1:]}." for note in found.notes), "muted small")


class _ThresholdPanel:
    """The slider, and what the version would have answered from that probability on."""

    def __init__(self, view: View, model: ModelInfo, card: ModelCard, cuts: Sequence[Cut]) -> None:
        self._view, self._model, self._card, self._cuts = view, model, card, cuts
        self._place = min(range(len(cuts)), key=lambda i: abs(cuts[i].threshold - card.threshold))

    def draw(self) -> None:
        """Put it on the page."""
        positive = self._card.classes[-1]
        with panel("Threshold", f"{positive} is answered from this probability on; this version serves with "
                   f"{number(self._card.threshold)}"):  # fmt: skip
            native_slider("Threshold", len(self._cuts), self._place, self._move)
            self._result = box("stack")
            with self._result:
                self._show()

    def _move(self, place: int) -> None:
        self._place = place
        self._result.clear()
        with self._result:
            self._show()

    def _show(self) -> None:
        cut = self._cuts[self._place]
        with box("figures"):
            figure("Threshold", number(cut.threshold))
            figure("Precision", share(cut.precision), note="of the alarms are right")
            figure("Recall", share(cut.recall), note="of the positives are found")
            figure("F1", number(cut.f1))
        counts = ((cut.true_negative, cut.false_positive), (cut.false_negative, cut.true_positive))
        _matrix(self._card.classes, counts)
        if self._view.may(Action.WORK):
            with box("line"):
                button("Use it from the next training on", self._declare, icon_name="tune")
                text("A version that was trained keeps the threshold it was checked with.", "muted small")

    async def _declare(self) -> None:
        at = round(self._cuts[self._place].threshold, 4)
        wanted = msgspec.structs.replace(self._model.spec, threshold=Threshold(goal="fixed", at=at))
        done = await self._view.act(Action.WORK, self._view.appliance.models.apply, wanted, who=self._view.caller.name)
        if done:
            tell(f"{done.name} is declared with the threshold {number(at)}; train it to serve with it")


def _matrix(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    columns = (
        Column(name="truth", label="Truth"),
        *(Column(name=f"c{i}", label=f"answered {name}", numeric=True) for i, name in enumerate(classes)),
    )
    rows = [
        Row(id=name, cells={"truth": Cell(text=name)} | {
            f"c{i}": Cell(text=number(count), sort=count, note="right" if i == place else "")
            for i, count in enumerate(row)
        })
        for place, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]  # fmt: skip
    Table(columns, rows, name="confusion-matrix")


def _curves(card: ModelCard, found: Evaluation) -> None:
    if found.roc:
        _line(
            "ROC", found.roc, x="false positive rate", y="true positive rate", name="this version",
            straight="by chance",
        )  # fmt: skip
    if found.precision_recall:
        _line("Precision and recall", found.precision_recall, x="recall", y="precision", name="this version")
    if found.calibration:
        _line(
            "Calibration", found.calibration, x="probability given, mean of a tenth of the rows",
            y="share of positives", name="this version", straight="exactly as often as said",
        )  # fmt: skip
    if found.predicted:
        _line(
            "Prediction and truth", found.predicted, x="predicted, mean of a tenth of the rows",
            y=f"true {card.target}", name="this version", straight="exact",
        )  # fmt: skip
    if found.residuals:
        with panel("Errors", "prediction minus truth"):
            points = list(zip(found.residuals.x, found.residuals.y, strict=True))
            options = counted_bars(points, name="rows", x_name=f"error, in {card.target}", y_unit="rows")
            Chart(options, label="Held-out rows by their error")


def _line(title: str, curve: Curve, *, x: str, y: str, name: str, straight: str = "") -> None:
    series = [Line(name=name, points=list(zip(curve.x, curve.y, strict=True)))]
    if straight:
        ends = (min(curve.x), max(curve.x))
        series.append(Line(name=straight, points=[(end, end) for end in ends], colour="var(--series-2)", dashed=True))
    with panel(title, "on the held-out rows"):
        Chart(lines(series, y_unit=y, x_name=x), label=f"{title}: {y} by {x}")


def _worst(segments: Sequence[Segment], loss: str) -> None:
    columns = (
        Column(name="where", label="Rows where"), Column(name="rows", label="Held-out rows", numeric=True),
        Column(name="loss", label=loss, numeric=True),
        Column(name="ratio", label="Times that of the rest", numeric=True),
    )  # fmt: skip
    with panel("Where it does worst", "slices whose error is above that of the rest by more than chance", tight=True):
        Table(columns, [
            Row(id=f"{one.column}={one.value}", cells={
                "where": Cell(text=f"{one.column} is {one.value}"), "rows": Cell(text=number(one.rows), sort=one.rows),
                "loss": Cell(text=number(one.loss), sort=one.loss),
                "ratio": Cell(text=number(one.ratio, digits=3), sort=one.ratio),
            })
            for one in segments
        ], name="worst-slices")  # fmt: skip


def _fairness(one: Fairness) -> None:
    columns = (
        Column(name="group", label=one.column), Column(name="rows", label="Held-out rows", numeric=True),
        Column(name="selected", label="Given the positive class", numeric=True),
        Column(name="hits", label="True positive rate", numeric=True),
        Column(name="alarms", label="False positive rate", numeric=True),
    )  # fmt: skip
    with panel(f"Fairness by {one.column}", "held-out rows", tight=True):
        with box("line").style("padding: 12px 20px"):
            badge("warn" if one.flagged else "ok", "Below four fifths" if one.flagged else "Within four fifths")
            sentences((one.sentence,))
        Table(columns, [
            Row(id=group.name, cells={
                "group": Cell(text=group.name, note="" if group.judged else "too few rows to compare"),
                "rows": Cell(text=number(group.rows), sort=group.rows),
            } | {
                name: Cell(
                    text=share(rate.value), sort=rate.value if rate.value is not None else -1.0,
                    note=f"{share(rate.low)} to {share(rate.high)}" if rate.value is not None else NONE,
                )
                for name, rate in (("selected", group.selected), ("hits", group.true_positive),
                                   ("alarms", group.false_positive))
            })
            for group in one.groups
        ], name=f"fairness-{one.column}")  # fmt: skip

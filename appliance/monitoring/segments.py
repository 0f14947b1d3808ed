"""Quality by segment: the groups that an input column makes, and whether the model treats them alike. Pure.

Groups with fewer than 100 labelled rows are shown and judged by nothing: ratios of small groups turn from day to day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from appliance.monitoring.intervals import Interval, find_intervals, wilson
from appliance.monitoring.quality import Labelled, measure
from appliance.monitoring.spans import Json
from appliance.schema import FeatureSchema, Task

MIN_GROUP = 100
FOUR_FIFTHS = 0.8
"""A ratio of selection rates below this is flagged (29 CFR 1607.4 D, the four-fifths rule)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of ``rows`` with its 95 % Wilson interval; None without rows."""

    value: float | None
    rows: int
    interval: Interval

    @classmethod
    def of(cls, hits: int, rows: int) -> Rate:
        """``hits`` of ``rows``."""
        return cls(value=hits / rows if rows else None, rows=rows, interval=wilson(hits, rows))

    def to_json(self) -> Json:
        """The fields under their names."""
        return {"value": self.value, "rows": self.rows, "interval": list(self.interval)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The labelled predictions whose column has one value, or lies in one bin.

    Attributes:
        enough: At least 100 rows.
        intervals: Metric to its 95 % interval.
        selection: Binary: rows that got the positive answer.
        true_positive: Binary: of the positive rows, those that got it.
        false_positive: Binary: of the negative rows, those that got it.
    """

    name: str
    rows: int
    enough: bool
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    selection: Rate | None = None
    true_positive: Rate | None = None
    false_positive: Rate | None = None

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "name": self.name, "rows": self.rows, "enough": self.enough, "metrics": self.metrics,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "selection": self.selection.to_json() if self.selection else None,
            "true_positive": self.true_positive.to_json() if self.true_positive else None,
            "false_positive": self.false_positive.to_json() if self.false_positive else None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """How far the groups with enough rows lie apart.

    Attributes:
        selection_difference: Largest minus smallest selection rate.
        selection_ratio: Smallest over largest; None when nobody was selected.
        equalised_odds: The larger of the ranges of the true and the false positive rate; None where a group lacks
            positive or negative rows.
        flagged: The ratio is below four fifths, and the two groups' intervals do not overlap.
    """

    groups: int
    selection_difference: float
    selection_ratio: float | None
    equalised_odds: float | None
    flagged: bool
    sentence: str

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "groups": self.groups, "selection_difference": self.selection_difference,
            "selection_ratio": self.selection_ratio, "equalised_odds": self.equalised_odds,
            "flagged": self.flagged, "sentence": self.sentence,
        }  # fmt: skip


def judge_segments(schema: FeatureSchema, groups: Iterable[tuple[str, Labelled]]) -> tuple[Segment, ...]:
    """One segment a group that has rows, the largest first."""
    found = [_segment(schema, name, labelled) for name, labelled in groups if len(labelled)]
    return tuple(sorted(found, key=lambda segment: -segment.rows))


def judge_fairness(column: str, segments: Iterable[Segment]) -> Fairness | None:
    """Hold the groups with enough rows against each other; None with fewer than two, or without a positive answer."""
    found = [one for one in segments if one.enough and one.selection is not None]
    rates = [(one.selection.value, one) for one in found if one.selection and one.selection.value is not None]
    if len(rates) < 2:
        return None
    (low, least), (high, most) = min(rates, key=lambda pair: pair[0]), max(rates, key=lambda pair: pair[0])
    ratio = low / high if high > 0 else None
    apart = bool(least.selection and most.selection and least.selection.interval[1] < most.selection.interval[0])
    flagged = ratio is not None and ratio < FOUR_FIFTHS and apart
    sentence = (
        f"`{column}`: {most.name} gets the positive answer in {high:.1%}, {least.name} in {low:.1%} of the cases"
        + ("; less than four fifths of it, beyond chance." if flagged else ".")
    )
    return Fairness(
        groups=len(rates), selection_difference=high - low, selection_ratio=ratio,
        equalised_odds=_equalised_odds(found), flagged=flagged, sentence=sentence,
    )  # fmt: skip


def _equalised_odds(segments: list[Segment]) -> float | None:
    ranges = []
    for name in ("true_positive", "false_positive"):
        rates = [getattr(one, name) for one in segments]
        values = [rate.value for rate in rates if rate is not None and rate.value is not None]
        if len(values) < len(segments):
            return None
        ranges.append(max(values) - min(values))
    return float(max(ranges))


def _segment(schema: FeatureSchema, name: str, labelled: Labelled) -> Segment:
    metrics = measure(schema, labelled)
    intervals = find_intervals(schema.task, labelled.truth, labelled.outputs, threshold=schema.threshold)
    intervals = {metric: interval for metric, interval in intervals.items() if metric in metrics}
    rows, enough = len(labelled), len(labelled) >= MIN_GROUP
    if schema.task is not Task.BINARY:
        return Segment(name=name, rows=rows, enough=enough, metrics=metrics, intervals=intervals)
    chosen, positive = labelled.outputs[:, 0] >= schema.threshold, labelled.truth == 1
    return Segment(
        name=name, rows=rows, enough=enough, metrics=metrics, intervals=intervals,
        selection=Rate.of(int(chosen.sum()), rows),
        true_positive=Rate.of(int(np.sum(chosen & positive)), int(positive.sum())),
        false_positive=Rate.of(int(np.sum(chosen & ~positive)), int(np.sum(~positive))),
    )  # fmt: skip

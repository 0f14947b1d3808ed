"""What a model did on its held-out rows, beyond the metrics: curves, slices, groups; data for the card. Light."""

from __future__ import annotations

import msgspec

from appliance.schema import Task


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a line, at most some hundred, as many ``x`` as ``y``."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out row counts if the positive class were given from ``threshold`` on.

    Attributes:
        threshold: A probability in [0, 1].
    """

    threshold: float
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def precision(self) -> float | None:
        """Share of the alarms that are right; None without an alarm."""
        given = self.true_positive + self.false_positive
        return self.true_positive / given if given else None

    @property
    def recall(self) -> float | None:
        """Share of the positives that are found; None without a positive."""
        positives = self.true_positive + self.false_negative
        return self.true_positive / positives if positives else None

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 0 where nothing is found."""
        both = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / both if both else 0.0


class ClassResult(msgspec.Struct, frozen=True, kw_only=True):
    """One class against the others; a share that has no rows is None.

    Attributes:
        rows: Whose truth it is.
        given: Whose answer it is; 0, too, in a card that was written before this was counted.
        auc: Of several classes: how well its probability ranks its rows before all others; None with one side only.
        roc: Of several classes, the most frequent ten: as in ``Evaluation``, by its probability. So are the next two.
    """

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float
    given: int = 0
    auc: float | None = None
    roc: Curve | None = None
    precision_recall: Curve | None = None
    calibration: Curve | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out rows that have something in common.

    Attributes:
        column: By which they were picked.
        value: What they have in common, in words.
        loss: Of these rows: rmse, or log loss.
        ratio: Over the loss of all other held-out rows; None where these have none.
        z: Standard errors by which their mean loss is above that of the others.
    """

    column: str
    value: str
    rows: int
    loss: float
    ratio: float | None
    z: float


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share of rows and its Wilson interval (95 %); all None without rows."""

    rows: int
    value: float | None
    low: float | None
    high: float | None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group of a protected column.

    Attributes:
        selected: Share that was given the positive class.
        true_positive: The same among rows whose truth is positive.
        false_positive: The same among rows whose truth is negative.
        judged: It has enough rows to be compared.
    """

    name: str
    rows: int
    selected: Share
    true_positive: Share
    false_positive: Share
    judged: bool


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one protected column, compared among those with enough rows.

    Attributes:
        difference: Largest selection rate minus smallest; None with fewer than two groups to compare, as all below.
        ratio: Smallest over largest.
        equalised_odds: The larger of the ranges of the true and the false positive rates.
        flagged: The ratio is below four fifths.
    """

    column: str
    groups: tuple[Group, ...]
    difference: float | None
    ratio: float | None
    equalised_odds: float | None
    flagged: bool
    sentence: str


class Mean(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over rows and its interval (95 %, normal approximation); low and high are None with one row."""

    value: float
    low: float | None
    high: float | None


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One group of a protected column in a regression; in the target's unit.

    Attributes:
        mae: Mean absolute error.
        bias: Mean of prediction - truth.
        judged: It has enough rows to be compared.
    """

    name: str
    rows: int
    mae: Mean
    bias: Mean
    judged: bool


class GroupErrors(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of the groups of one protected column, compared among those with enough rows.

    Attributes:
        ratio: Largest mean absolute error over the smallest; None with fewer than two groups to compare, and where the
            smallest is 0.
        flagged: It is above five fourths, or the smallest is 0 and the largest is not, and by more than chance: the
            intervals of the two do not meet.
    """

    column: str
    groups: tuple[ErrorGroup, ...]
    ratio: float | None
    flagged: bool
    sentence: str


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One column's share of the mean absolute contributions (SHAP) to held-out rows' raw scores, in [0, 1]."""

    column: str
    share: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A model on its held-out rows; what a task does not have is empty or None.

    Attributes:
        confusion: Row counts, truth by answer, in the classes' order.
        cuts: Binary: by rising threshold, at most some hundred; none in cards of earlier releases.
        roc: False positive rate to true positive rate.
        precision_recall: Recall to precision.
        calibration: Mean probability to share of positives, ten equal-count bins.
        residuals: Prediction minus truth: bin middles to row counts.
        predicted: Mean prediction to mean truth, ten equal-count bins.
        worst: Slices whose loss is above that of the others beyond chance, the worst first; at most ten.
        group_errors: Regression: what fairness is of classes.
        coverage: Share of rows whose truth lies in the declared interval.
        notes: Sentences: what could not be measured.
    """

    task: Task
    classes: tuple[ClassResult, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    cuts: tuple[Cut, ...] = ()
    roc: Curve | None = None
    precision_recall: Curve | None = None
    calibration: Curve | None = None
    residuals: Curve | None = None
    predicted: Curve | None = None
    contributions: tuple[Contribution, ...] = ()
    worst: tuple[Segment, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    group_errors: tuple[GroupErrors, ...] = ()
    coverage: Share | None = None
    notes: tuple[str, ...] = ()

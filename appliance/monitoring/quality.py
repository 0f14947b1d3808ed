"""Quality: exact metrics of labelled predictions, and whether they are worse than the holdout's beyond noise. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from appliance.figures import figure
from appliance.monitoring.bins import Floats, Ints
from appliance.monitoring.spans import State
from appliance.schema import FeatureSchema, Task
from appliance.training.evaluate import PRIMARY, evaluate

MATURE_COVERAGE = 0.9
"""A window is judged once so large a share of its predictions has a label."""
MIN_LABELLED = 50
WARN_RATIO = 1.1
"""Loss over the holdout's loss from which on quality is worse; the loss is rmse, 1 - AUC or log loss."""
ALARM_RATIO = 1.25
Z = 3.09
"""Standard errors that chance exceeds once in a thousand times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Predictions with their truth.

    Attributes:
        truth: Numbers or class indices, shape ``(n,)``.
        outputs: Shape ``(n, schema.outputs)``.
        delay_s: Seconds from each prediction's event time to its label's.
        event_us: Each prediction's event time.
    """

    truth: Floats
    outputs: Floats
    delay_s: Floats
    event_us: Ints

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Labelled:
        """Some of them, by a mask of shape ``(n,)``."""
        return Labelled(
            truth=self.truth[chosen],
            outputs=self.outputs[chosen],
            delay_s=self.delay_s[chosen],
            event_us=self.event_us[chosen],
        )


def join(parts: Sequence[Labelled]) -> Labelled:
    """One after the other; at least one part, all with as many outputs."""
    if len(parts) == 1:
        return parts[0]
    return Labelled(
        truth=np.concatenate([part.truth for part in parts]),
        outputs=np.concatenate([part.outputs for part in parts]),
        delay_s=np.concatenate([part.delay_s for part in parts]),
        event_us=np.concatenate([part.event_us for part in parts]),
    )


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """rmse, 1 - AUC or log loss of some rows with its standard error; None where it is undefined."""

    rows: int
    value: float | None
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether quality is worse than the holdout's, in a state and a sentence."""

    state: State
    sentence: str


def measure(schema: FeatureSchema, labelled: Labelled) -> dict[str, float]:
    """The task's metrics, and the bias (mean of prediction - truth) of a regression; empty without labels."""
    if len(labelled) == 0:
        return {}
    metrics = dict(evaluate(schema.task, labelled.truth, labelled.outputs, threshold=schema.threshold))
    if schema.task is Task.REGRESSION:
        metrics["bias"] = float(np.mean(labelled.outputs[:, 0] - labelled.truth))
    return metrics


def judge_quality(
    schema: FeatureSchema, found: Loss, reference: Mapping[str, float], *, holdout_rows: int, mature: bool
) -> Verdict:
    """Hold the window's loss against the holdout's.

    Worse means: by the ratio (1.1 warn, 1.25 alarm) and by more than 3.09 standard errors of the difference. Where the
    holdout had no loss at all, the standard errors alone decide, and worse is an alarm.

    Args:
        schema: The task.
        found: Of the window's labelled predictions.
        reference: The holdout's metrics.
        holdout_rows: How many rows those were measured on.
        mature: Labels cover the window.
    """
    if not mature or found.rows < MIN_LABELLED:
        missing = "labels do not cover the window yet" if not mature else f"only {found.rows} labels came"
        return Verdict(state=State.NOT_ENOUGH_DATA, sentence=f"Quality cannot be judged: {missing}.")
    metric, loss = PRIMARY[schema.task], found.value
    if metric not in reference or loss is None:
        return Verdict(state=State.NOT_ENOUGH_DATA, sentence=f"Quality cannot be judged: {metric} is undefined here.")
    expected = 1.0 - reference[metric] if metric == "auc" else reference[metric]
    noise = Z * found.error * np.sqrt(1.0 + found.rows / max(1, holdout_rows))
    least = math.inf if loss > 0 else 1.0  # of a holdout without any loss, any loss is infinitely many times it
    ratio = loss / expected if expected > 0 else least
    value = 1.0 - loss if metric == "auc" else loss
    words = f"{metric} is {figure(value)}; it was {figure(reference[metric])} on the holdout"
    if ratio < WARN_RATIO or loss - expected <= noise:
        return Verdict(state=State.OK, sentence=f"Quality holds: {words}.")
    state = State.ALARM if ratio >= ALARM_RATIO else State.WARN
    return Verdict(state=state, sentence=f"Quality fell: {words}.")


def find_loss(task: Task, labelled: Labelled) -> Loss:
    """The loss of labelled predictions, and its standard error."""
    value, error = _loss(task, labelled) if len(labelled) else (None, 0.0)
    return Loss(rows=len(labelled), value=value, error=error)


def _loss(task: Task, labelled: Labelled) -> tuple[float | None, float]:
    truth, outputs = labelled.truth, labelled.outputs
    n = len(truth)
    if task is Task.REGRESSION:
        squares = (outputs[:, 0] - truth) ** 2
        rmse = float(np.sqrt(squares.mean()))
        # Delta method: the error of a root is the error of the mean over twice the root.
        return rmse, float(squares.std() / np.sqrt(n) / (2 * rmse)) if rmse > 0 else 0.0
    if task is Task.MULTICLASS:
        picked = np.clip(outputs[np.arange(n), truth.astype(np.int64)], 1e-15, 1.0)
        return float(-np.log(picked).mean()), float(np.log(picked).std() / np.sqrt(n))
    area = evaluate(task, truth, outputs).get("auc")
    return (None, 0.0) if area is None else (1.0 - area, _error_of_auc(area, float(truth.sum()), n))


def _error_of_auc(area: float, positives: float, rows: int) -> float:
    """Standard error of an area under the ROC curve (Hanley and McNeil, 1982)."""
    negatives = rows - positives
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    ) / (positives * negatives)
    return float(np.sqrt(max(0.0, variance)))

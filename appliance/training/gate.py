"""Whether a challenger becomes champion, and why, in sentences."""

from __future__ import annotations

from appliance.model_card import Gate
from appliance.training.evaluate import is_better


def judge(
    metric: str,
    metrics: dict[str, float],
    baseline: dict[str, float],
    *,
    champion: dict[str, float] | None,
    champion_version: int | None,
    obstacle: str | None = None,
) -> Gate:
    """The first version passes, or one that beats the champion on the primary metric; a tie does not.

    Args:
        metric: The primary one, to compare by.
        metrics: The challenger's, on the holdout.
        baseline: The dummy's, on the holdout.
        champion: The champion's, on the same holdout; None when there is none or it could not be scored.
        champion_version: None when there is no champion.
        obstacle: Why the champion could not be scored.
    """
    value = metrics[metric]
    reasons = []
    if champion_version is None:
        passed = True
        reasons.append(f"first version of the model: {metric} {value:.4g} on the holdout")
    elif champion is None or metric not in champion:
        passed = True
        reasons.append(f"champion version {champion_version} cannot be compared: {obstacle or f'it has no {metric}'}")
    else:
        passed = is_better(metric, value, champion[metric])
        verdict = "better than" if passed else "not better than"
        reasons.append(
            f"{metric} {value:.4g} is {verdict} {champion[metric]:.4g} of champion version {champion_version} "
            "on the same holdout"
        )
    if metric in baseline and not is_better(metric, value, baseline[metric]):
        reasons.append(
            f"beware: {metric} {value:.4g} does not beat {baseline[metric]:.4g} of the dummy that knows no column; "
            "the columns may say nothing about the target"
        )
    return Gate(passed=passed, reasons=tuple(reasons))

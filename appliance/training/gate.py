"""Whether a challenger becomes champion, and why, in sentences."""

from __future__ import annotations

from appliance.figures import figure
from appliance.model_card import Gate, GateCheck
from appliance.training.contest import Contest
from appliance.training.evaluate import is_better


def judge(
    metric: str,
    metrics: dict[str, float],
    baseline: dict[str, float],
    *,
    contest: Contest,
    beware: str | None = None,
) -> Gate:
    """The first version passes, or one that beats the champion on the primary metric; a tie does not.

    Args:
        metric: The primary one, to compare by.
        metrics: The challenger's, on the holdout.
        baseline: The dummy's, on the holdout.
        contest: The champion on the same holdout.
        beware: Why the champion's figures may say too much; it decides nothing.
    """
    value = metrics[metric]
    champion, champion_version, obstacle = contest.metrics, contest.version, contest.obstacle
    if champion_version is None:
        passed = True
        reason = f"first version of the model: {metric} {figure(value)} on the holdout"
    elif champion is None or metric not in champion:
        passed = True
        reason = f"champion version {champion_version} cannot be compared: {obstacle or f'it has no {metric}'}"
    else:
        passed = is_better(metric, value, champion[metric])
        verdict = "better than" if passed else "not better than"
        reason = (
            f"{metric} {figure(value)} is {verdict} {figure(champion[metric])} of champion version {champion_version} "
            "on the same holdout"
        )
    checks = [GateCheck(passed=passed, reason=reason), *_beside_the_dummy(metric, value, baseline)]
    if beware is not None:
        checks.append(GateCheck(passed=False, reason=beware, binding=False))
    # What is as it should be beside the dummy goes without saying where there is one sentence a reason.
    said = tuple(check.reason for check in checks if check.binding or not check.passed)
    return Gate(passed=passed, reasons=said, checks=tuple(checks))


def _beside_the_dummy(metric: str, value: float, baseline: dict[str, float]) -> list[GateCheck]:
    if metric not in baseline:
        return []
    beats = is_better(metric, value, baseline[metric])
    dummy = f"{figure(baseline[metric])} of the dummy that knows no column"
    reason = (
        f"{metric} {figure(value)} beats {dummy}"
        if beats
        else f"beware: {metric} {figure(value)} does not beat {dummy}; the columns may say nothing about the target"
    )
    return [GateCheck(passed=beats, reason=reason, binding=False)]

"""Taking back what was just done, as long as nothing else was done since."""

from __future__ import annotations

from appliance.deployments import Deployment, Deployments
from appliance.errors import Conflict


def undo_promotion(deployments: Deployments, promoted: Deployment, trial: Deployment, *, who: str) -> None:
    """Let the version serve that served before, and the promoted one be on trial again as it was.

    Args:
        deployments: Of the appliance.
        promoted: What the promotion returned.
        trial: The canary or shadow that was promoted.
        who: Takes it back.

    Raises:
        Conflict: Something else was deployed since, or nothing served before.
        BundleRefused: A bundle is damaged.
    """
    standing = [one for one in deployments.current() if one.model == promoted.model and one.role != "shadow"]
    if [(one.version, one.started_at) for one in standing] != [(promoted.version, promoted.started_at)]:
        raise Conflict(
            f"the deployments of {promoted.model!r} changed since version {promoted.version} was promoted; "
            "Roll back takes the newest change back"
        )
    why = "the promotion was taken back"
    deployments.rollback(promoted.model, who=who, reason=why, expected=promoted)
    if trial.role == "canary" and trial.percent is not None:
        deployments.start_canary(promoted.model, trial.percent, trial.version, who=who, reason=why)
    else:
        deployments.start_shadow(promoted.model, trial.version, who=who, reason=why)

"""Deployments: which version of a model serves, since when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A version serving in a role; ``ended_at`` is None while it does."""

    model: str
    version: int
    role: str
    started_at: datetime
    ended_at: datetime | None
    who: str
    reason: str


class Deployments:
    """What serves on one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def deploy(self, name: str, version: int | None = None, *, who: str, reason: str = "") -> Deployment:
        """Let a version serve; None: the champion.

        Raises:
            NotFound: No such model or version, or the model has no champion yet.
            Conflict: The deployments changed meanwhile.
            BundleRefused: The bundle is damaged.
        """
        raise NotImplementedError

    def rollback(self, name: str, *, who: str, reason: str = "") -> Deployment:
        """Let the version serve again that served before the present one.

        Raises:
            NotFound: No such model.
            Conflict: Nothing served before.
        """
        raise NotImplementedError

    def current(self) -> tuple[Deployment, ...]:
        """What serves now, by model."""
        raise NotImplementedError

    def history(self, name: str) -> tuple[Deployment, ...]:
        """All deployments of a model, newest first.

        Raises:
            NotFound: No such model.
        """
        raise NotImplementedError

"""Models: declared, listed, described; their versions and cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.model_card import Champion, Gate, ModelCard
from appliance.model_spec import ModelSpec
from appliance.schema import Task
from appliance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One declared model.

    Attributes:
        champion: The version with the alias champion, the best so far; None before the first training.
        deployed: The version that serves as champion now; None when none does.
        latest: The newest version.
    """

    name: str
    task: Task
    dataset: str
    target: str
    spec: ModelSpec
    champion: int | None
    deployed: int | None
    latest: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One trained version; ``alias`` is champion, challenger or None."""

    model: str
    version: int
    run_id: str
    dataset: str
    dataset_version: int
    rows: int
    seconds: float
    metrics: dict[str, float]
    baseline: dict[str, float]
    champion: Champion | None
    gate: Gate
    alias: str | None
    created_at: datetime
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A declaration worked out from a dataset, and why, in sentences."""

    spec: ModelSpec
    sentences: tuple[str, ...]


class Models:
    """The declared models of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def apply(self, spec: ModelSpec, *, who: str) -> ModelInfo:
        """Declare a model or change its declaration; the next training follows it.

        Raises:
            BadModelSpec: A key is wrong, or names a column the dataset does not have.
            NotFound: No such dataset.
        """
        raise NotImplementedError

    def create(self, spec: ModelSpec, *, who: str) -> ModelInfo:
        """Declare a new model.

        Raises:
            Conflict: The name is taken.
            BadModelSpec: As ``apply``.
            NotFound: As ``apply``.
        """
        raise NotImplementedError

    def list(self) -> tuple[ModelInfo, ...]:
        """Every model, by name."""
        raise NotImplementedError

    def get(self, name: str) -> ModelInfo:
        """One model.

        Raises:
            NotFound: No such model.
        """
        raise NotImplementedError

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Its versions, newest first.

        Raises:
            NotFound: No such model.
        """
        raise NotImplementedError

    def card(self, name: str, version: int | None = None) -> ModelCard:
        """A version's card; None: the deployed version, else the champion, else the newest.

        Raises:
            NotFound: No such model or version, or it has no version yet.
        """
        raise NotImplementedError

    def propose(self, dataset: str, target: str, *, name: str | None = None) -> Proposal:
        """A declaration for a dataset: task, time column, columns that look like leaks or ids excluded.

        Raises:
            NotFound: No such dataset.
            BadTable: The dataset has no such column, or the target cannot be learned.
        """
        raise NotImplementedError

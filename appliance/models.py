"""Models: declared, listed, described; their versions and cards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from appliance.errors import BadModelSpec, BundleRefused, Conflict, NotFound
from appliance.model_card import Gate, ModelCard
from appliance.model_spec import ModelSpec, dump_spec, load_spec, require_params, require_sound
from appliance.schema import Task
from appliance.settings import Settings
from storage.audit_rows import AuditEntry, append_audit
from storage.bundles import read_bundle, replace_durably
from storage.deployment_rows import find_deployment
from storage.errors import BundleCorrupt, BundleNotFound, DatasetNotFound
from storage.model_rows import (
    ModelRow,
    VersionRow,
    find_alias,
    find_model,
    find_newest_version,
    list_models,
    list_versions,
    put_model,
)  # fmt: skip
from storage.statedb import connect, transaction

if TYPE_CHECKING:
    from appliance.orders import Order, Worker
    from storage.datasets import Snapshot


T = TypeVar("T")


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
    champion: dict[str, float] | None
    gate: Gate
    alias: str | None
    created_at: datetime
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A declaration worked out from a dataset, and why, in sentences.

    Attributes:
        suspects: Columns that may know the target: a person has to say whether they are known in time.
    """

    spec: ModelSpec
    sentences: tuple[str, ...]
    suspects: tuple[str, ...] = ()


class Models:
    """The declared models of one appliance; a ``worker`` looks at rows, this process where none is given."""

    def __init__(self, settings: Settings, worker: Worker | None = None) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._worker = worker

    def apply(self, spec: ModelSpec, *, who: str) -> ModelInfo:
        """Declare a model or change its declaration; the next training follows it.

        Raises:
            BadModelSpec: A key is wrong, or names a column the dataset does not have.
            BadTable: The target is missing or cannot be learned.
            NotFound: No such dataset.
        """
        require_sound(spec)
        require_params(spec)
        found = self._check_against_dataset(spec)
        task = spec.task or self._champions_task(spec) or found
        now = datetime.now(UTC)
        row = ModelRow(
            name=spec.name, task=task.value, dataset=spec.dataset, target=spec.target, created_at=now, updated_at=now
        )
        entry = AuditEntry(at=now, who=who, action="model.apply", subject=spec.name, detail=f"dataset {spec.dataset}")
        with self._database() as connection, transaction(connection):
            put_model(connection, row)
            append_audit(connection, entry)
            replace_durably(self._spec_path(spec.name), dump_spec(spec).encode())
        return self.get(spec.name)

    def create(self, spec: ModelSpec, *, who: str) -> ModelInfo:
        """Declare a new model.

        Raises:
            Conflict: The name is taken.
            BadModelSpec: As ``apply``.
            BadTable: As ``apply``.
            NotFound: As ``apply``.
        """
        with self._database() as connection:
            if find_model(connection, spec.name) is not None:
                raise Conflict(
                    f"there is a model {spec.name!r} already; change it with 'appliance apply', or choose another name"
                )
        return self.apply(spec, who=who)

    def list(self) -> tuple[ModelInfo, ...]:
        """Every model, by name."""
        with self._database() as connection:
            return tuple(self._info(connection, row) for row in list_models(connection))

    def get(self, name: str) -> ModelInfo:
        """One model.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            return self._info(connection, require_model(connection, name))

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Its versions, newest first.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            require_model(connection, name)
            return tuple(_version_info(row) for row in list_versions(connection, name))

    def newest(self, name: str) -> VersionInfo | None:
        """Its newest version, or None before its first training.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            require_model(connection, name)
            row = find_newest_version(connection, name)
        return None if row is None else _version_info(row)

    def card(self, name: str, version: int | None = None) -> ModelCard:
        """A version's card; None: the deployed version, else the champion, else the newest.

        Raises:
            NotFound: No such model or version, or it has no version yet.
        """
        info = self.get(name)
        wanted = (info.deployed or info.champion or info.latest) if version is None else version
        if wanted is None:
            raise NotFound(f"model {name!r} has no version yet; train it with 'appliance train {name}'")
        try:
            _, files = read_bundle(self._layout, name, wanted)
            return msgspec.json.decode(files["card.json"], type=ModelCard)
        except BundleNotFound as exc:
            raise NotFound(str(exc)) from exc
        except (BundleCorrupt, KeyError, msgspec.DecodeError) as exc:
            raise BundleRefused(f"the card of {name!r} version {wanted} cannot be read: {exc}") from exc

    def card_page(self, name: str, version: int | None = None) -> str:
        """A version's card as one HTML document, with the call of it on this appliance.

        Raises:
            NotFound: No such model or version, or it has no version yet.
            BundleRefused: The bundle is damaged.
        """
        from appliance.card_page import render_card  # noqa: PLC0415  (for whoever asks for the page alone)

        card = self.card(name, version)
        return render_card(card, api_url=self._settings.api_url, example=self.example(name, card.version))

    def example(self, name: str, version: int) -> dict[str, object] | None:
        """A row that a version takes, from its golden rows; None where its bundle has none that can be read."""
        try:
            _, files = read_bundle(self._layout, name, version)
            rows = msgspec.json.decode(files["golden.json"])["rows"]
        except (BundleNotFound, BundleCorrupt, KeyError, msgspec.DecodeError):
            return None
        return rows[0] if rows else None

    def propose(self, dataset: str, target: str, *, name: str | None = None) -> Proposal:
        """A declaration for a dataset: task, time column, ids excluded, columns that look like leaks named.

        Raises:
            NotFound: No such dataset.
            BadTable: The dataset has no such column, or the target cannot be learned.
        """
        return self.complete(ModelSpec(name=name or dataset, dataset=dataset, target=target))

    def complete(self, spec: ModelSpec) -> Proposal:
        """The same for a declaration that says some of it already.

        Raises:
            NotFound: No such dataset.
            BadTable: The dataset has no column that it names, or the target cannot be learned.
            BadInput: It contradicts itself.
        """
        from appliance.orders import Propose  # noqa: PLC0415  (loads Polars)

        require_sound(spec)
        self._snapshot(spec.dataset)
        return self._do(Propose(spec=spec), Proposal)

    def _check_against_dataset(self, spec: ModelSpec) -> Task:
        from appliance.orders import FindTask, FoundTask  # noqa: PLC0415  (loads Polars)

        known = [column.name for column in self._snapshot(spec.dataset).columns]
        for key, column in spec.named_columns:
            if column not in known:
                raise BadModelSpec(
                    f"key '{key}': dataset {spec.dataset!r} has no column {column!r}; it has {', '.join(known)}"
                )
        return self._do(FindTask(dataset=spec.dataset, target=spec.target, task=spec.task), FoundTask).task

    def _champions_task(self, spec: ModelSpec) -> Task | None:
        """What its next version predicts like, where nothing is declared; None without a champion of that target."""
        with self._database() as connection:
            champion = find_alias(connection, spec.name, "champion")
        if champion is None:
            return None
        try:
            card = self.card(spec.name, champion.version)
        except (NotFound, BundleRefused):
            return None
        return Task(card.task) if card.target == spec.target else None

    def _do(self, order: Order, answer: type[T]) -> T:
        from appliance.orders import Here  # noqa: PLC0415  (loads Polars)

        return (self._worker or Here(self._settings)).do(order, answer)

    def _snapshot(self, dataset: str) -> Snapshot:
        from storage.datasets import get_snapshot  # noqa: PLC0415  (loads Polars)

        try:
            return get_snapshot(self._layout, dataset)
        except DatasetNotFound as exc:
            raise NotFound(str(exc)) from exc

    def _spec_path(self, name: str) -> Path:
        return self._layout.specs / f"{name}.toml"

    def _info(self, connection: sqlite3.Connection, row: ModelRow) -> ModelInfo:
        champion = find_alias(connection, row.name, "champion")
        live = find_deployment(connection, row.name, "champion")
        newest = find_newest_version(connection, row.name)
        return ModelInfo(
            name=row.name, task=Task(row.task), dataset=row.dataset, target=row.target,
            spec=load_spec(self._spec_path(row.name)), champion=None if champion is None else champion.version,
            deployed=None if live is None else live.version, latest=None if newest is None else newest.version,
            created_at=row.created_at, updated_at=row.updated_at,
        )  # fmt: skip

    def _database(self) -> closing[sqlite3.Connection]:
        return closing(connect(self._layout.database))


def require_model(connection: sqlite3.Connection, name: str) -> ModelRow:
    """The row of a declared model.

    Raises:
        NotFound: No such model; names those there are.
    """
    row = find_model(connection, name)
    if row is None:
        known = ", ".join(model.name for model in list_models(connection)) or "none yet"
        raise NotFound(f"there is no model {name!r}; declared models: {known}")
    return row


def _version_info(row: VersionRow) -> VersionInfo:
    return VersionInfo(
        model=row.model, version=row.version, run_id=row.run_id, dataset=row.dataset,
        dataset_version=row.dataset_version, rows=row.rows, seconds=row.seconds, metrics=row.metrics,
        baseline=row.baseline, champion=row.champion, gate=Gate(passed=row.gate.passed, reasons=row.gate.reasons),
        alias=row.alias, created_at=row.created_at, job_id=row.job_id,
    )  # fmt: skip

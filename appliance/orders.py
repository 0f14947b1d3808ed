"""What may be ordered that reads or writes whole tables, what is answered, and who does it: this process, or one apart.

Imports neither DuckDB nor Arrow nor Delta: ``appliance.table_work`` does, which does the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec
import polars as pl

from appliance.errors import BadInput, Conflict, NotFound
from appliance.findings import Finding
from appliance.intake import Intake
from appliance.model_spec import ModelSpec
from appliance.schema import Task
from appliance.settings import Settings
from storage.columns import ColumnInfo
from storage.errors import (
    AlreadyIngested,
    DatasetNotFound,
    RulesBroken,
    RulesWrong,
    SchemaChanged,
    SnapshotNotFound,
    SourceUnreadable,
)
from storage.profile import ColumnProfile

T = TypeVar("T")


class TakeIn(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read a source into a new snapshot; answered by an ``Ingest``."""

    name: str
    intake: Intake
    who: str
    look: bool


class Refresh(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the newest snapshot's source again; answered by a ``Refreshed``."""

    name: str
    who: str
    evolve: bool


class LookThrough(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the first rows of a source and work out their figures; answered by a ``FirstLook``."""

    intake: Intake
    rows: int
    most_rows: int


class Describe(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Work out a snapshot's figures; answered by a ``TableProfile``."""

    name: str
    version: int


class Inspect(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Look for what is suspicious about a snapshot; answered by ``Findings``."""

    name: str
    version: int


class Compare(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Hold two snapshots against each other; answered by a ``SnapshotDiff``."""

    name: str
    old: int
    new: int


class Head(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the first rows of a snapshot; answered by a frame."""

    name: str
    version: int
    rows: int


class Rejects(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the rows that an ingest's rules rejected; answered by a frame."""

    name: str
    version: int
    rows: int | None


class FindTask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Find out what kind of target a column is; answered by a ``FoundTask``."""

    dataset: str
    target: str
    task: Task | None


class Propose(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Work out the rest of a declaration; answered by a ``Proposal``."""

    spec: ModelSpec


class JudgeDrift(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Hold a window of traffic against a version of the dataset; answered by a ``DriftReport``."""

    model: str
    window_s: int
    version: int | None
    until: datetime | None
    against: str


class LookAtUpkeep(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """List the backups and, where ``plan`` says so, what would go now; answered by an ``UpkeepReport``."""

    plan: bool


class BackUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make a backup and prove it; answered by a ``BackedUp``."""

    who: str


Order = (
    TakeIn | Refresh | LookThrough | Describe | Inspect | Compare | Head | Rejects | FindTask | Propose
    | JudgeDrift | LookAtUpkeep | BackUp
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """A snapshot that was added, and what is suspicious about it."""

    dataset: str
    version: int
    rows: int
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A refresh found the bytes that are there already; no snapshot was added."""

    dataset: str
    version: int
    source: str


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh came to; without ``added`` it found the bytes that ``version`` is of."""

    dataset: str
    version: int
    source: str
    added: Ingest | None = None

    @property
    def outcome(self) -> Ingest | Unchanged:
        """One of the two."""
        return self.added or Unchanged(dataset=self.dataset, version=self.version, source=self.source)


class FoundTask(msgspec.Struct, frozen=True, kw_only=True):
    """What a target is."""

    task: Task


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is suspicious about a snapshot."""

    found: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The beginning of a source that was not added yet.

    Attributes:
        columns: As they would be read.
        rows: The first ones, in those types.
        notes: What was decided while reading it, one sentence each.
        sheets: Of a workbook, the one that was read first.
        as_text: Columns whose numbers only a text holds; an ingest reads them so where its ``types`` say it.
    """

    columns: tuple[ColumnInfo, ...]
    rows: pl.DataFrame
    notes: tuple[str, ...]
    sheets: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """A source that was not added yet: its first rows, and what its columns look like so far.

    Attributes:
        glance: The first rows.
        profile: Each column in figures, of the first ``looked_at`` rows.
        findings: What is suspicious about those, as for a snapshot.
        looked_at: So many rows were looked at.
        is_whole: These are all there are.
    """

    glance: Glance
    profile: tuple[ColumnProfile, ...]
    findings: tuple[Finding, ...]
    looked_at: int
    is_whole: bool


class StopButton:
    """Ends what is being done before it is done; pressed by one thread, watched by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self.pressed = False

    def press(self) -> None:
        """End it, now or when it begins."""
        with self._lock:
            self.pressed = True
            if self._end is not None:
                self._end()

    @contextmanager
    def held_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Within this, pressing it calls ``end``; at once where it was pressed before."""
        with self._lock:
            self._end = end
            if self.pressed:
                end()
        try:
            yield
        finally:
            with self._lock:
                self._end = None


class Worker(Protocol):
    """Does what is ordered, wherever it does it."""

    def do(self, order: Order, answer: type[T], stop: StopButton | None = None) -> T:
        """The answer to an order, which is of the type that the order names.

        Raises:
            ApplianceError: What the work itself raises.
            StorageError: Likewise.
            Stopped: The button was pressed before it was done.
            ProcessLost: Its process ended before it had answered.
        """
        ...


class Here:
    """Does what is ordered in this process, whose death is the only way to stop it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def do(self, order: Order, answer: type[T], stop: StopButton | None = None) -> T:  # noqa: ARG002
        """``Worker.do``."""
        from appliance.table_work import TableWork  # noqa: PLC0415  (loads DuckDB, Arrow and Delta)

        done = TableWork(self._settings).do(order)
        if not isinstance(done, answer):
            raise TypeError(f"{type(order).__name__} is answered by {type(done).__name__}")
        return done


@contextmanager
def as_bad_input() -> Iterator[None]:
    """Tell the faults of a source, of rules and of columns as what they are to a caller: input that cannot be used."""
    try:
        yield
    except (SourceUnreadable, SchemaChanged, RulesWrong, RulesBroken) as exc:
        raise BadInput(str(exc)) from exc
    except AlreadyIngested as exc:
        raise Conflict(str(exc)) from exc


@contextmanager
def as_not_found() -> Iterator[None]:
    """Tell what is not there as the appliance tells it."""
    try:
        yield
    except (DatasetNotFound, SnapshotNotFound) as exc:
        raise NotFound(str(exc)) from exc

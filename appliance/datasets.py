"""Datasets as an operator knows them: add, list, show, compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from appliance.access import Access
from appliance.checks import Code, Finding, check_table, leak_findings
from appliance.column_types import Glance, declared_types, glance_at_source, read_as_text
from appliance.errors import BadInput, Conflict, NotFound
from appliance.intake import Intake, require_target
from appliance.leak_suspects import find_suspects
from appliance.settings import Settings
from appliance.snapshot_diff import SnapshotDiff, changed_columns, only_in
from storage.columns import ColumnInfo
from storage.conform import arrow_schema, columns_of, conform, require_same_columns
from storage.datasets import (
    ArrowStream,
    IngestInfo,
    Mode,
    Snapshot,
    get_snapshot,
    list_datasets,
    list_snapshots,
    read_rejected,
    scan_snapshot,
)
from storage.download import DownloadLimits
from storage.errors import (
    AlreadyIngested,
    DatasetNotFound,
    RulesBroken,
    RulesWrong,
    SchemaChanged,
    SnapshotNotFound,
    SourceUnreadable,
    StateUnwritable,
)
from storage.ingest import ingest, require_name
from storage.profile import ColumnProfile, TableProfile, profile
from storage.rules import Rules, find_rules, parse_rules, put_rules
from storage.sources import Source, SourceOptions, read_source, told_source


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


class Datasets:
    """The datasets of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout

    def add(
        self,
        name: str,
        source: str,
        *,
        query: str | None = None,
        append: bool = False,
        target: str | None = None,
        who: str,
    ) -> Ingest:
        """``take_in`` for the most frequent questions: a source, a query, a target."""
        return self.take_in(name, Intake(source=source, query=query, append=append, target=target), who=who)

    def take_in(self, name: str, intake: Intake, *, who: str, look: bool = True) -> Ingest:
        """Read a source into a new snapshot; nothing changes when it cannot be read to its end.

        Args:
            name: The dataset; it is made when it is new.
            intake: What to read, and how.
            who: Who adds it.
            look: Profile it at once, for its warnings; else that is left to the first who asks.

        Raises:
            BadInput: The name, the source, the SQL, or the columns of an append are wrong, or the rows break the
                dataset's rules; names it.
            BadTable: The target is missing, constant, or there is nothing else to learn from.
            Conflict: It may be taken in once, and was.
            StateUnwritable: The disk is full or read-only.
        """
        with _as_bad_input():
            require_name(name)
            exists = name in list_datasets(self._layout)
            old = get_snapshot(self._layout, name).columns if intake.append and exists else ()
            with declared_types(self._layout, name, intake.types):
                snapshot = read_source(
                    intake.source, self._options(intake, (*old, *read_as_text(self.rules(name)))),
                    lambda opened: self._ingest(name, intake, opened, who=who, values=1 if old else 2),
                )  # fmt: skip
        if intake.types:
            told = ", ".join(f"{column} as {dtype}" for column, dtype in intake.types.items())
            Access(self._settings).record(who, "dataset.rules", name, told)
        return self._added(snapshot, look=look)

    def glance(self, intake: Intake, rows: int = 100) -> Glance:
        """The first rows of a source as an ingest would read them; nothing is added.

        Raises:
            BadInput: It cannot be read so far.
        """
        with _as_bad_input():
            return read_source(intake.source, self._options(intake, ()), lambda opened: glance_at_source(opened, rows))

    def refresh(self, name: str, *, who: str, evolve: bool = False) -> Ingest | Unchanged:
        """Read the source of the newest snapshot again, with its SQL, into a new snapshot that replaces it.

        Args:
            name: The dataset.
            who: Who asks.
            evolve: Take other columns than those that are there.

        Raises:
            NotFound: No such dataset.
            BadInput: The newest snapshot was appended or uploaded, or its source cannot be read any more.
            BadTable: As ``take_in``.
            StateUnwritable: The disk is full or read-only.
        """
        newest = self.require_refreshable(name)
        intake = Intake(
            source=newest.source, query=newest.query, prepare=newest.prepare, sheet=newest.sheet,
            delimiter=newest.delimiter, target=newest.target,
        )  # fmt: skip
        rules = self.rules(name)

        def replace_rows(opened: Source) -> Snapshot | None:
            if opened.sha256 == newest.sha256 and (rules.sha256 if rules else None) == newest.rules:
                return None
            fitted = opened if evolve else _with_columns(opened, newest)
            return self._ingest(name, intake, fitted, who=who, values=2)

        with _as_bad_input():
            like = (*newest.columns, *read_as_text(rules))
            snapshot = read_source(intake.source, self._options(intake, like), replace_rows)
        if snapshot is None:
            return Unchanged(dataset=name, version=newest.version, source=newest.source)
        return self._added(snapshot)

    def _ingest(self, name: str, intake: Intake, opened: Source, *, who: str, values: int) -> Snapshot:
        info = IngestInfo(
            who=who, source=told_source(intake.source), sha256=opened.sha256, query=intake.query,
            prepare=intake.prepare, sheet=intake.sheet, delimiter=intake.delimiter, target=intake.target,
            notes=opened.notes, once=intake.once,
        )  # fmt: skip
        rows = opened.batches
        if intake.target is not None:
            rows = require_target(rows, intake.target, values=values)
        return ingest(self._layout, name, rows, append=intake.append, info=info, evolve=intake.evolve)

    def _options(self, intake: Intake, like: tuple[ColumnInfo, ...]) -> SourceOptions:
        settings = self._settings
        limits = DownloadLimits(most_bytes=settings.max_upload_bytes, timeout_s=settings.download_timeout_s)
        return SourceOptions(
            tmp=self._layout.tmp, query=intake.query, prepare=intake.prepare, sheet=intake.sheet,
            delimiter=intake.delimiter, like=like,
            memory=settings.duckdb_memory, threads=_threads(), limits=limits,
        )  # fmt: skip

    def require_refreshable(self, name: str) -> Snapshot:
        """The newest snapshot, whose source can be read again.

        Raises:
            NotFound: No such dataset.
            BadInput: It was appended or uploaded, or had no source that has bytes.
        """
        newest = self.show(name)
        if newest.mode is Mode.APPEND:
            raise BadInput(
                f"the newest version of {name!r} was appended, and reading its source again would add the same rows "
                f"twice. Watch a folder for new files with 'appliance data watch {name} FOLDER', or add the whole "
                f"table with 'appliance data add {name} SOURCE --replace'"
            )
        if Path(newest.source).is_relative_to(self._layout.tmp.absolute()):
            raise BadInput(
                f"{name!r} came from an uploaded file, which is not kept; upload it again, or name a path of this host "
                f"with 'appliance data add {name} SOURCE'"
            )
        if newest.sha256 is None:
            raise BadInput(f"{name!r} came from {newest.source}, which cannot be read again")
        return newest

    def add_frame(self, name: str, rows: ArrowStream, *, append: bool, info: IngestInfo) -> Ingest:
        """Add rows that are in memory or on a stream already, a Polars frame for example.

        Raises:
            BadInput: The name or the columns are wrong; names them.
            StateUnwritable: The disk is full or read-only.
        """
        with _as_bad_input():
            snapshot = ingest(self._layout, name, rows, append=append, info=info)
        return self._added(snapshot)

    def rules(self, name: str) -> Rules | None:
        """The rules of a dataset, or None where none were declared.

        Raises:
            RulesWrong: The file is damaged.
        """
        return find_rules(self._layout, name)

    def declare_rules(self, name: str, toml: str | None, *, who: str) -> Rules | None:
        """Hold every ingest from now on against these rules, or against none; the dataset need not be there yet.

        Args:
            name: The dataset.
            toml: ``storage.rules.parse_rules`` says what it may hold; None takes the rules away.
            who: Who declares them.

        Raises:
            BadInput: The rules or the name are wrong; says what.
            StateUnwritable: The disk is full or read-only.
        """
        with _as_bad_input():
            rules = None if toml is None else parse_rules(toml)
            put_rules(self._layout, name, rules)
        told = "none" if rules is None else f"of {', '.join(rules.columns)}"
        Access(self._settings).record(who, "dataset.rules", name, told)
        return rules

    def rejected(self, name: str, version: int | None = None, *, rows: int | None = None) -> pl.DataFrame:
        """The rows that an ingest's rules rejected: ``_row`` (from 1), ``_reason``, the columns as they were brought.

        Empty, without columns, where none was.

        Raises:
            NotFound: No such dataset or version.
        """
        with _as_not_found():
            return read_rejected(self._layout, name, version, rows=rows)

    def versions(self, name: str) -> tuple[Snapshot, ...]:
        """Every snapshot of a dataset, newest first.

        Raises:
            NotFound: No such dataset.
        """
        with _as_not_found():
            return tuple(list_snapshots(self._layout, name))

    def list(self) -> tuple[Snapshot, ...]:
        """The newest snapshot of every dataset, by name."""
        return tuple(get_snapshot(self._layout, name) for name in list_datasets(self._layout))

    def show(self, name: str, version: int | None = None) -> Snapshot:
        """One snapshot; the newest without a version.

        Raises:
            NotFound: No such dataset or version.
        """
        with _as_not_found():
            return get_snapshot(self._layout, name, version)

    def diff(self, name: str, old: int, new: int) -> SnapshotDiff:
        """What changed between two snapshots.

        Raises:
            NotFound: No such dataset or version.
        """
        from appliance.monitoring.compare import compare_frames  # noqa: PLC0415  (loads SciPy)

        before, after = self.show(name, old), self.show(name, new)
        frames = [scan_snapshot(self._layout, name, version) for version in (old, new)]
        both = [column.name for column in before.columns if column not in only_in(before, after)]
        report = compare_frames(*(frame.select(both) for frame in frames))
        return SnapshotDiff(
            dataset=name,
            versions=(old, new),
            rows=(before.rows, after.rows),
            added=only_in(after, before),
            removed=only_in(before, after),
            changed=changed_columns(self.profile(name, old), self.profile(name, new)),
            distributions=report.columns,
            drift=report.dataset,
        )

    def preview(self, name: str, version: int | None = None, rows: int = 100) -> pl.DataFrame:
        """The first rows of a snapshot.

        Raises:
            NotFound: No such dataset or version.
        """
        with _as_not_found():
            return scan_snapshot(self._layout, name, version).head(rows).collect()

    def profile(self, name: str, version: int | None = None) -> tuple[ColumnProfile, ...]:
        """The columns of a snapshot in figures.

        Raises:
            NotFound: No such dataset or version.
        """
        return self._profile(name, version).columns

    def findings(self, name: str, version: int | None = None) -> tuple[Finding, ...]:
        """What is suspicious about a snapshot; what the reader decided comes first.

        Raises:
            NotFound: No such dataset or version.
        """
        snapshot = self.show(name, version)
        told = [Finding(column=None, code=Code.READER, message=note) for note in snapshot.warnings]
        if snapshot.rejected:
            told.append(
                Finding(
                    column=None, code=Code.REJECTED,
                    message=f"{snapshot.rejected} rows were rejected by the dataset's rules; 'appliance data rejected "
                    f"{name} --version {snapshot.version}' shows them with the reasons",
                )
            )  # fmt: skip
        found = check_table(self._profile(name, version))
        if snapshot.target is not None:
            rows = scan_snapshot(self._layout, name, snapshot.version)
            found += leak_findings(find_suspects(rows, snapshot.target, snapshot.rows), snapshot.target)
        return (*told, *found)

    def _profile(self, name: str, version: int | None) -> TableProfile:
        with _as_not_found():
            return profile(self._layout, name, version, memory=self._settings.duckdb_memory, threads=_threads())

    def _added(self, snapshot: Snapshot, *, look: bool = True) -> Ingest:
        told = f"version {snapshot.version} with {snapshot.rows} rows from {snapshot.source}"
        try:
            Access(self._settings).record(snapshot.who, f"dataset.{snapshot.mode}", snapshot.dataset, told)
            warnings = self.findings(snapshot.dataset, snapshot.version) if look else ()
        except StateUnwritable as exc:
            raise StateUnwritable(f"version {snapshot.version} of {snapshot.dataset!r} was added, but {exc}") from exc
        return Ingest(dataset=snapshot.dataset, version=snapshot.version, rows=snapshot.rows, warnings=warnings)


def _with_columns(opened: Source, like: Snapshot) -> Source:
    """The same rows, with exactly the columns of a snapshot.

    Raises:
        SchemaChanged: They have others.
    """
    require_same_columns(like.dataset, like.columns, columns_of(opened.batches.schema))
    rows = pa.RecordBatchReader.from_batches(arrow_schema(like.columns), conform(opened.batches, like.columns))
    return replace(opened, batches=rows)


def _threads() -> int:
    return max(1, (os.cpu_count() or 1) - 1)


@contextmanager
def _as_bad_input() -> Iterator[None]:
    try:
        yield
    except (SourceUnreadable, SchemaChanged, RulesWrong, RulesBroken) as exc:
        raise BadInput(str(exc)) from exc
    except AlreadyIngested as exc:
        raise Conflict(str(exc)) from exc


@contextmanager
def _as_not_found() -> Iterator[None]:
    try:
        yield
    except (DatasetNotFound, SnapshotNotFound) as exc:
        raise NotFound(str(exc)) from exc

"""Datasets as an operator knows them: add, list, show, compare."""

from __future__ import annotations

import polars as pl

from appliance.access import Access
from appliance.errors import BadInput, ProcessLost, Stopped
from appliance.findings import Finding
from appliance.intake import Intake, is_upload
from appliance.orders import (
    Compare,
    Describe,
    Findings,
    FirstLook,
    Head,
    Here,
    Ingest,
    Inspect,
    LookThrough,
    Refresh,
    Refreshed,
    Rejects,
    StopButton,
    TakeIn,
    Unchanged,
    Worker,
    as_bad_input,
    as_not_found,
)
from appliance.settings import Settings
from appliance.snapshot_diff import SnapshotDiff
from storage.datasets import (
    ArrowStream,
    IngestInfo,
    Mode,
    Snapshot,
    get_snapshot,
    list_datasets,
    list_snapshots,
    require_name,
)
from storage.profile import ColumnProfile, TableProfile
from storage.rules import Rules, find_rules, parse_rules, put_rules

LOOKED_AT = 50_000
"""Rows of a file that was not saved yet, for the figures of its columns."""


class Datasets:
    """The datasets of one appliance; a ``worker`` does what reads or writes rows, this process where none is given."""

    def __init__(self, settings: Settings, worker: Worker | None = None) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._worker = worker or Here(settings)

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

    def take_in(
        self, name: str, intake: Intake, *, who: str, look: bool = True, stop: StopButton | None = None
    ) -> Ingest:
        """Read a source into a new snapshot; nothing changes when it cannot be read to its end.

        Args:
            name: The dataset; it is made when it is new.
            intake: What to read, and how.
            who: Who adds it.
            look: Profile it at once, for its warnings; else that is left to the first who asks.
            stop: Ends it before it is done, where a process of its own does it.

        Raises:
            BadInput: The name, the source, the SQL, or the columns of an append are wrong, or the rows break the
                dataset's rules; names it.
            BadTable: The target is missing, constant, or there is nothing else to learn from.
            Conflict: It may be taken in once, and was.
            StateUnwritable: The disk is full or read-only.
            Stopped: ``stop`` was pressed; nothing was added.
            ProcessLost: The process that did it ended; says what was added, if anything.
        """
        before = self._newest(name)
        with as_bad_input():
            rules = find_rules(self._layout, name) if intake.types else None
        try:
            return self._worker.do(TakeIn(name=name, intake=intake, who=who, look=look), Ingest, stop)
        except (Stopped, ProcessLost) as exc:
            if (after := self._newest(name)) != before:
                raise type(exc)(f"{exc}; version {after} of {name!r} was added before that") from exc
            if intake.types:
                put_rules(self._layout, name, rules)
            raise type(exc)(f"{exc}; nothing was added") from exc

    def _newest(self, name: str) -> int:
        return get_snapshot(self._layout, name).version if name in list_datasets(self._layout) else 0

    def look_through(self, intake: Intake, rows: int = 100, *, most_rows: int = LOOKED_AT) -> FirstLook:
        """The first rows of a source and the figures of its columns, as an ingest would read them; nothing is added.

        Args:
            intake: What to read, and how.
            rows: So many are returned.
            most_rows: At most so many are looked at for the figures; fewer where there are many columns.

        Raises:
            BadInput: It cannot be read so far.
            StateUnwritable: The disk is full or read-only.
        """
        return self._worker.do(LookThrough(intake=intake, rows=rows, most_rows=most_rows), FirstLook)

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
        self.require_refreshable(name)
        return self._worker.do(Refresh(name=name, who=who, evolve=evolve), Refreshed).outcome

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
        if is_upload(self._layout, newest.source):
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
        from appliance.table_work import TableWork  # noqa: PLC0415  (loads DuckDB, Arrow and Delta)

        return TableWork(self._settings).add_frame(name, rows, append=append, info=info)

    def rules(self, name: str) -> Rules | None:
        """The rules of a dataset, or None where none were declared.

        Raises:
            BadInput: The name is no dataset's, or the file is damaged.
        """
        with as_bad_input():
            require_name(name)
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
        with as_bad_input():
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
        return self._worker.do(Rejects(name=name, version=self.show(name, version).version, rows=rows), pl.DataFrame)

    def versions(self, name: str) -> tuple[Snapshot, ...]:
        """Every snapshot of a dataset, newest first.

        Raises:
            NotFound: No such dataset.
        """
        with as_not_found():
            return tuple(list_snapshots(self._layout, name))

    def list(self) -> tuple[Snapshot, ...]:
        """The newest snapshot of every dataset, by name."""
        return tuple(get_snapshot(self._layout, name) for name in list_datasets(self._layout))

    def show(self, name: str, version: int | None = None) -> Snapshot:
        """One snapshot; the newest without a version.

        Raises:
            NotFound: No such dataset or version.
        """
        with as_not_found():
            return get_snapshot(self._layout, name, version)

    def diff(self, name: str, old: int, new: int) -> SnapshotDiff:
        """What changed between two snapshots.

        Raises:
            NotFound: No such dataset or version.
        """
        for version in (old, new):
            self.show(name, version)
        return self._worker.do(Compare(name=name, old=old, new=new), SnapshotDiff)

    def preview(self, name: str, version: int | None = None, rows: int = 100) -> pl.DataFrame:
        """The first rows of a snapshot.

        Raises:
            NotFound: No such dataset or version.
        """
        return self._worker.do(Head(name=name, version=self.show(name, version).version, rows=rows), pl.DataFrame)

    def profile(self, name: str, version: int | None = None) -> tuple[ColumnProfile, ...]:
        """The columns of a snapshot in figures.

        Raises:
            NotFound: No such dataset or version.
        """
        return self._worker.do(Describe(name=name, version=self.show(name, version).version), TableProfile).columns

    def findings(self, name: str, version: int | None = None) -> tuple[Finding, ...]:
        """What is suspicious about a snapshot; what the reader decided comes first.

        Raises:
            NotFound: No such dataset or version.
        """
        return self._worker.do(Inspect(name=name, version=self.show(name, version).version), Findings).found

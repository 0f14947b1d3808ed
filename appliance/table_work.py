"""The work on whole tables: reading sources, ingesting, profiling, comparing; loads DuckDB, Arrow and Delta."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from appliance.access import Access
from appliance.checks import check_table, leak_findings
from appliance.column_types import declared_types, read_as_text
from appliance.findings import Code, Finding
from appliance.first_look import look_through
from appliance.intake import Intake, is_upload
from appliance.leak_suspects import find_suspects
from appliance.learnable import require_target
from appliance.models import Proposal
from appliance.monitoring.drift_report import DriftReport
from appliance.orders import (
    BackUp,
    Compare,
    Describe,
    Findings,
    FindTask,
    FirstLook,
    FoundTask,
    Head,
    Ingest,
    Inspect,
    JudgeDrift,
    LookAtUpkeep,
    LookThrough,
    Order,
    Propose,
    Refresh,
    Refreshed,
    Rejects,
    TakeIn,
    as_bad_input,
    as_not_found,
)
from appliance.rewordings import find_rewordings
from appliance.settings import Settings
from appliance.snapshot_diff import SnapshotDiff, changed_columns, comparable_columns, only_in
from appliance.upkeep import BackedUp, UpkeepReport
from storage.columns import ColumnInfo
from storage.conform import arrow_schema, conform, require_same_columns
from storage.datasets import (
    ArrowStream,
    IngestInfo,
    Snapshot,
    get_readings,
    get_snapshot,
    list_datasets,
    read_rejected,
    read_snapshot,
    require_name,
    scan_snapshot,
)
from storage.download import DownloadLimits
from storage.errors import StateUnwritable
from storage.ingest import ingest
from storage.profile import TableProfile, profile
from storage.readings import Readings, readings_for, with_earlier, with_sql
from storage.rules import Rules, find_rules
from storage.screening import as_declared
from storage.sources import Source, SourceOptions, read_source, told_source

Answer = (
    Ingest | Refreshed | TableProfile | Findings | SnapshotDiff | pl.DataFrame | FoundTask | Proposal
    | DriftReport | FirstLook | UpkeepReport | BackedUp
)  # fmt: skip


class TableWork:
    """Does orders, one after another or from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._ways: dict[type, Callable[[Any], Answer]] = {
            TakeIn: self._take_in, Refresh: self._refresh, LookThrough: self._look_through,
            Describe: lambda order: self._profile(order.name, order.version),
            Inspect: lambda order: Findings(found=self._inspect(order.name, order.version)),
            Compare: lambda order: self._compare(order.name, order.old, order.new),
            Head: self._head, Rejects: self._rejects, FindTask: self._find_task, Propose: self._propose,
            JudgeDrift: self._judge_drift, LookAtUpkeep: self._look_at_upkeep, BackUp: self._back_up,
        }  # fmt: skip

    def do(self, order: Order) -> Answer:
        """The answer to an order.

        Raises:
            ApplianceError: What the facade's method of the order says.
            StorageError: Likewise.
        """
        return self._ways[type(order)](order)

    def add_frame(self, name: str, rows: ArrowStream, *, append: bool, info: IngestInfo) -> Ingest:
        """``Datasets.add_frame``: what is in memory goes to no other process."""
        with as_bad_input():
            snapshot = ingest(self._layout, name, rows, append=append, info=info)
        return self._added(snapshot)

    def _take_in(self, order: TakeIn) -> Ingest:
        name, intake, who = order.name, order.intake, order.who
        with as_bad_input():
            require_name(name)
            exists = name in list_datasets(self._layout)
            is_append = intake.append and exists
            old = get_snapshot(self._layout, name).columns if is_append else ()
            readings = get_readings(self._layout, name) if is_append else {}
            with declared_types(self._layout, name, intake.types):
                like = (*old, *read_as_text(find_rules(self._layout, name)))
                snapshot = read_source(
                    intake.source, self._options(intake, like, readings),
                    lambda opened: self._ingest(name, intake, opened, who=who, values=1 if old else 2),
                )  # fmt: skip
        if intake.types:
            told = ", ".join(f"{column} as {dtype}" for column, dtype in intake.types.items())
            Access(self._settings).record(who, "dataset.rules", name, told)
        return self._added(snapshot, look=order.look)

    def _look_through(self, order: LookThrough) -> FirstLook:
        with as_bad_input():
            return read_source(
                order.intake.source, self._options(order.intake, ()),
                lambda opened: look_through(
                    opened, order.rows, order.most_rows, self._layout.tmp, self._settings.duckdb_memory
                ),
            )  # fmt: skip

    def _refresh(self, order: Refresh) -> Refreshed:
        name = order.name
        newest = get_snapshot(self._layout, name)
        intake = Intake(
            source=newest.source, query=newest.query, prepare=newest.prepare, sheet=newest.sheet,
            delimiter=newest.delimiter, target=newest.target,
        )  # fmt: skip
        rules = find_rules(self._layout, name)
        readings = get_readings(self._layout, name, newest.version)

        def replace_rows(opened: Source) -> Snapshot | None:
            if opened.sha256 == newest.sha256 and (rules.sha256 if rules else None) == newest.rules:
                return None
            fitted = opened if order.evolve else _with_columns(opened, newest, rules)
            return self._ingest(name, intake, fitted, who=order.who, values=2, before=readings)

        with as_bad_input():
            like = (*newest.columns, *read_as_text(rules))
            snapshot = read_source(intake.source, self._options(intake, like, readings), replace_rows)
        added = None if snapshot is None else self._added(snapshot)
        return Refreshed(dataset=name, version=newest.version, source=newest.source, added=added)

    def _ingest(
        self, name: str, intake: Intake, opened: Source, *, who: str, values: int, before: Readings | None = None
    ) -> Snapshot:
        readings = with_earlier(before or {}, with_sql(opened.readings, intake.query, intake.prepare))
        info = IngestInfo(
            who=who, source=told_source(intake.source), sha256=opened.sha256, query=intake.query,
            prepare=intake.prepare, sheet=intake.sheet, delimiter=intake.delimiter, target=intake.target,
            notes=opened.notes, readings=readings, once=intake.once,
        )  # fmt: skip
        rows = opened.batches
        if intake.target is not None:
            rows = require_target(rows, intake.target, values=values)
        return ingest(self._layout, name, rows, append=intake.append, info=info, evolve=intake.evolve)

    def _options(self, intake: Intake, like: tuple[ColumnInfo, ...], readings: Readings | None = None) -> SourceOptions:
        settings = self._settings
        limits = DownloadLimits(
            most_bytes=settings.max_upload_bytes, timeout_s=settings.download_timeout_s, ca=settings.download_ca
        )
        return SourceOptions(
            tmp=self._layout.tmp, query=intake.query, prepare=intake.prepare, sheet=intake.sheet,
            delimiter=intake.delimiter, like=like, readings=readings_for(readings or {}, intake.query, intake.prepare),
            memory=settings.duckdb_memory, threads=_threads(), limits=limits,
        )  # fmt: skip

    def _head(self, order: Head) -> pl.DataFrame:
        with as_not_found():
            return scan_snapshot(self._layout, order.name, order.version).head(order.rows).collect()

    def _rejects(self, order: Rejects) -> pl.DataFrame:
        with as_not_found():
            return read_rejected(self._layout, order.name, order.version, rows=order.rows)

    def _propose(self, order: Propose) -> Proposal:
        from appliance.training.propose import propose_spec, sample_rows  # noqa: PLC0415  (loads LightGBM)

        snapshot = get_snapshot(self._layout, order.spec.dataset)
        rows = scan_snapshot(self._layout, snapshot.dataset, snapshot.version)
        return propose_spec(order.spec, sample_rows(rows, snapshot.rows))

    def _judge_drift(self, order: JudgeDrift) -> DriftReport:
        from appliance.monitoring.monitoring import Monitoring  # noqa: PLC0415  (loads what judges traffic)

        return Monitoring(self._settings).drift(
            order.model, order.window_s, version=order.version, until=order.until, against=order.against
        )

    def _look_at_upkeep(self, order: LookAtUpkeep) -> UpkeepReport:
        from appliance.upkeep_work import look_at_upkeep  # noqa: PLC0415  (loads what retention knows of)

        return look_at_upkeep(self._settings, plan=order.plan)

    def _back_up(self, order: BackUp) -> BackedUp:
        from appliance.upkeep_work import back_up  # noqa: PLC0415

        return back_up(self._settings, order.who)

    def _find_task(self, order: FindTask) -> FoundTask:
        from appliance.training.target import read_target  # noqa: PLC0415

        columns = [order.target] if order.target in _names(get_snapshot(self._layout, order.dataset)) else None
        rows = read_snapshot(self._layout, order.dataset, columns=columns)
        return FoundTask(task=read_target(rows, order.target, order.task).task)

    def _compare(self, name: str, old: int, new: int) -> SnapshotDiff:
        from appliance.monitoring.compare import compare_frames  # noqa: PLC0415  (loads SciPy)

        with as_not_found():
            before, after = (get_snapshot(self._layout, name, version) for version in (old, new))
            frames = [scan_snapshot(self._layout, name, version) for version in (old, new)]
        both = comparable_columns(before, after)
        report = compare_frames(*(frame.select(both) for frame in frames))
        return SnapshotDiff(
            dataset=name,
            versions=(old, new),
            rows=(before.rows, after.rows),
            added=only_in(after, before),
            removed=only_in(before, after),
            changed=changed_columns(self._profile(name, old).columns, self._profile(name, new).columns),
            distributions=report.columns,
            drift=report.dataset,
        )

    def _inspect(self, name: str, version: int) -> tuple[Finding, ...]:
        with as_not_found():
            snapshot = get_snapshot(self._layout, name, version)
        told = [Finding(column=None, code=Code.READER, message=note) for note in snapshot.warnings]
        if snapshot.rejected:
            told.append(
                Finding(
                    column=None, code=Code.REJECTED,
                    message=f"{snapshot.rejected} {'row was' if snapshot.rejected == 1 else 'rows were'} rejected by "
                    f"the dataset's rules; 'appliance data rejected {name} --version {snapshot.version}' shows them "
                    "with the reasons",
                )
            )  # fmt: skip
        found = check_table(self._profile(name, version))
        if snapshot.target is not None:
            rows = scan_snapshot(self._layout, name, snapshot.version)
            again = find_rewordings(rows, snapshot.target, self._profile(name, version))
            found += [
                Finding(column=each.column, code=Code.LEAK, message=each.sentence(snapshot.target)) for each in again
            ]
            rest = rows.drop(each.column for each in again)
            found += leak_findings(find_suspects(rest, snapshot.target, snapshot.rows), snapshot.target)
        return (*told, *found)

    def _profile(self, name: str, version: int) -> TableProfile:
        with as_not_found():
            return profile(self._layout, name, version, memory=self._settings.duckdb_memory, threads=_threads())

    def _added(self, snapshot: Snapshot, *, look: bool = True) -> Ingest:
        source = Path(snapshot.source).name if is_upload(self._layout, snapshot.source) else snapshot.source
        told = f"version {snapshot.version} with {snapshot.rows} rows from {source}"
        try:
            Access(self._settings).record(snapshot.who, f"dataset.{snapshot.mode}", snapshot.dataset, told)
            warnings = self._inspect(snapshot.dataset, snapshot.version) if look else ()
        except StateUnwritable as exc:
            raise StateUnwritable(f"version {snapshot.version} of {snapshot.dataset!r} was added, but {exc}") from exc
        return Ingest(dataset=snapshot.dataset, version=snapshot.version, rows=snapshot.rows, warnings=warnings)


def _names(snapshot: Snapshot) -> set[str]:
    return {column.name for column in snapshot.columns}


def _with_columns(opened: Source, like: Snapshot, rules: Rules | None) -> Source:
    """The same rows, with exactly the columns of a snapshot; those with a rule's type as the source has them.

    A rule's type is for the screening to give, which rejects the rows that are none, and the owner's word even where
    the snapshot has another.

    Raises:
        SchemaChanged: They have others.
    """
    ruled = {name for name, rule in rules.columns.items() if rule.type is not None} if rules else set()
    has = as_declared(opened.batches.schema, rules)
    brought = {column.name: column for column in has}
    wanted = tuple(brought.get(column.name, column) if column.name in ruled else column for column in like.columns)
    require_same_columns(like.dataset, wanted, has)
    rows = pa.RecordBatchReader.from_batches(arrow_schema(wanted), conform(opened.batches, wanted))
    return replace(opened, batches=rows)


def _threads() -> int:
    return max(1, (os.cpu_count() or 1) - 1)

"""Datasets over HTTP: uploads, versions, previews, profiles, findings, differences."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
from litestar import Request, get, post, put
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import FromPath, FromQuery, JSONBody

from appliance.api.control.bodies import UNREADABLE, why
from appliance.api.control.uploads import (
    drop_upload,
    find_upload,
    keep_upload,
    open_upload,
    parts_of,
    told_by_name,
)
from appliance.errors import BadInput, NotAllowed, NotFound, Stopped
from appliance.findings import Finding
from appliance.house import Appliance
from appliance.intake import Intake
from appliance.orders import FirstLook, Ingest, StopButton, Unchanged
from appliance.permissions import Action, Caller, is_allowed
from appliance.settings import Settings
from appliance.snapshot_diff import SnapshotDiff
from appliance.unit_view import require_seen
from storage.columns import Dtype
from storage.datasets import Snapshot
from storage.profile import ColumnProfile
from storage.rules import Rules

MOST_PREVIEWED = 1000


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was received and waits to be added; ``upload`` names it, in ``POST /api/datasets``."""

    upload: str
    name: str
    bytes: int


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to add.

    Attributes:
        name: The dataset; it is made when it is new.
        upload: A file sent to ``POST /api/uploads``; or
        source: A path on the appliance's host, for admins alone.
        query: SQL that picks the rows; a file is the table ``source`` in it.
        prepare: DuckDB SQL over the rows that were picked, as the table ``source``; a refresh does it again.
        sheet: The sheet of a workbook; the first with rows when left out.
        delimiter: Between the columns of a CSV file; found out when left out.
        append: Add to the rows that are there, else replace them.
        evolve: With ``append``: take columns that the dataset lacks, and widen int64 to float64, date to datetime.
        target: A column that must be there.
        types: How columns shall be read, by name; kept among the dataset's rules.
    """

    name: str
    upload: str | None = None
    source: str | None = None
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    append: bool = False
    evolve: bool = False
    target: str | None = None
    types: dict[str, Dtype] = {}

    def intake(self, source: str) -> Intake:
        """The order to read ``source``."""
        return Intake(
            source=source, query=self.query, prepare=self.prepare, sheet=self.sheet,
            delimiter=self.delimiter, append=self.append, evolve=self.evolve, target=self.target, types=self.types,
        )  # fmt: skip


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh brought; ``warnings`` are those of a new snapshot."""

    dataset: str
    version: int
    unchanged: bool
    rows: int | None = None
    warnings: tuple[Finding, ...] = ()


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The first rows of a snapshot."""

    dataset: str
    version: int
    columns: list[str]
    rows: list[dict[str, Any]]


class NewRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules as ``appliance data rules`` takes them; null takes them away."""

    toml: str | None


class DeclaredRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a dataset; null where none were declared."""

    dataset: str
    rules: Rules | None


class RejectedRows(msgspec.Struct, frozen=True, kw_only=True):
    """The first of the rows that were rejected: ``_row`` (from 1), ``_reason``, the columns as they were brought."""

    dataset: str
    version: int
    rejected: int
    columns: list[str]
    rows: list[dict[str, Any]]


@get("/datasets", sync_to_thread=True)
def list_datasets(appliance: NamedDependency[Appliance]) -> list[Snapshot]:
    """The newest snapshot of every dataset."""
    return list(appliance.datasets.list())


@post("/uploads", status_code=201, request_max_body_size=None)
async def receive(
    request: Request[Any, Any, Any], appliance: NamedDependency[Appliance], name: FromQuery[str]
) -> Upload:
    """Receive a file as the raw body, in bounded memory; it waits in the state's ``tmp`` to be added."""
    settings = appliance.settings
    path = open_upload(settings.layout, name)
    await anyio.to_thread.run_sync(appliance.expect_rows)
    size = await keep_upload(request.stream(), path, limit=settings.max_upload_bytes)
    return Upload(upload=path.parent.name, name=path.name, bytes=size)


@post("/datasets", status_code=201, request_max_body_size=None)
async def add_snapshot(
    request: Request[Any, Any, Any], appliance: NamedDependency[Appliance], caller: NamedDependency[Caller]
) -> Ingest:
    """Add a snapshot: JSON with ``upload`` or ``source``, or a multipart form with ``name`` and ``file``."""
    settings = appliance.settings
    is_form = request.content_type[0] == RequestEncodingType.MULTI_PART
    _require_length(request, settings.max_upload_bytes if is_form else settings.max_body_bytes)
    if is_form:
        wanted = await _from_form(request, settings)
    else:
        try:
            wanted = msgspec.json.decode(await request.body(), type=NewSnapshot)
        except UNREADABLE as exc:
            raise BadInput(f"the body is no JSON object with `name` and `upload` or `source`: {why(exc)}") from exc
    return await anyio.to_thread.run_sync(add, appliance, caller, wanted)


def _require_length(request: Request[Any, Any, Any], limit: int) -> None:
    """Refuse a body that is too large, or does not say how large it is, before it is read."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > limit + 65_536:
        raise BadInput(
            f"the body must say its length, at most {limit:,} bytes; raise APPLIANCE_MAX_UPLOAD_BYTES for more"
        )


def add(
    appliance: Appliance, caller: Caller, wanted: NewSnapshot, stop: StopButton | None = None, *, keep: bool = False
) -> Ingest:
    """Add what was uploaded, or what lies on the host; an upload is gone afterwards, whatever came of it.

    Args:
        appliance: Where it is added.
        caller: Who asks.
        wanted: What is added, and under which name.
        stop: Ends it.
        keep: An upload that is refused waits on, for another try.

    Raises:
        NotAllowed: A path of the host was named by somebody who is no admin.
        NotFound: No such upload.
        BadInput: Neither or both were named, or the source cannot be used.
        Stopped: ``stop`` was pressed; nothing was added.
    """
    if (wanted.upload is None) == (wanted.source is None):
        raise BadInput("name either `upload` (from POST /api/uploads) or `source` (a path on this host)")
    if wanted.upload is None:
        if not is_allowed(caller, Action.ADMINISTER):
            raise NotAllowed("reading a path of the appliance's host needs the role admin; upload the file instead")
        require_seen(appliance.settings, wanted.source or "")
        return appliance.datasets.take_in(wanted.name, wanted.intake(wanted.source or ""), who=caller.name)
    try:
        path = find_upload(appliance.settings.layout, wanted.upload)
    except NotFound as exc:
        if stop is not None and stop.pressed:  # whoever pressed it took the file away, too
            raise Stopped("it was stopped; nothing was added") from exc
        raise
    try:
        with told_by_name(path):
            ingest = appliance.datasets.take_in(wanted.name, wanted.intake(str(path)), who=caller.name, stop=stop)
    except BaseException:
        if not keep:
            drop_upload(path)
        raise
    drop_upload(path)
    return ingest


def look_at_upload(appliance: Appliance, upload: str, sheet: str | None = None) -> FirstLook:
    """The first rows of an upload, which stays, and what its columns look like so far.

    Args:
        appliance: Where it waits.
        upload: Names it.
        sheet: The sheet of a workbook; the first with rows when left out.

    Raises:
        NotFound: No such upload.
        BadInput: It cannot be read so far.
    """
    path = find_upload(appliance.settings.layout, upload)
    with told_by_name(path):
        return appliance.datasets.look_through(Intake(source=str(path), sheet=sheet))


async def _from_form(request: Request[Any, Any, Any], settings: Settings) -> NewSnapshot:
    form = await request.form()
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise BadInput("the form has no `file`; send name=… and file=@…")
    path = open_upload(settings.layout, str(file.filename))
    await keep_upload(parts_of(file), path, limit=settings.max_upload_bytes)
    return NewSnapshot(
        name=str(form.get("name", "")), upload=path.parent.name,
        append=str(form.get("append", "")).lower() in {"1", "true", "yes"},
        target=str(form["target"]) if form.get("target") else None,
    )  # fmt: skip


@get("/datasets/{name:str}", sync_to_thread=True)
def show(appliance: NamedDependency[Appliance], name: FromPath[str], version: FromQuery[int | None] = None) -> Snapshot:
    """One snapshot; the newest without ``version``."""
    return appliance.datasets.show(name, version)


@get("/datasets/{name:str}/versions", sync_to_thread=True)
def versions(appliance: NamedDependency[Appliance], name: FromPath[str]) -> list[Snapshot]:
    """Every snapshot, newest first."""
    return list(appliance.datasets.versions(name))


@get("/datasets/{name:str}/preview", sync_to_thread=True)
def preview(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    version: FromQuery[int | None] = None,
    rows: FromQuery[int] = 100,
) -> Rows:
    """The first rows."""
    shown = appliance.datasets.show(name, version)
    frame = appliance.datasets.preview(name, shown.version, rows=min(max(rows, 1), MOST_PREVIEWED))
    return Rows(dataset=name, version=shown.version, columns=frame.columns, rows=frame.to_dicts())


@get("/datasets/{name:str}/profile", sync_to_thread=True)
def profile(
    appliance: NamedDependency[Appliance], name: FromPath[str], version: FromQuery[int | None] = None
) -> list[ColumnProfile]:
    """The columns in figures."""
    return list(appliance.datasets.profile(name, version))


@get("/datasets/{name:str}/findings", sync_to_thread=True)
def findings(
    appliance: NamedDependency[Appliance], name: FromPath[str], version: FromQuery[int | None] = None
) -> Ingest:
    """What is suspicious about a snapshot, as its ingest told it; the newest without ``version``."""
    shown = appliance.datasets.show(name, version)
    warnings = appliance.datasets.findings(name, shown.version)
    return Ingest(dataset=name, version=shown.version, rows=shown.rows, warnings=warnings)


@get("/datasets/{name:str}/diff", sync_to_thread=True)
def diff(
    appliance: NamedDependency[Appliance], name: FromPath[str], old: FromQuery[int], new: FromQuery[int]
) -> SnapshotDiff:
    """What changed between two snapshots."""
    return appliance.datasets.diff(name, old, new)


@post("/datasets/{name:str}/refresh", status_code=200, sync_to_thread=True)
def refresh(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    evolve: FromQuery[bool] = False,
) -> Refreshed:
    """Read the source of the newest snapshot again; nothing happens when it did not change."""
    found = appliance.datasets.refresh(name, who=caller.name, evolve=evolve)
    if isinstance(found, Unchanged):
        return Refreshed(dataset=name, version=found.version, unchanged=True)
    return Refreshed(dataset=name, version=found.version, unchanged=False, rows=found.rows, warnings=found.warnings)


@get("/datasets/{name:str}/rules", sync_to_thread=True)
def show_rules(appliance: NamedDependency[Appliance], name: FromPath[str]) -> DeclaredRules:
    """What every ingest into the dataset is held against."""
    return DeclaredRules(dataset=name, rules=appliance.datasets.rules(name))


@put("/datasets/{name:str}/rules", sync_to_thread=True)
def declare_rules(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[NewRules],
) -> DeclaredRules:
    """Hold every ingest from now on against these rules."""
    return DeclaredRules(dataset=name, rules=appliance.datasets.declare_rules(name, data.toml, who=caller.name))


@get("/datasets/{name:str}/rejected", sync_to_thread=True)
def rejected(
    appliance: NamedDependency[Appliance],
    name: FromPath[str],
    version: FromQuery[int | None] = None,
    rows: FromQuery[int] = 100,
) -> RejectedRows:
    """The rows that the rules rejected at one ingest, with the reasons."""
    shown = appliance.datasets.show(name, version)
    frame = appliance.datasets.rejected(name, shown.version, rows=min(max(rows, 1), MOST_PREVIEWED))
    return RejectedRows(
        dataset=name, version=shown.version, rejected=shown.rejected, columns=frame.columns, rows=frame.to_dicts()
    )


DATASET_ROUTES = (
    list_datasets, receive, add_snapshot, show, versions, preview, profile, findings, diff, refresh, show_rules,
    declare_rules, rejected,
)  # fmt: skip

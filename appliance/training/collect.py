"""Labelled predictions become rows of the dataset their model learns from, each exactly once.

Two stores take part: the state database and the dataset's Delta table. A collection is announced in the database with
its prediction ids, then its rows are committed to the table with the collection's id in the commit, then it is
confirmed. A collection found unconfirmed was interrupted: the commit, there or not there, decides what became of it.
"""

from __future__ import annotations

import fcntl
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import polars as pl

from appliance.events import LabelEvent, PredictionEvent
from appliance.history import find_predictions, scan_labels
from appliance.model_spec import ModelSpec
from appliance.models import Models
from appliance.monitoring.outcomes import label_text
from appliance.schema import FeatureSchema
from appliance.settings import Settings
from appliance.training.decode import Raw, decode_row
from storage.bundles import read_bundle
from storage.collection_rows import (
    Collection,
    announce_collection,
    confirm_collection,
    is_collected,
    open_collections,
    withdraw_collection,
)
from storage.datasets import IngestInfo, get_snapshot, list_snapshots, scan_snapshot
from storage.errors import BundleCorrupt, BundleNotFound
from storage.ingest import ingest
from storage.layout import Layout
from storage.statedb import connect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOURCE = "labelled predictions, collection "


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection brought.

    Attributes:
        rows: New rows in the dataset; 0 when there was nothing new, and no new snapshot.
        dataset_version: The snapshot to train on.
        skipped: Labelled predictions that could not become rows, by reason.
    """

    rows: int
    dataset_version: int
    skipped: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """For a person."""
        skipped = "".join(f"; {count} left out: {reason}" for reason, count in sorted(self.skipped.items()))
        if not self.rows:
            return f"no new labelled predictions; training on snapshot {self.dataset_version}{skipped}"
        return f"{self.rows} labelled predictions were added as snapshot {self.dataset_version}{skipped}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """A labelled prediction: its row's raw values, and the column that ordered the rows of who answered."""

    values: dict[str, Raw]
    label: LabelEvent
    event: PredictionEvent
    time: str | None
    known: bool
    """Whether the label is one that who answered can give."""


def collect_labelled(settings: Settings, model: str, *, who: str) -> Collected:
    """Append the labelled predictions of a model that were not collected yet to its dataset, as one snapshot.

    The newest label of a prediction counts; one that is corrected after it was collected stays as it was.

    Raises:
        NotFound: No such model.
        SchemaChanged: The dataset's columns cannot take the rows.
        StateUnwritable: The disk is full or read-only.
    """
    spec = Models(settings).get(model).spec
    layout = settings.layout
    with _alone(layout, spec.dataset), closing(connect(layout.database)) as connection:
        _settle_interrupted(layout, connection, spec.dataset)
        labels = _new_labels(layout, connection, model)
        skipped: Counter[str] = Counter()
        rows = dict(_rows(layout, spec, labels, skipped))
        frame, kept = _as_dataset(rows, scan_snapshot(layout, spec.dataset), spec, skipped)
        if not kept:
            version = get_snapshot(layout, spec.dataset).version
            return Collected(rows=0, dataset_version=version, skipped=skipped)
        collection = Collection(
            id=uuid.uuid4().hex, model=model, dataset=spec.dataset, rows=len(kept), started_at=datetime.now(UTC)
        )
        announce_collection(connection, collection, kept)
        info = IngestInfo(who=who, source=_SOURCE + collection.id)
        version = ingest(layout, spec.dataset, frame, append=True, info=info).version
        confirm_collection(connection, collection.id, version)
    return Collected(rows=len(kept), dataset_version=version, skipped=skipped)


def _settle_interrupted(layout: Layout, connection: sqlite3.Connection, dataset: str) -> None:
    pending = open_collections(connection, dataset)
    if not pending:
        return
    committed = {snapshot.source: snapshot.version for snapshot in list_snapshots(layout, dataset)}
    for collection in pending:
        version = committed.get(_SOURCE + collection.id)
        if version is None:
            withdraw_collection(connection, collection.id)
        else:
            confirm_collection(connection, collection.id, version)


def _new_labels(layout: Layout, connection: sqlite3.Connection, model: str) -> dict[str, LabelEvent]:
    """The newest label of each prediction of the model that was not collected."""
    newest: dict[str, LabelEvent] = {}
    for label in scan_labels(layout, model):
        known = newest.get(label.id)
        if known is None or label.at >= known.at:
            newest[label.id] = label
    return {key: label for key, label in newest.items() if not is_collected(connection, key)}


def _rows(
    layout: Layout, spec: ModelSpec, labels: Mapping[str, LabelEvent], skipped: Counter[str]
) -> Iterator[tuple[str, _Answered]]:
    """The labelled predictions, by prediction id."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for key in labels:
        wanted[key.rpartition(".")[0]].append(key)
    schemas: dict[int, FeatureSchema | None] = {}
    found = find_predictions(layout, [spec.name], wanted.keys())
    for event in sorted(found.values(), key=lambda one: (one.at, one.id)):
        schema = schemas[event.v] if event.v in schemas else schemas.setdefault(event.v, _schema(layout, spec, event.v))
        if schema is None:
            skipped["the bundle of the version that answered is gone"] += len(wanted[event.id])
            continue
        for key in wanted[event.id]:
            row = key.rpartition(".")[2]
            values = decode_row(event, int(row), schema) if row.isdecimal() else None
            if values is None:
                skipped["the prediction cannot be read back"] += 1
            else:
                label = labels[key]
                yield key, _Answered(
                    values=values, label=label, event=event, time=schema.time_column,
                    known=label_text(label.l, schema) is not None,
                )  # fmt: skip
    skipped["the prediction is not in the log"] += sum(len(wanted[token]) for token in wanted.keys() - found)


def _schema(layout: Layout, spec: ModelSpec, version: int) -> FeatureSchema | None:
    try:
        _, files = read_bundle(layout, spec.name, version)
    except (BundleNotFound, BundleCorrupt):
        return None
    return msgspec.json.decode(files["schema.json"], type=FeatureSchema)


def _as_dataset(
    rows: Mapping[str, _Answered], dataset: pl.LazyFrame, spec: ModelSpec, skipped: Counter[str]
) -> tuple[pl.DataFrame, list[str]]:
    """Rows with the dataset's columns and types; what no prediction knows is null.

    A label that is none of the classes stays out: one mistake would end each training from here on, and a row that is
    in the dataset stays there when its label is corrected.
    """
    like = dataset.head(0).collect()
    taught = _taught(dataset, spec, [row.label.l for row in rows.values() if not row.known])
    strays: Counter[str] = Counter()
    times = {one.time: _time_column(like, spec, one.time) for one in rows.values()}
    columns: dict[str, list[Raw | date]] = {name: [] for name in like.columns}
    kept: list[str] = []
    for key, row in rows.items():
        raw: dict[str, Raw] = {**row.values, spec.target: row.label.l}
        time = times[row.time]
        if time is not None and raw.get(time) is None:  # an input that was sent stays as it was sent
            raw[time] = _EPOCH + timedelta(microseconds=row.event.t)
        fitted = {name: _fit(raw.get(name), like.schema[name]) for name in like.columns}
        lost = [name for name in like.columns if raw.get(name) is not None and fitted[name] is None]
        if lost:
            skipped[f"{', '.join(lost)} does not fit the dataset's column"] += 1
            continue
        if not row.known and fitted.get(spec.target) not in taught:
            strays[repr(row.label.l)] += 1
            continue
        kept.append(key)
        for name in like.columns:
            columns[name].append(fitted[name])
    if strays:
        named = ", ".join(name for name, _ in strays.most_common(3))
        skipped[
            f"the label is none of the model's classes or the dataset's ({named}{', …' if len(strays) > 3 else ''}); "
            "correct it, or add rows of a new class to the dataset"
        ] += strays.total()
    series = [pl.Series(name, columns[name], dtype=like.schema[name], strict=False) for name in like.columns]
    return pl.DataFrame(series), kept


def _taught(dataset: pl.LazyFrame, spec: ModelSpec, labels: Iterable[float | str]) -> frozenset[object]:
    """Which of the labels are the target of some row already: a version may come that knows more than who answered."""
    dtype = dataset.collect_schema().get(spec.target)
    fitted = [] if dtype is None else [value for value in (_fit(label, dtype) for label in labels) if value is not None]
    if not fitted:
        return frozenset()
    target = pl.col(spec.target)
    return frozenset(
        dataset.filter(target.is_in(pl.Series(fitted, dtype=dtype).unique().implode())).select(target.unique())
        .collect().to_series()
    )  # fmt: skip


def _time_column(like: pl.DataFrame, spec: ModelSpec, ordered_by: str | None) -> str | None:
    """The column that takes the event time: declared, else the answering version's, else the only date column."""
    if spec.time is not None:
        return spec.time
    if ordered_by in like.columns and ordered_by not in {spec.target, *spec.exclude}:
        return ordered_by
    dates = [
        name for name, dtype in like.schema.items()
        if isinstance(dtype, pl.Date | pl.Datetime) and name not in {spec.target, *spec.exclude, *spec.columns}
    ]  # fmt: skip
    return dates[0] if len(dates) == 1 else None


def _fit(value: Raw, dtype: pl.DataType) -> Raw | date:
    """The value as the column holds it, or None when it cannot without a loss."""
    if value is None:
        return None
    if isinstance(dtype, pl.Date | pl.Datetime):
        return _date(value, dtype)
    if dtype.is_integer():
        return _whole(value)
    if dtype.is_float():
        return _number(value)
    if dtype == pl.Boolean:
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value))
    return _text(value)


def _date(value: Raw, dtype: pl.Date | pl.Datetime) -> Raw | date:
    if not isinstance(value, datetime):
        return None
    if isinstance(dtype, pl.Date):
        return value.date()  # of moments with a zone Polars makes moments, whatever type it is told
    return value if dtype.time_zone else value.replace(tzinfo=None)


def _number(value: Raw) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _whole(value: Raw) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _text(value: Raw) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def _alone(layout: Layout, dataset: str) -> Iterator[None]:
    """One collection into a dataset at a time; the lock goes with the process."""
    with (layout.run / f"collect-{dataset}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

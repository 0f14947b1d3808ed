"""Batch prediction: a file in, the same rows with predictions out, in bounded memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from appliance.errors import BadInput, NotFound
from appliance.model_card import PredictionReport
from appliance.models import Models
from appliance.schema import FeatureSchema, Kind, Task
from appliance.serving.interval import FILES
from appliance.settings import Settings
from appliance.training.cores import Cores
from appliance.training.encode import encode_frame, unseen_counts
from appliance.training.fit import Floats, Scorer
from appliance.training.intervals import predict_interval
from appliance.training.train import Progress
from storage.bundles import read_bundle
from storage.columns import ColumnInfo, Dtype
from storage.conform import columns_of, conform, may_lose_digits
from storage.errors import BundleCorrupt, BundleNotFound, SourceUnreadable
from storage.readings import Reading
from storage.sources import SourceOptions, open_source

Write = Callable[[pl.DataFrame], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """What to score; ``version`` None: what serves, else the champion. ``out`` ends in .parquet, .csv or .ndjson."""

    model: str
    version: int | None
    file: Path
    out: Path


def predict_file(settings: Settings, order: BatchOrder, progress: Progress) -> PredictionReport:
    """Score every row of a file; ``out`` is there whole or not at all.

    Adds ``prediction``, ``probability_<class>`` for classes, and ``interval_low`` and ``interval_high`` where the
    version has an interval, to the input's columns.

    Raises:
        NotFound: No such model or version.
        BadInput: The file cannot be read, lacks a column, or has a column that ``prediction`` would replace.
    """
    started = time.monotonic()
    version = _version(settings, order)
    progress.step("load", 0.05, f"loading {order.model!r} version {version}")
    opened = _open(settings, order.model, version)
    unseen: Counter[str] = Counter()
    rows = 0
    options = SourceOptions(
        tmp=settings.layout.tmp, memory=settings.duckdb_memory, like=_like(opened), readings=opened.readings or {}
    )
    notes: tuple[str, ...] = ()
    try:
        with open_source(str(order.file), options) as source, _writer(order.out) as write:
            notes = source.notes
            columns = columns_of(source.batches.schema, _texts(source.batches.schema, opened))
            for batch in conform(source.batches, columns):
                frame = pl.DataFrame(pa.Table.from_batches([batch]))
                write(_score(frame, opened))
                unseen.update(unseen_counts(frame, opened.schema))
                rows += len(frame)
                progress.step("predict", 0.5, f"{rows} rows scored")
            if rows == 0:  # the result has the columns all the same
                write(_score_none(source.batches.schema, opened))
    except SourceUnreadable as exc:
        raise BadInput(str(exc)) from exc
    except OSError as exc:
        raise BadInput(f"cannot write {order.out}: {exc.strerror or exc}") from exc
    progress.step("done", 1.0, f"{rows} rows scored into {order.out}")
    return PredictionReport(
        model=order.model, version=version, rows=rows, out=str(order.out),
        seconds=round(time.monotonic() - started, 3), unseen=dict(unseen), notes=notes,
    )  # fmt: skip


def _version(settings: Settings, order: BatchOrder) -> int:
    info = Models(settings).get(order.model)
    version = (info.deployed or info.champion) if order.version is None else order.version
    if version is None:
        raise NotFound(f"model {order.model!r} has no version yet; train it with 'appliance train {order.model}'")
    return version


class _Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a version's card, whichever release wrote it."""

    readings: dict[str, Reading] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A version ready to score.

    Attributes:
        interval: The models of its lower and upper end, or none.
        readings: How the text files were read that it learned from; None where that is not known.
    """

    schema: FeatureSchema
    scorer: Scorer
    interval: tuple[Scorer, ...]
    readings: dict[str, Reading] | None


def _like(opened: _Opened) -> tuple[ColumnInfo, ...]:
    """The columns that are text, whatever a file's own values look like (007, or true and false alone), or whole."""
    kinds = {Kind.CATEGORY: Dtype.STRING} if opened.readings is None else {
        Kind.CATEGORY: Dtype.STRING, Kind.NUMBER: Dtype.INT
    }  # fmt: skip
    return tuple(
        ColumnInfo(name=column.name, dtype=kinds[column.kind])
        for column in opened.schema.columns
        if column.kind in kinds and column.integer is (column.kind is Kind.NUMBER)
    )


def _texts(schema: pa.Schema, opened: _Opened) -> set[str]:
    """The columns whose numbers are text: those of the model that are, and others that must not be rounded."""
    known = {column.name: column for column in opened.schema.columns}
    words = {name for name, one in known.items() if one.kind is Kind.CATEGORY and not one.integer}
    return words | {field.name for field in schema if field.name not in known and may_lose_digits(field.type)}


def _open(settings: Settings, model: str, version: int) -> _Opened:
    try:
        _, files = read_bundle(settings.layout, model, version)
    except (BundleNotFound, BundleCorrupt) as exc:
        raise NotFound(str(exc)) from exc
    schema = msgspec.json.decode(files["schema.json"], type=FeatureSchema)
    threads = Cores(settings)()
    ends = [files[name].decode() for name in FILES if name in files]
    return _Opened(
        schema=schema, scorer=Scorer(files["model.txt"].decode(), schema, threads=threads),
        interval=tuple(Scorer(text, schema, threads=threads) for text in ends),
        readings=msgspec.json.decode(files["card.json"], type=_Card).readings,
    )  # fmt: skip


def _score(frame: pl.DataFrame, opened: _Opened) -> pl.DataFrame:
    encoded = encode_frame(frame, opened.schema)
    added = _answers(opened.scorer.predict(encoded), opened.schema)
    if opened.interval:
        low, high = opened.interval
        lower, upper = predict_interval(low, high, encoded)
        added = added.with_columns(pl.Series("interval_low", lower), pl.Series("interval_high", upper))
    return _beside(frame, added)


def _score_none(schema: pa.Schema, opened: _Opened) -> pl.DataFrame:
    """What a file without rows becomes: its columns, which must be the model's, and those of the answers."""
    frame = pl.DataFrame(schema.empty_table())
    encode_frame(frame, opened.schema)
    added = _answers(np.zeros((0, opened.schema.outputs)), opened.schema)
    ends = ("interval_low", "interval_high") if opened.interval else ()
    return _beside(frame, added.with_columns(pl.lit(0.0).alias(name) for name in ends))


def _beside(frame: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    if taken := [name for name in added.columns if name in frame.columns]:
        raise BadInput(f"the file has column(s) {', '.join(taken)} already; rename them, the predictions go there")
    return frame.hstack(added)


def _answers(outputs: Floats, schema: FeatureSchema) -> pl.DataFrame:
    if schema.task is Task.REGRESSION:
        return pl.DataFrame({"prediction": outputs[:, 0]})
    if schema.task is Task.BINARY:
        picked = (outputs[:, 0] >= schema.threshold).astype(np.int64)
        probabilities = np.column_stack([1.0 - outputs[:, 0], outputs[:, 0]])
    else:
        picked, probabilities = outputs.argmax(axis=1), outputs
    labels = pl.Series("prediction", [schema.classes[index] for index in picked.tolist()], dtype=pl.String)
    columns = [pl.Series(f"probability_{name}", probabilities[:, index]) for index, name in enumerate(schema.classes)]
    return pl.DataFrame([labels, *columns])


@contextmanager
def _writer(out: Path) -> Iterator[Write]:
    """Writes frames one behind the other; the file gets its name when all of them are there."""
    half = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with _OPEN[out.suffix](half) as write:
            yield write
        half.replace(out)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("wb") as file:
        yield lambda frame: frame.write_csv(file, include_header=file.tell() == 0)


@contextmanager
def _ndjson(path: Path) -> Iterator[Write]:
    with path.open("wb") as file:
        yield lambda frame: frame.write_ndjson(file)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    writers: list[pq.ParquetWriter] = []

    def write(frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if not writers:
            writers.append(pq.ParquetWriter(path, table.schema, compression="zstd"))
        writers[0].write_table(table.cast(writers[0].schema))

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


_OPEN = {".csv": _csv, ".ndjson": _ndjson, ".parquet": _parquet}

"""Two tables held against each other by the drift rule, without any model.

Column by column (short ones a few at a time), so that memory is bounded and a broken one never hides the others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from appliance.errors import ApplianceError, NotFound
from appliance.monitoring.bins import MIN_ROWS, Bins, Floats, Ints, LevelBins, choose_levels
from appliance.monitoring.distances import raw_distances
from appliance.monitoring.drift import column_drift, dataset_drift
from appliance.monitoring.drift_report import ColumnDrift, CompareReport
from appliance.monitoring.reference import ColumnReference, fit_column
from appliance.monitoring.spans import Pair, State
from appliance.schema import Column, Kind
from appliance.training.columns import as_kind, natural_kind, seconds_of
from appliance.training.table import ColumnReader
from appliance.training.target import class_names
from storage.errors import SourceUnreadable
from storage.sources import SourceOptions, open_source

PIECE_ROWS = 250_000
"""Texts are counted so many rows at a time."""

BLOCK_ROWS = 65_536
"""Numbers are counted so many rows at a time."""

NO_NULLS = Pair(reference=0.0, current=0.0)


def compare_files(reference: str, current: str, *, target: str | None = None) -> CompareReport:
    """Fit the bins on one file and count the other into them; memory holds a column of each at a time.

    Args:
        reference: CSV, Parquet, or what else ``storage.sources`` reads without a query.
        current: Likewise.
        target: See ``compare_frames``.

    Raises:
        SourceUnreadable: A file is not the table it claims to be.
        NotFound: Neither has the target.
    """
    with tempfile.TemporaryDirectory(prefix="drift-compare-") as tmp:
        return compare_frames(
            _by_column(reference, Path(tmp) / "reference"), _by_column(current, Path(tmp) / "current"), target=target
        )


def compare_frames(
    reference: pl.DataFrame | pl.LazyFrame, current: pl.DataFrame | pl.LazyFrame, *, target: str | None = None
) -> CompareReport:
    """The same for two frames; the columns of the reference first, then those that only the current one has.

    Args:
        reference: What was.
        current: What is.
        target: A column that is judged apart: that the truth moved says nothing about the inputs.

    Raises:
        NotFound: Neither table has the target.
    """
    before, after = _Table.of(reference), _Table.of(current)
    names = [*before.types, *(name for name in after.types if name not in before.types)]
    if target is not None and target not in names:
        raise NotFound(f"neither table has the target {target!r}; their columns are {', '.join(names[:20])}")
    columns = tuple(_compare_column(name, before, after) for name in names if name != target)
    return CompareReport(
        rows=Pair(reference=before.rows, current=after.rows), columns=columns, dataset=dataset_drift(columns),
        target=None if target is None else _compare_column(target, before, after),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table read one column at a time, or some where they have few rows."""

    frame: pl.LazyFrame
    types: dict[str, pl.DataType]
    rows: int
    read: ColumnReader

    @classmethod
    def of(cls, frame: pl.DataFrame | pl.LazyFrame) -> _Table:
        lazy = frame.lazy()
        rows = int(lazy.select(pl.len()).collect().item())
        types = dict(lazy.collect_schema())
        return cls(frame=lazy, types=types, rows=rows, read=ColumnReader(lazy, list(types), rows))

    def column(self, name: str) -> pl.Series:
        """The column; all null where the table has none of that name."""
        if name not in self.types:
            return pl.Series(name, [None], dtype=pl.Null).new_from_index(0, self.rows)
        return self.read(name)

    def pieces(self, name: str) -> Iterator[pl.Series]:
        """The column, some rows at a time."""
        if name not in self.types or self.rows <= PIECE_ROWS:
            yield self.column(name)
            return
        for start in range(0, self.rows, PIECE_ROWS):
            yield self.frame.slice(start, PIECE_ROWS).select(pl.col(name)).collect().to_series()

    def dtype(self, name: str) -> pl.DataType:
        """Its type; Null where it has no value."""
        found = self.types.get(name, pl.Null())
        if found == pl.Null or self.rows == 0:
            return pl.Null()
        if self.rows <= PIECE_ROWS:
            nulls = self.read(name).null_count()
        else:
            nulls = self.frame.select(pl.col(name).null_count()).collect().item()
        return pl.Null() if nulls == self.rows else found


def _compare_column(name: str, before: _Table, after: _Table) -> ColumnDrift:
    rows = Pair(reference=before.rows, current=after.rows)
    if name not in before.types:
        kind = natural_kind(after.types[name])
        return _unjudged(name, rows, "the reference lacks this column", kind)
    faults = () if name in after.types else ("the current table lacks this column",)
    try:
        return _judge_column(name, before, after, faults)
    except (ApplianceError, pl.exceptions.PolarsError, ValueError, OverflowError) as exc:
        return _unjudged(name, rows, f"cannot be compared: {str(exc).splitlines()[0]}", None)


def _judge_column(name: str, before: _Table, after: _Table, faults: tuple[str, ...]) -> ColumnDrift:
    was, now = before.dtype(name), after.dtype(name)
    kind = _common_kind(was, now)
    if kind is None:
        return _unjudged(
            name,
            Pair(reference=before.rows, current=after.rows),
            f"columns of type {was} and {now} cannot be compared",
            None,
        )
    if natural_kind(was) is not natural_kind(now) and pl.Null not in (was, now):
        faults = (*faults, f"the reference has {was}, the current table {now}")
    if kind is Kind.CATEGORY:
        levels = _Levels.of(before.column(name))
        counts = sum((levels.count(piece) for piece in after.pieces(name)), levels.none)
        return replace(column_drift(levels.reference, counts), faults=faults)
    left, lost_left = _numbers(before.column(name), kind)
    right, lost_right = _numbers(after.column(name), kind)
    faults = (*faults, *lost_left.sentences("reference"), *lost_right.sentences("current table"))
    distances = raw_distances(left, right)
    fitted = fit_column(Column(name=name, kind=kind), left)
    return replace(column_drift(fitted, _count(fitted.bins, right), exact=distances), faults=faults)


def _count(bins: Bins, values: Floats) -> Ints:
    """Rows a bin; a block at a time stays in the processor's cache."""
    counts = np.zeros(bins.size, np.int64)
    for start in range(0, len(values), BLOCK_ROWS):
        counts += np.bincount(bins.index(values[start : start + BLOCK_ROWS]), minlength=bins.size)
    return counts


def _common_kind(before: pl.DataType, after: pl.DataType) -> Kind | None:
    """The kind both sides can be read as, the reference's first; None where there is none."""
    if before == pl.Null and after == pl.Null:
        return Kind.CATEGORY
    if pl.Null in (before, after):
        return natural_kind(after if before == pl.Null else before)
    one, other = natural_kind(before), natural_kind(after)
    if one is other or one is None or other is None:
        return one if other is not None else None
    kinds = {one, other}
    if kinds == {Kind.NUMBER, Kind.BOOLEAN}:
        return Kind.NUMBER
    if Kind.CATEGORY in kinds:
        # Text beside numbers or dates: a stray text among numbers, or a code that looks like a number.
        return one if one in {Kind.NUMBER, Kind.DATETIME} else Kind.CATEGORY
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """Values of a number column that are none."""

    infinite: int
    unreadable: int

    def sentences(self, side: str) -> tuple[str, ...]:
        found = []
        if self.infinite:
            found.append(f"the {side} has {self.infinite} infinite values, which are not counted")
        if self.unreadable:
            found.append(f"the {side} has {self.unreadable} values of another type, which count as missing")
        return tuple(found)


def _numbers(series: pl.Series, kind: Kind) -> tuple[Floats, _Lost]:
    """Float64 values with NaN for null; infinite ones are left out and counted."""
    if series.dtype == pl.Null:
        return np.full(len(series), np.nan), _Lost(infinite=0, unreadable=0)
    read = as_kind(series, kind)
    unreadable = read.null_count() - series.null_count()
    if kind is Kind.DATETIME:
        read = seconds_of(read)
    values: Floats = read.cast(pl.Float64).to_numpy()
    infinite = np.isinf(values)
    lost = _Lost(infinite=int(np.count_nonzero(infinite)), unreadable=unreadable)
    return (values[~infinite] if lost.infinite else values), lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """A category column of the reference; its levels stay in one frame, for they may be as many as its rows.

    Attributes:
        reference: As ``fit_column`` would make it of codes.
        known: Column ``level``: each level once.
        chosen: Those with a bin of their own, column ``level``, and ``bin``.
    """

    reference: ColumnReference
    known: pl.DataFrame
    chosen: pl.DataFrame

    @classmethod
    def of(cls, series: pl.Series) -> _Levels:
        rows, nulls = len(series), _names(series).null_count()
        counted = _counted(series)
        common = counted.filter(pl.col("count") >= MIN_ROWS).sort("level")
        places = choose_levels(common["count"].to_numpy().astype(np.int64), rows)
        chosen = common[places.tolist()].with_columns(pl.int_range(pl.len()).alias("bin"))
        own = chosen["count"].to_list()
        once = int((counted["count"] == 1).sum())  # rarer, all of them: below what a bin of its own needs
        bins = LevelBins(codes=tuple(range(len(own))), texts=tuple(chosen["level"].to_list()), known=counted.height)
        reference = ColumnReference(
            name=series.name, kind=Kind.CATEGORY, bins=bins, supposed=once,
            counts=(*own, rows - nulls - sum(own) - once, once, nulls),
        )  # fmt: skip
        return cls(reference=reference, known=counted.select("level"), chosen=chosen.select("level", "bin"))

    @property
    def none(self) -> Ints:
        """Counts of no rows."""
        return np.zeros(self.reference.bins.size, np.int64)

    def count(self, series: pl.Series) -> Ints:
        """Rows a bin."""
        cells, own = self.none, len(self.chosen)
        counted = _counted(series)
        in_bins = counted.join(self.chosen, on="level")
        cells[in_bins["bin"].to_numpy()] = in_bins["count"].to_numpy()
        known = int(counted.join(self.known, on="level", how="semi")["count"].sum())
        present = int(counted["count"].sum())
        cells[own], cells[own + 1], cells[-1] = known - int(cells[:own].sum()), present - known, len(series) - present
        return cells


def _counted(series: pl.Series) -> pl.DataFrame:
    """Each category name once, columns ``level`` and ``count``; nulls are none."""
    names = _names(series).alias("level").drop_nulls()
    return names.value_counts(name="count").with_columns(pl.col("count").cast(pl.Int64))


def _names(series: pl.Series) -> pl.Series:
    """Category names, as at training."""
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    return class_names(series.fill_nan(None) if series.dtype.is_float() else series)


def _unjudged(name: str, rows: Pair, fault: str, kind: Kind | None) -> ColumnDrift:
    return ColumnDrift(
        name=name, kind=kind.value if kind else "unknown", rows=rows, psi=None, noise_floor=None, js=None,
        wasserstein=None, ks=None, null_share=NO_NULLS, unseen_share=0.0, moved_bin=None,
        state=State.NOT_ENOUGH_DATA, sentence=f"`{name}`: {fault}.", faults=(fault,),
    )  # fmt: skip


def _by_column(source: str, tmp: Path) -> pl.LazyFrame:
    """A table that can be read column by column: a Parquet file as it is, anything else through one."""
    path = Path(source)
    if path.is_file() and path.suffix in {".parquet", ".pq"}:
        return _scan_parquet(path)
    tmp.mkdir()
    copy = tmp / "columns.parquet"
    options = SourceOptions(tmp=tmp, memory="512MB", threads=len(os.sched_getaffinity(0)))
    with (
        open_source(source, options) as opened,
        pq.ParquetWriter(copy, opened.batches.schema, compression="lz4") as out,
    ):
        for batch in opened.batches:
            out.write_batch(batch)
    return _scan_parquet(copy)


def _scan_parquet(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise SourceUnreadable(f"{path} is not a Parquet file: {str(exc).splitlines()[0]}") from exc
    return frame

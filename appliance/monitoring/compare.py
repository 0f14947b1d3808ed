"""Two tables held against each other by the drift rule, without any model.

Column by column, so that memory is bounded by a column and a broken one is reported and never hides the others.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from appliance.errors import ApplianceError
from appliance.monitoring.bins import Floats
from appliance.monitoring.distances import raw_distances
from appliance.monitoring.drift import Distances, column_drift, dataset_drift
from appliance.monitoring.drift_report import ColumnDrift, CompareReport
from appliance.monitoring.reference import fit_column
from appliance.monitoring.spans import Pair, State
from appliance.schema import Column, Kind
from appliance.training.columns import as_kind, natural_kind
from appliance.training.target import class_names
from storage.errors import SourceUnreadable
from storage.sources import SourceOptions, open_source

NO_NULLS = Pair(reference=0.0, current=0.0)


def compare_files(reference: str, current: str) -> CompareReport:
    """Fit the bins on one file and count the other into them; memory holds a column of each at a time.

    Args:
        reference: CSV, Parquet, or what else ``storage.sources`` reads without a query.
        current: Likewise.

    Raises:
        SourceUnreadable: A file is not the table it claims to be.
    """
    with tempfile.TemporaryDirectory(prefix="drift-compare-") as tmp:
        return compare_frames(
            _by_column(reference, Path(tmp) / "reference"), _by_column(current, Path(tmp) / "current")
        )


def compare_frames(reference: pl.DataFrame | pl.LazyFrame, current: pl.DataFrame | pl.LazyFrame) -> CompareReport:
    """The same for two frames; the columns of the reference first, then those that only the current one has."""
    before, after = _Table.of(reference), _Table.of(current)
    names = [*before.types, *(name for name in after.types if name not in before.types)]
    columns = tuple(_compare_column(name, before, after) for name in names)
    return CompareReport(
        rows=Pair(reference=before.rows, current=after.rows), columns=columns, dataset=dataset_drift(columns)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table read one column at a time."""

    frame: pl.LazyFrame
    types: dict[str, pl.DataType]
    rows: int

    @classmethod
    def of(cls, frame: pl.DataFrame | pl.LazyFrame) -> _Table:
        lazy = frame.lazy()
        rows = lazy.select(pl.len()).collect().item()
        return cls(frame=lazy, types=dict(lazy.collect_schema()), rows=int(rows))

    def column(self, name: str) -> pl.Series:
        """The column; all null where the table has none of that name."""
        if name not in self.types:
            return pl.Series(name, [None], dtype=pl.Null).new_from_index(0, self.rows)
        return self.frame.select(pl.col(name)).collect().to_series()


def _compare_column(name: str, before: _Table, after: _Table) -> ColumnDrift:
    rows = Pair(reference=before.rows, current=after.rows)
    if name not in before.types:
        kind = natural_kind(after.types[name])
        return _unjudged(name, rows, "the reference lacks this column", kind)
    faults = () if name in after.types else ("the current table lacks this column",)
    try:
        return _judge_column(before.column(name), after.column(name), faults)
    except (ApplianceError, pl.exceptions.PolarsError, ValueError, OverflowError) as exc:
        return _unjudged(name, rows, f"cannot be compared: {str(exc).splitlines()[0]}", None)


def _judge_column(before: pl.Series, after: pl.Series, faults: tuple[str, ...]) -> ColumnDrift:
    kind = _common_kind(before, after)
    if kind is None:
        return _unjudged(
            before.name,
            Pair(reference=len(before), current=len(after)),
            f"columns of type {before.dtype} and {after.dtype} cannot be compared",
            None,
        )
    if natural_kind(before.dtype) is not natural_kind(after.dtype) and not (_empty(before) or _empty(after)):
        faults = (*faults, f"the reference has {before.dtype}, the current table {after.dtype}")
    if kind is Kind.CATEGORY:
        column, encoded = _categories(before)
        left, right = encoded, _codes(after, column)
        distances = Distances()
    else:
        column = Column(name=before.name, kind=kind)
        left, lost_left = _numbers(before, kind)
        right, lost_right = _numbers(after, kind)
        faults = (*faults, *lost_left.sentences("reference"), *lost_right.sentences("current table"))
        distances = raw_distances(left[~np.isnan(left)], right[~np.isnan(right)])
    fitted = fit_column(column, left)
    counts = np.bincount(fitted.bins.index(right), minlength=fitted.bins.size)
    found = column_drift(fitted, counts, exact=distances)
    return replace(found, faults=faults)


def _common_kind(before: pl.Series, after: pl.Series) -> Kind | None:
    """The kind both sides can be read as, the reference's first; None where there is none."""
    if _empty(before) and _empty(after):
        return Kind.CATEGORY
    if _empty(before) or _empty(after):
        return natural_kind((after if _empty(before) else before).dtype)
    one, other = natural_kind(before.dtype), natural_kind(after.dtype)
    if one is other or one is None or other is None:
        return one if other is not None else None
    kinds = {one, other}
    if kinds == {Kind.NUMBER, Kind.BOOLEAN}:
        return Kind.NUMBER
    if Kind.CATEGORY in kinds:
        # Text beside numbers or dates: a stray text among numbers, or a code that looks like a number.
        return one if one in {Kind.NUMBER, Kind.DATETIME} else Kind.CATEGORY
    return None


def _empty(series: pl.Series) -> bool:
    return series.dtype == pl.Null or series.null_count() == len(series)


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
        read = read.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    values: Floats = read.cast(pl.Float64).to_numpy()
    infinite = np.isinf(values)
    lost = _Lost(infinite=int(np.count_nonzero(infinite)), unreadable=unreadable)
    return (values[~infinite] if lost.infinite else values), lost


def _categories(series: pl.Series) -> tuple[Column, Floats]:
    """The levels of the reference and its codes."""
    names = _names(series)
    levels = names.drop_nulls().unique().sort()
    column = Column(name=series.name, kind=Kind.CATEGORY, levels=tuple(levels.to_list()))
    return column, _codes(series, column)


def _codes(series: pl.Series, column: Column) -> Floats:
    names = _names(series)
    if not column.levels:
        return np.where(names.is_null().to_numpy(), np.nan, -1.0)
    levels = pl.Series(column.levels)
    codes = names.replace_strict(
        levels, pl.Series(np.arange(len(levels), dtype=np.float64)), default=-1.0, return_dtype=pl.Float64
    )
    values: Floats = np.where(names.is_null().to_numpy(), np.nan, codes.to_numpy())
    return values


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

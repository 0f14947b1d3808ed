"""Which columns of a snapshot a model takes, how each is read, and which are left out and why."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from appliance.errors import BadTable
from appliance.model_card import Warn
from appliance.model_spec import ModelSpec
from appliance.schema import Column, Kind
from appliance.training.identifiers import FIRST_ROWS, is_whole, why_no_input
from appliance.training.kinds import numbers_as_text, say_kinds, told_together, told_type
from appliance.training.precedent import Precedent
from appliance.training.split import Way, choose_way
from appliance.training.table import RawRows, in_turn

MOST_LEVELS = 50_000
"""A category keeps this many of its most frequent levels; rarer ones count as never seen."""

_TIME_NAME = re.compile(r"(?:time|date|day|week|month|quarter|year|timestamp|ts|epoch)", re.IGNORECASE)

_DATES = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The model's inputs.

    Attributes:
        features: In the dataset's order.
        time: The column that orders the rows, or None.
        way: What decides the split.
        by: The column that it is decided by, or None.
        decisions: Sentences about what was found out.
    """

    features: tuple[Column, ...]
    time: str | None
    way: Way
    by: str | None
    decisions: tuple[str, ...]
    warnings: tuple[Warn, ...]


Take = Callable[[Column, pl.Series], None]
"""Given each input and its raw values while these are in memory."""


def _leave(_column: Column, _series: pl.Series) -> None:
    """Take nothing."""


def plan_columns(
    frame: RawRows, spec: ModelSpec, take: Take = _leave, *, precedent: Precedent | None = None
) -> Columns:
    """Read the kinds off the column types and the declaration's overrides.

    Args:
        frame: The labelled rows.
        spec: Its target, time, exclude and columns are followed.
        take: Called with each input, in their order: to read a column once more costs as much as to look at it.
        precedent: Of an earlier version; a column that it left out for good is one only where ``spec`` declares it.

    Raises:
        BadTable: A declared column does not exist or cannot be read as declared, or no usable feature is left.
    """
    require_declared(frame, spec)
    time, decisions = find_time(frame, spec)
    way, by = choose_way(frame, spec, time, taken=() if precedent is None else tuple(precedent.left_out))
    if way == "group" and spec.group is None:
        why = "its name says whom or what a row is about, and its values come back"
        decisions = (*decisions, f"rows of the same {by!r} stay together: {why}")
    if time is not None and time not in spec.columns:
        parts = "weekday and month" if frame[time].dtype == pl.Date else "hour, weekday and month"
        first = "" if spec.time == time else f"set time = {time!r} and "
        decisions = (
            *decisions,
            f"{time!r} is no input; to give the model its {parts}, {first}declare it a datetime under [columns]",
        )
    features: list[Column] = []
    warnings = _unread_order(frame, spec) if time is None and way == "random" and spec.split_by is None else []
    no_inputs = {*spec.no_inputs, spec.group, by if way == "group" else None, time} - set(spec.columns)
    for name, series in in_turn(frame, [name for name in frame.columns if name not in no_inputs]):
        kind = spec.columns.get(name)
        if (reason := _why_left_out(series, kind, precedent)) is not None:
            warnings.append(reason)
            continue
        column = read_column(series, kind)
        if kind is None and (worded := numbers_as_text(series)) is not None:
            warnings.append(worded)
        if len(column.levels) > MOST_LEVELS:
            warnings.append(_many_levels(column))
            column = with_frequent_levels(column, series)
        features.append(column)
        take(column, series)
    if not features:
        raise BadTable(
            f"no usable feature is left in dataset {spec.dataset!r} beside the target {spec.target!r}: "
            + ("; ".join(warning.message for warning in warnings) or "every other column is excluded")
        )
    decisions = (*decisions, say_kinds(features))
    left_out = [name for name in spec.exclude if name in frame.columns]
    if left_out:
        decisions = (*decisions, f"excluded as declared: {', '.join(left_out)}")
    return Columns(
        features=tuple(features), time=time, way=way, by=by, decisions=decisions, warnings=told_together(warnings)
    )  # fmt: skip


def protected_columns(frame: RawRows, spec: ModelSpec, features: Sequence[Column]) -> tuple[Column, ...]:
    """The declared protected columns that are no inputs, and how each is read.

    Raises:
        BadTable: One has a type that makes no groups.
    """
    inputs = {column.name for column in features}
    found = []
    for name in dict.fromkeys(spec.protected):
        if name in inputs:
            continue
        series = frame[name]
        if series.dtype == pl.Null:
            series = series.cast(pl.String)
        if natural_kind(series.dtype) is None:
            raise BadTable(
                f"protected column {name!r} is {told_type(series.dtype)}, which makes no groups; store it as text, "
                "numbers or booleans, or take it out of 'protected'"
            )
        column = read_column(series)
        found.append(with_frequent_levels(column, series) if len(column.levels) > MOST_LEVELS else column)
    return tuple(found)


def with_frequent_levels(column: Column, series: pl.Series) -> Column:
    """The column with its most frequent levels alone, still sorted."""
    names = series.drop_nulls().cast(pl.Int64 if column.integer else pl.String).alias("level")
    counted = names.value_counts(name="rows").sort("rows", "level", descending=[True, False])
    kept = counted["level"].head(MOST_LEVELS).sort().cast(pl.String)
    return msgspec.structs.replace(column, levels=tuple(kept.to_list()))


def _many_levels(column: Column) -> Warn:
    message = (
        f"{column.name!r} has {len(column.levels)} categories; the {MOST_LEVELS} most frequent are kept, the others "
        "count as never seen. Exclude it if it names rows, or group its values before"
    )
    return Warn(column=column.name, code="many_levels", message=message)


def find_time(frame: RawRows, spec: ModelSpec) -> tuple[str | None, tuple[str, ...]]:
    """The column that orders the rows, and a sentence why.

    Raises:
        BadTable: The declared column is no date.
    """
    if spec.time is not None:
        _require_times(frame[spec.time])
        return spec.time, (f"rows are ordered by {spec.time!r}, as declared",)
    taken = {spec.target, *spec.exclude, *spec.columns}
    dates, texts = [], []
    for name, dtype in frame.schema.items():
        if name in taken:
            continue
        if isinstance(dtype, pl.Date | pl.Datetime):
            dates.append(frame[name])
        elif not dates and isinstance(dtype, pl.String) and _is_dates_as_text(series := frame[name]):
            texts.append(series)
    dates = dates or texts
    if not dates:
        return None, ("there is no date column, so the rows have no order in time",)
    found = max(dates, key=lambda series: series.n_unique())
    if len(dates) == 1:
        return found.name, (f"{found.name!r} is the only date column, so it orders the rows",)
    others = ", ".join(repr(series.name) for series in dates if series.name != found.name)
    return found.name, (f"{found.name!r} has the most distinct dates (beside {others}), so it orders the rows",)


def _unread_order(frame: RawRows, spec: ModelSpec) -> list[Warn]:
    """A series whose time is a number, like 1959.25: drawn at random, a row lies between rows that train."""
    for name in frame.columns:
        if name == spec.target or not _TIME_NAME.fullmatch(name) or not frame.schema[name].is_numeric():
            continue
        known = frame[name].drop_nulls()
        if known.n_unique() > 2 and known.is_sorted():
            message = (
                f"{name!r} is called like a time and never falls from row to row, but is a number, so that the rows "
                "held out are drawn from among those that train: the metrics say little about later rows. Make a date "
                "of it with --prepare, or declare split_by = 'random' if the order says nothing"
            )
            return [Warn(column=None, code="unread_order", message=message)]
    return []


def _is_dates_as_text(series: pl.Series) -> bool:
    known = series.drop_nulls()
    if known.is_empty() or not known.str.contains(_DATES).all():
        return False
    return as_kind(known, Kind.DATETIME).null_count() == 0


def _require_times(series: pl.Series) -> None:
    if isinstance(series.dtype, pl.Date | pl.Datetime):
        return
    what = f"is {told_type(series.dtype)}, not a date or time"
    if isinstance(series.dtype, pl.String):
        lost = series.filter(as_kind(series, Kind.DATETIME).is_null() & series.is_not_null())
        if lost.is_empty():
            return
        what = f"has {len(lost)} texts that are no date or time, such as {lost[0][:40]!r}"
    raise BadTable(f"time column {series.name!r} {what}; store it as one, or name another column")


def read_column(series: pl.Series, declared: Kind | None = None) -> Column:
    """How one column is read; levels are sorted, those from whole numbers by value.

    Raises:
        BadTable: It cannot be read as declared.
    """
    kind = declared or natural_kind(series.dtype)
    assert kind is not None, "unusable columns were left out before"  # noqa: S101  (for the type checker)
    nulls = series.null_count() > 0 or (
        series.dtype.is_float() and not is_finite(series) and bool((series.is_nan() | series.is_infinite()).any())
    )
    if kind is Kind.CATEGORY:
        from_numbers = series.dtype.is_numeric()
        return Column(name=series.name, kind=kind, levels=_levels(series), integer=from_numbers, had_nulls=nulls)
    _require_readable(series, kind)
    return Column(name=series.name, kind=kind, integer=_whole(series, kind), had_nulls=nulls)


def natural_kind(dtype: pl.DataType) -> Kind | None:
    """The kind a column type has by itself; None for types no model takes."""
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_numeric():
        return Kind.NUMBER
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return Kind.CATEGORY
    if isinstance(dtype, pl.Date | pl.Datetime):
        return Kind.DATETIME
    return None


def require_declared(frame: RawRows, spec: ModelSpec) -> None:
    """Check that the columns that a declaration names are there.

    Raises:
        BadTable: One is not; names the key and the columns there are.
    """
    for key, name in spec.named_columns:
        if key != "exclude" and name not in frame.columns:
            raise BadTable(
                f"the declaration's '{key}' names {name!r}, but dataset {spec.dataset!r} has no such column; "
                f"its columns are {', '.join(frame.columns[:20])}"
            )


def _why_left_out(series: pl.Series, declared: Kind | None, precedent: Precedent | None) -> Warn | None:
    if precedent is not None and precedent.inputs is not None:
        return precedent.why_left_out(series.name)
    found = _unusable(series, declared)
    if found is None and declared is None and precedent is not None:
        found = precedent.why_left_out(series.name)
    return found


def _unusable(series: pl.Series, declared: Kind | None) -> Warn | None:
    """Why a column is left out, or None; one value here and none there is no constant: that it is there may tell."""
    name = series.name
    code, why = "", ""
    if declared is None and natural_kind(series.dtype) is None:
        code, why = "type", f"is {told_type(series.dtype)}, which no model takes"
    elif series.null_count() == len(series):
        code, why = "empty", "has no values"
    elif series.null_count() == 0 and _is_constant(series):
        code, why = "constant", "has one value only"
    elif declared is None and isinstance(series.dtype, pl.String) and series.drop_nulls().str.contains(_DATES).all():
        code, why = "date_as_text", "holds dates as text (declare it a datetime under [columns] to use it)"
    elif declared is None:
        code, why = why_no_input(series)
    return Warn(column=name, code=code, message=f"{name!r} {why}; left out") if code else None


def _is_constant(series: pl.Series) -> bool:
    return all(bool((part == series[0]).all()) for part in (series.head(FIRST_ROWS), series))


def _levels(series: pl.Series) -> tuple[str, ...]:
    if series.dtype.is_numeric():
        known = series.drop_nulls().cast(pl.Float64).drop_nans()
        if not known.round(0).eq(known).all():
            raise BadTable(
                f"column {series.name!r} is declared a category but holds fractions; only text and whole numbers can be"
            )
        return tuple(known.cast(pl.Int64).unique().sort().cast(pl.String).to_list())
    if isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        return tuple(series.cast(pl.String).drop_nulls().unique().sort().to_list())
    raise BadTable(f"column {series.name!r} is {told_type(series.dtype)} and cannot be read as a category")


def _require_readable(series: pl.Series, kind: Kind) -> None:
    natural = natural_kind(series.dtype)
    if kind is natural:
        return
    if isinstance(series.dtype, pl.String) and kind in {Kind.NUMBER, Kind.DATETIME}:
        lost = as_kind(series, kind).null_count() - series.null_count()
        if lost == 0:
            return
        raise BadTable(f"column {series.name!r} is declared a {kind.value}, but {lost} of its values are not")
    raise BadTable(f"column {series.name!r} is {told_type(series.dtype)} and cannot be read as a {kind.value}")


def as_kind(series: pl.Series, kind: Kind) -> pl.Series:
    """Text as numbers or dates; what cannot be read is null. Other columns come back as they are."""
    if not isinstance(series.dtype, pl.String):
        return series
    if kind is Kind.NUMBER:
        return series.str.strip_chars().cast(pl.Float64, strict=False)
    if kind is Kind.DATETIME:
        # One format is inferred for a column; rows that were collected from traffic carry this one.
        stamped = series.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
        if stamped.null_count() == series.null_count():
            return stamped
        return pl.select(
            pl.coalesce(series.str.to_datetime(time_unit="us", time_zone="UTC", strict=False), stamped)
        ).to_series()
    return series


def seconds_of(dates: pl.Series) -> pl.Series:
    """Seconds since 1970 of dates or moments as float64; naive ones are read as UTC."""
    # What is far beyond the year 9999 overflows in microseconds, and Polars panics.
    if dates.dtype == pl.Date:
        return dates.to_physical().cast(pl.Float64) * 86_400.0
    if isinstance(dates.dtype, pl.Datetime) and dates.dtype.time_unit == "ms":
        return dates.to_physical().cast(pl.Float64) / 1e3
    return dates.cast(pl.Datetime("us", "UTC")).dt.epoch("us").cast(pl.Float64) / 1e6


def _whole(series: pl.Series, kind: Kind) -> bool:
    if kind is not Kind.NUMBER:
        return False
    return is_whole(series if series.dtype.is_integer() else as_kind(series, kind).cast(pl.Float64))


def is_finite(series: pl.Series) -> bool:
    """Whether every number that is there is surely finite, told by their sum; such as overflow it are not sure."""
    return math.isfinite(series.sum() or 0.0)

"""From a snapshot's rows to rows that can be fitted: target, columns, features, weights and the split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadTable
from appliance.model_card import Warn
from appliance.model_spec import MEASURES, ModelSpec
from appliance.schema import Calibration, Column, Feature, FeatureSchema, Kind, Part, Task
from appliance.training.columns import Columns, as_kind, plan_columns, protected_columns
from appliance.training.cores import Threads
from appliance.training.encode import KeptRows, encode_column
from appliance.training.evaluate import require_metric
from appliance.training.features import FeaturePlan, monotone_constraints, plan_features
from appliance.training.fit import BIN_PARAMS, WIDE, WIDE_BINS, FitPlan, Param, Sample, careful_params, category_names
from appliance.training.folds import Indices
from appliance.training.kinds import told_type
from appliance.training.leaks import leak_suspects, require_no_twin
from appliance.training.precedent import Precedent
from appliance.training.rows import ColumnStore, EncodedRows
from appliance.training.split import (
    Split,
    split_at_random,
    split_by_column,
    split_by_group,
    split_by_time,
    with_stop_rows,
)  # fmt: skip
from appliance.training.table import RawRows, Table
from appliance.training.target import Target, read_target
from appliance.training.target_warnings import warn_of_target

Floats = NDArray[np.float64]

KEPT_ROWS = 2_000
"""Of which a twentieth, when it is held out, is as many as are replayed after a deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Rows ready to be fitted.

    Attributes:
        table: The labelled rows, raw.
        rows: The same, encoded.
        times: Microseconds since 1970 a row; None without a time column.
        groups: The entity of each row as a number; None without a group split.
        weight: What each row weighs; None: all the same.
        own: LightGBM parameters that follow from the declaration.
        protected: Protected columns that are no inputs.
        kept: Raw inputs of some of the rows, where the table lies in files.
    """

    spec: ModelSpec
    table: Table
    target: Target
    columns: Columns
    plan: FeaturePlan
    rows: EncodedRows
    split: Split
    times: NDArray[np.int64] | None
    groups: Indices | None
    weight: Floats | None
    own: dict[str, Param]
    decisions: tuple[str, ...]
    warnings: tuple[Warn, ...]
    protected: tuple[Column, ...]
    kept: KeptRows | None = None

    def training_sample(self, indices: Indices) -> Sample:
        """Rows to fit on."""
        target = self.target.values[indices]
        groups = None if self.groups is None else self.groups[indices]
        return Sample(
            rows=self.plan.training_rows(self.rows.pick(indices), target, groups),
            target=target, weight=self.weight_of(indices),
        )  # fmt: skip

    def schema(
        self, fitted_on: Indices, calibrations: tuple[Calibration, ...] = (), threshold: float = 0.5
    ) -> FeatureSchema:
        """What a model fitted on those rows takes and gives."""
        features = self.learn(fitted_on)
        several = calibrations if self.target.task is Task.MULTICLASS else ()
        return FeatureSchema(
            model=self.spec.name, version=0, task=self.target.task, target=self.spec.target,
            columns=self.plan.columns, classes=self.target.classes, threshold=threshold,
            time_column=self.columns.time, features=features,
            calibration=calibrations[0] if calibrations and not several else None, class_calibrations=several,
            format=3 if several else 2 if features or calibrations else 1, protected=self.protected,
        )  # fmt: skip

    def learn(self, indices: Indices) -> tuple[Feature, ...]:
        """The features with target means of those rows."""
        if not any(feature.part is Part.TARGET for feature in self.plan.features):
            return self.plan.features
        return self.plan.learn(self.rows.pick(indices), self.target.values[indices])

    @property
    def categories(self) -> list[str]:
        """The columns that LightGBM takes as categories."""
        return category_names(self.plan.columns, self.plan.features)

    def weight_of(self, indices: Indices) -> Floats | None:
        """What those rows weigh."""
        return None if self.weight is None else self.weight[indices]


def prepare(
    spec: ModelSpec, rows: RawRows, *, scratch: Path | None = None, precedent: Precedent | None = None
) -> Prepared:
    """Check a snapshot's rows and decide what no key of the declaration says.

    Args:
        spec: What to learn.
        rows: All rows of the snapshot, in its order.
        scratch: Where a file of the encoded rows may lie; None: in memory.
        precedent: What an earlier version decided.

    Raises:
        BadTable: The rows cannot train this model; names the column and the way out.
    """
    table = whole = rows if isinstance(rows, Table) else Table.of(rows)
    target = read_target(table, spec.target, spec.task, precedent=precedent)
    compared = _say_metric(spec, target.task)
    if not target.labelled.all():
        table = table.pick(np.flatnonzero(target.labelled))
    store = ColumnStore(len(table), scratch=scratch)
    kept = None if scratch is None else KeptRows(len(table), KEPT_ROWS)

    def take(column: Column, series: pl.Series) -> None:
        store.append(encode_column(series, column).to_numpy())
        if kept is not None:
            kept.keep(series)

    columns = plan_columns(table, spec, take, precedent=precedent)
    require_no_twin(table, spec.target, tuple(column.name for column in columns.features))
    bare = FeatureSchema(
        model=spec.name, version=0, task=target.task, target=spec.target, columns=columns.features,
        classes=target.classes,
    )  # fmt: skip
    encoded = EncodedRows(store)
    features, said = plan_features(columns.features, encoded, spec, target, time=columns.time)
    plan = FeaturePlan(
        columns=columns.features, features=features, multiclass=target.task is Task.MULTICLASS, seed=spec.seed
    )
    split = split_rows(table, spec, target, columns)
    warned = warn_of_target(spec, target, split)
    weight, weighed = _weights(table, spec, target)
    return Prepared(
        spec=spec, table=table, target=target, columns=columns, plan=plan, rows=encoded, split=split,
        times=None if columns.time is None else _stamps(table[columns.time]),
        groups=_groups(table, columns), weight=weight, own=_own_params(spec, target, columns, features),
        decisions=(target.sentence, *columns.decisions, *said, *weighed, compared, *_coarse(plan.width, spec)),
        warnings=(*warned, *columns.warnings, *leak_suspects(encoded, bare, target, whole)),
        protected=protected_columns(table, spec, columns.features), kept=kept,
    )  # fmt: skip


def _say_metric(spec: ModelSpec, task: Task) -> str:
    metric = require_metric(task, spec.metric)
    if spec.metric is not None:
        return f"versions are compared by {metric}, as declared"
    others = ", ".join(name for name in MEASURES[task] if name != metric)
    return f"versions are compared by {metric}; metric = … chooses another ({others})"


def plan_fit(prepared: Prepared, params: Mapping[str, Param], threads: Threads) -> FitPlan:
    """How to fit, with those parameters over the defaults."""
    spec, target = prepared.spec, prepared.target
    return FitPlan(
        task=target.task, classes=len(target.classes), rounds=spec.rounds, early_stopping=spec.early_stopping,
        seed=spec.seed, threads=threads, params=params, own=prepared.own, features=prepared.plan.width,
        careful=_careful(prepared, params),
    )  # fmt: skip


def _careful(prepared: Prepared, params: Mapping[str, Param]) -> dict[str, Param]:
    target, rows = prepared.target, prepared.split.fit
    rarer = None
    if target.task is Task.BINARY and prepared.weight is None and not prepared.spec.is_unbalance:
        positive = int(target.values[rows].sum())
        rarer = min(positive, len(rows) - positive)
    return careful_params(len(rows), rarer, params)


def say_careful(careful: Mapping[str, Param]) -> Iterator[str]:
    """A sentence for each of a plan's ``careful`` parameters; what a search found is not among them."""
    if (rows := careful.get("min_data_in_leaf")) is not None:
        yield f"of so few rows a leaf may hold {rows}, not 20 at least as by LightGBM's default; [params] changes that"
    if (least := careful.get("min_sum_hessian_in_leaf")) is not None:
        yield (
            f"the rarer class is so rare that a leaf needs more of it than by LightGBM's default "
            f"(min_sum_hessian_in_leaf = {least:g}), else the loss grows; [params] changes that"
        )


def split_rows(frame: RawRows, spec: ModelSpec, target: Target, columns: Columns) -> Split:
    """The split that was decided on.

    Raises:
        BadTable: The column it is decided by does not allow it.
    """
    if columns.way == "column":
        return with_stop_rows(split_by_column(frame[columns.by or ""]), seed=spec.seed)
    if columns.way == "group":
        return split_by_group(frame[columns.by or ""], holdout=spec.holdout, seed=spec.seed)
    if columns.way == "time":
        split = split_by_time(as_kind(frame[columns.by or ""], Kind.DATETIME), holdout=spec.holdout)
        if split is not None:
            return split
    strata = None if target.task is Task.REGRESSION else target.values
    return split_at_random(strata, len(frame), holdout=spec.holdout, seed=spec.seed)


def _stamps(times: pl.Series) -> NDArray[np.int64]:
    stamps = as_kind(times, Kind.DATETIME).cast(pl.Datetime("us")).dt.epoch("us")
    return stamps.fill_null(np.iinfo(np.int64).min).to_numpy()


def _groups(frame: RawRows, columns: Columns) -> Indices | None:
    if columns.way != "group" or columns.by is None:
        return None
    # A row without an entity is one of its own.
    numbers = frame[columns.by].rank("dense").cast(pl.Int64).to_frame("n").with_row_index("i")
    return numbers.select(pl.col("n").fill_null(-1 - pl.col("i").cast(pl.Int64)))["n"].to_numpy()


def _weights(frame: RawRows, spec: ModelSpec, target: Target) -> tuple[Floats | None, tuple[str, ...]]:
    weight, said = None, []
    if spec.weight is not None:
        weight = _read_weight(frame[spec.weight])
        said.append(f"each row weighs what {spec.weight!r} says, as declared")
    if spec.class_weights:
        if wrong := sorted(set(spec.class_weights) - set(target.classes)):
            raise BadTable(
                f"the declaration's 'class_weights' names {', '.join(map(repr, wrong))}, no class of {spec.target!r}; "
                + (f"it has {', '.join(target.classes)}" if target.classes else "it has none: a regression")
            )
        weights = np.array([spec.class_weights.get(name, 1.0) for name in target.classes])
        by_class = weights[target.values.astype(np.int64)]
        weight = by_class if weight is None else weight * by_class
        others = [name for name in target.classes if name not in spec.class_weights]
        said.append(
            "rows weigh by their class, as declared" + (f"; those of {', '.join(others)} weigh 1" if others else "")
        )
    return weight, tuple(said)


def _read_weight(column: pl.Series) -> Floats:
    if not column.dtype.is_numeric():
        raise BadTable(f"weight column {column.name!r} is {told_type(column.dtype)}, not a number; store it as one")
    weight = column.cast(pl.Float64).fill_null(1.0).to_numpy()  # rows collected from traffic have none
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any() or not (weight > 0).any():
        what = (
            f"has {int(wrong.sum())} rows that are infinite, no number or below 0" if wrong.any() else "is 0 everywhere"
        )
        raise BadTable(f"weight column {column.name!r} {what}; every row needs a weight of at least 0, and some more")
    return weight


def _own_params(spec: ModelSpec, target: Target, columns: Columns, features: tuple[Feature, ...]) -> dict[str, Param]:
    own: dict[str, Param] = {}
    if constraints := monotone_constraints(columns.features, features, spec):
        own["monotone_constraints"] = constraints
    if spec.is_unbalance:
        if target.task is not Task.BINARY:
            raise BadTable(f"is_unbalance is for two classes, but {spec.target!r} makes a {target.task.value} task")
        own["is_unbalance"] = True
    return own


def _coarse(features: int, spec: ModelSpec) -> tuple[str, ...]:
    if features <= WIDE or not BIN_PARAMS.isdisjoint(spec.params):
        return ()
    return (
        f"with {features:,} columns numbers have at most {WIDE_BINS} bins, a quarter of LightGBM's default, for time "
        "and memory; [params] max_bin changes that",
    )

"""A declaration worked out from a dataset, with its reasons."""

from __future__ import annotations

import msgspec
import polars as pl

from appliance.model_spec import ModelSpec
from appliance.models import Proposal
from appliance.schema import FeatureSchema, Kind
from appliance.training.calendar import untold_parts
from appliance.training.columns import find_time, plan_columns, require_declared
from appliance.training.encode import encode_rows
from appliance.training.leaks import is_twin, leak_suspects
from appliance.training.table import Table
from appliance.training.target import read_target

MOST_ROWS = 50_000
"""Rows looked at, evenly spaced."""


def sample_rows(rows: pl.LazyFrame, count: int) -> pl.DataFrame:
    """Rows to look at, evenly spaced; a column at a time, so that no more than one whole column is in memory.

    Args:
        rows: A snapshot's.
        count: How many rows it has.
    """
    step = -(-count // MOST_ROWS)
    if step <= 1:
        return rows.collect()
    table = Table.scan(rows, height=count)
    return pl.DataFrame([table[name].gather_every(step) for name in table.columns])


def propose_spec(spec: ModelSpec, frame: pl.DataFrame) -> Proposal:
    """Fill a declaration that has a dataset and a target.

    Columns that equal the target are excluded. The column that orders the rows becomes an input by the calendar parts
    that came back in the rows and that no other column holds. One that predicts the target nearly alone, or comes with
    it, is named and stays in: it may be a leak or the best feature there is, and only a person knows which.

    Raises:
        BadTable: The target is missing or cannot be learned, or no usable feature is left.
    """
    frame = frame.gather_every(-(-len(frame) // MOST_ROWS)) if len(frame) > MOST_ROWS else frame
    target = read_target(frame, spec.target, spec.task)
    whole, frame = frame, frame.filter(pl.Series(target.labelled))
    twins = tuple(name for name in frame.columns if name != spec.target and is_twin(frame[name], frame[spec.target]))
    spec = msgspec.structs.replace(spec, task=target.task, exclude=(*spec.exclude, *twins))
    require_declared(frame, spec)
    time, _ = find_time(frame, spec)
    parts = untold_parts(frame, time) if time is not None and time not in spec.columns else ()
    if parts and time is not None:
        spec = msgspec.structs.replace(spec, time=time, columns={**spec.columns, time: Kind.DATETIME})
    columns = plan_columns(frame, spec)
    schema = FeatureSchema(
        model=spec.name, version=0, task=target.task, target=spec.target, columns=columns.features,
        classes=target.classes, time_column=columns.time,
    )  # fmt: skip
    suspects = leak_suspects(encode_rows(frame, schema, scratch=None), schema, target, whole)
    inputs = {column.name for column in columns.features}  # of these something may be said as well
    told = (warning.column for warning in columns.warnings)
    left_out = tuple(name for name in told if name in frame.columns and name not in inputs)
    sentences = [target.sentence, *columns.decisions]
    if parts:
        said = ", ".join(part.value.replace("_", " ") for part in parts)
        sentences.append(
            f"{columns.time!r} is an input by its {said}, which no other column says; take it out of [columns] if it "
            "is not known when you predict"
        )
    sentences += [f"{name!r} equals the target in every row: excluded" for name in twins]
    sentences += [warning.message for warning in suspects]
    sentences += [warning.message for warning in columns.warnings]
    keep = msgspec.structs.replace(
        spec, time=columns.time, exclude=(*spec.exclude, *(name for name in left_out if name is not None))
    )
    asked = tuple(warning.column for warning in suspects if warning.column is not None)
    return Proposal(spec=keep, sentences=tuple(sentences), suspects=asked)

"""What a target asks of rows while they pass into a dataset: that something can be learned from them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from appliance.errors import BadTable

_GLIMPSE = 100
"""Rows that are compared first: columns that differ mostly differ at once."""


def require_target(batches: pa.RecordBatchReader, target: str, *, values: int) -> pa.RecordBatchReader:
    """The same stream; it ends in an error, and so does its ingest, when nothing can be learnt from it.

    Args:
        batches: The rows.
        target: The column to predict.
        values: How many distinct values it needs.

    Raises:
        BadTable: No column has that name, or it is the only one. While the rows pass: the target has fewer distinct
            values, another column equals it in every row, or no other column has two values.
    """
    names = batches.schema.names
    if target not in names:
        raise BadTable(f"there is no column {target!r} to predict; columns: {', '.join(names)[:300]}")
    if len(names) == 1:
        raise BadTable(f"{target!r} is the only column; there is nothing to predict it from")
    seen = _Seen(target, [name for name in names if name != target])

    def watched() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            seen.look(batch, values)
            yield batch
        seen.require(values)

    return pa.RecordBatchReader.from_batches(batches.schema, watched())


class _Seen:
    """What the rows showed so far; each question is asked until it is answered."""

    def __init__(self, target: str, others: list[str]) -> None:
        self._target = target
        self._values: set[object] = set()
        self._rows = 0
        self._twins = others
        self._constant: dict[str, set[object]] | None = {name: set() for name in others}

    def look(self, batch: pa.RecordBatch, values: int) -> None:
        target = batch.column(batch.schema.get_field_index(self._target))
        self._rows += batch.num_rows
        if len(self._values) < values:
            self._values.update(_distinct(target))
        self._twins = [name for name in self._twins if _is_equal(_column(batch, name), target)]
        for name, known in (self._constant or {}).items():
            known.update(_distinct(_column(batch, name)))
            if len(known) > 1:
                self._constant = None
                break

    def require(self, values: int) -> None:
        target = self._target
        if len(self._values) < values:
            told = f"the one value {next(iter(self._values))!r}" if self._values else "no value at all"
            raise BadTable(f"the target {target!r} has {told}; there is nothing to learn from it")
        if self._twins and values > 1:
            raise BadTable(
                f"the column {self._twins[0]!r} equals the target {target!r} in all {self._rows} rows: a model would "
                f"only copy it. Leave it out with a query, or rename it if {target!r} is not what is to be predicted"
            )
        if self._constant is not None and values > 1:
            raise BadTable(
                f"no column but the target {target!r} has two different values; there is nothing to predict it from"
            )


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(batch.schema.get_field_index(name))


def _distinct(values: pa.Array) -> list[object]:
    """At most three of the distinct values: more are never asked for."""
    try:
        found: list[object] = pc.unique(values).drop_null()[:3].to_pylist()
    except pa.ArrowNotImplementedError:  # a nested value, which becomes text
        found = [str(value) for value in values[:_GLIMPSE].drop_null().to_pylist()]
    return found


def _is_equal(one: pa.Array, other: pa.Array) -> bool:
    """Whether two columns hold the same in every row, as numbers or as text; nulls are equal to nulls."""
    try:
        return _casts_equal(one[:_GLIMPSE], other[:_GLIMPSE]) and _casts_equal(one, other)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _casts_equal(one: pa.Array, other: pa.Array) -> bool:
    if one.type != other.type:
        kind = pa.float64() if _is_number(one.type) and _is_number(other.type) else pa.string()
        one, other = one.cast(kind), other.cast(kind)
    return bool(one.equals(other))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

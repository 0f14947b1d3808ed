"""Brings any Arrow stream to the column types of a dataset, batch by batch."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.columns import ColumnInfo, Dtype
from storage.errors import SchemaChanged, SourceUnreadable

ARROW = {
    Dtype.BOOL: pa.bool_(),
    Dtype.INT: pa.int64(),
    Dtype.FLOAT: pa.float64(),
    Dtype.STRING: pa.string(),
    Dtype.DATE: pa.date32(),
    Dtype.DATETIME: pa.timestamp("us", tz="UTC"),
}

WIDENS = {(Dtype.INT, Dtype.FLOAT), (Dtype.FLOAT, Dtype.INT), (Dtype.DATE, Dtype.DATETIME)}
"""What an append may bring for what the dataset has: each value must survive unchanged."""


SHOWN = 5
"""How many columns a message names."""


def columns_of(schema: pa.Schema) -> tuple[ColumnInfo, ...]:
    """What the columns of a stream become.

    Raises:
        SourceUnreadable: There are none, or a name stands twice (names that differ by case alone count as the same).
    """
    if not schema.names:
        raise SourceUnreadable("the source has no columns")
    seen: dict[str, str] = {}
    for name in schema.names:
        require_new_name(seen, name)
    return tuple(ColumnInfo(name=field.name, dtype=dtype_of(field.type)) for field in schema)


def require_new_name(seen: dict[str, str], name: str) -> None:
    """Add a column's name to those seen.

    Raises:
        SourceUnreadable: It stands there already, or differs from one by case alone.
    """
    if (other := seen.get(name.lower())) is None:
        seen[name.lower()] = name
        return
    again = f"the column name {name!r} stands twice" if other == name else f"{other!r} and {name!r} differ by case"
    raise SourceUnreadable(f"{again}; rename one of the columns, or pick columns with a query")


def dtype_of(arrow: pa.DataType) -> Dtype:
    """The column type that an Arrow type becomes."""
    types = pa.types
    if types.is_dictionary(arrow):
        return dtype_of(arrow.value_type)
    rules = (
        (types.is_boolean, Dtype.BOOL), (types.is_integer, Dtype.INT), (types.is_floating, Dtype.FLOAT),
        (types.is_decimal, Dtype.FLOAT), (types.is_date, Dtype.DATE), (types.is_timestamp, Dtype.DATETIME),
    )  # fmt: skip
    return next((dtype for is_it, dtype in rules if is_it(arrow)), Dtype.STRING)


def require_appendable(dataset: str, old: Sequence[ColumnInfo], new: Sequence[ColumnInfo]) -> None:
    """Check that rows with the columns ``new`` can be added to a dataset with the columns ``old``.

    The order does not matter. A text column is let through, since a column without values reads as text.

    Raises:
        SchemaChanged: A column is missing, too many, or of another type; names them.
    """
    had, has = {column.name: column.dtype for column in old}, {column.name: column.dtype for column in new}
    missing = [name for name in had if name not in has]
    extra = [name for name in has if name not in had]
    problems = [f"lacks {_told(missing)}"] if missing else []
    problems += [f"has {_told(extra)}, which the dataset has not"] if extra else []
    problems += [
        f"has {name!r} as {has[name]}, the dataset has it as {dtype}"
        for name, dtype in had.items()
        if name in has and has[name] not in (dtype, Dtype.STRING) and (has[name], dtype) not in WIDENS
    ][:SHOWN]
    if problems:
        raise SchemaChanged(
            f"cannot append to the dataset {dataset!r}: the new data {'; '.join(problems)}. Nothing was changed. "
            "Bring the same columns, or add it without --append to replace the rows"
        )


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names[:SHOWN]))}{more}"


def conform(batches: Iterable[pa.RecordBatch], columns: Sequence[ColumnInfo]) -> Iterator[pa.RecordBatch]:
    """The batches with exactly these columns, in this order and of these types; empty batches are left out.

    Raises:
        SourceUnreadable: A value does not fit its column's type.
    """
    schema = arrow_schema(columns)
    for batch in batches:
        if batch.num_rows:
            arrays = [_fit(batch.column(batch.schema.get_field_index(c.name)), c) for c in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def arrow_schema(columns: Sequence[ColumnInfo]) -> pa.Schema:
    """The Arrow schema of a dataset's columns."""
    return pa.schema([pa.field(column.name, ARROW[column.dtype]) for column in columns])


def _fit(values: pa.Array, column: ColumnInfo) -> pa.Array:
    wanted = ARROW[column.dtype]
    try:
        if pa.types.is_dictionary(values.type):
            return _fit(values.dictionary, column).take(values.indices)
        if dtype_of(values.type) is Dtype.STRING:
            return _fit_text(values, column)
        if pa.types.is_timestamp(values.type):
            return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(wanted)
        fitted = values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise SourceUnreadable(
            f"column {column.name!r} has a value that does not fit {column.dtype}: {str(exc).splitlines()[0]}; "
            "cast it with a query"
        ) from exc
    if column.dtype is Dtype.FLOAT:
        return pc.if_else(pc.is_nan(fitted), pa.scalar(None, wanted), fitted)
    return fitted


def _fit_text(values: pa.Array, column: ColumnInfo) -> pa.Array:
    wanted = ARROW[column.dtype]
    if values.null_count == len(values):
        return pa.nulls(len(values), wanted)
    if column.dtype is not Dtype.STRING:
        example = next(value for value in values.to_pylist() if value is not None)
        raise SourceUnreadable(f"column {column.name!r} is {column.dtype}, but has the text {str(example)[:40]!r}")
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        return values.cast(wanted)
    return pa.array([None if value is None else _as_text(value) for value in values.to_pylist()], wanted)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

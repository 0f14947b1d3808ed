"""Brings any Arrow stream to the column types of a dataset, batch by batch."""

from __future__ import annotations

import base64
import itertools
import json
import math
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

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

EVOLVES = {(Dtype.INT, Dtype.FLOAT), (Dtype.DATE, Dtype.DATETIME)}
"""What a dataset's column may become where an evolution is asked for."""

EVOLVE_HINT = ", or append it with --evolve to widen the column"

YEARS = {Dtype.DATE: (-719_162, 2_932_896), Dtype.DATETIME: (-62_135_596_800_000_000, 253_402_300_799_999_999)}
"""The first and last moments, in days and microseconds since 1970, that Python's dates can say: the years 1 to 9999."""

EXACT_WHOLE = 2.0**53
"""A float64 holds every whole number up to here, beyond only some."""

EXACT_DIGITS = 15
"""A float64 gives back every decimal of so many digits."""

LONGEST_NAME = 1_000
"""Characters of a column's name; more are a line of data, or a file without lines."""

SHOWN = 5
"""How many columns a message names."""


class ValueMisfit(SourceUnreadable):
    """A value is not of its column's type; ``row`` is where it stands among the rows that were brought, from 1."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def columns_of(schema: pa.Schema, texts: Collection[str] = ()) -> tuple[ColumnInfo, ...]:
    """What the columns of a stream become.

    Args:
        schema: Of the stream.
        texts: Columns whose exact numbers become text: on the way through int64 or float64 digits would be lost.

    Raises:
        SourceUnreadable: There are none, or a name stands twice (names that differ by case alone count as the same).
    """
    if not schema.names:
        raise SourceUnreadable("the source has no columns")
    seen: dict[str, str] = {}
    for name in schema.names:
        require_new_name(seen, name)
    return tuple(
        ColumnInfo(
            name=field.name,
            dtype=Dtype.STRING if field.name in texts and _has_digits(field.type) else dtype_of(field.type),
        )
        for field in schema
    )


def may_lose_digits(arrow: pa.DataType) -> bool:
    """Whether its values are numbers of which neither int64 nor float64 holds all."""
    if pa.types.is_dictionary(arrow):
        return may_lose_digits(arrow.value_type)
    return bool(pa.types.is_uint64(arrow) or (pa.types.is_decimal(arrow) and arrow.precision > EXACT_DIGITS))


def _has_digits(arrow: pa.DataType) -> bool:
    """Whether its values are exact numbers, which have one way to be written."""
    if pa.types.is_dictionary(arrow):
        return _has_digits(arrow.value_type)
    return bool(pa.types.is_integer(arrow) or pa.types.is_decimal(arrow))


def require_new_name(seen: dict[str, str], name: str) -> None:
    """Add a column's name to those seen.

    Raises:
        SourceUnreadable: It stands there already, differs from one by case alone, or is too long.
    """
    if len(name) > LONGEST_NAME:
        raise SourceUnreadable(
            f"the column name {name[:40]!r}… has {len(name):,} characters, {LONGEST_NAME:,} are allowed; name the "
            "columns in a header line, or rename them with a query"
        )
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


def appended_columns(
    dataset: str, old: Sequence[ColumnInfo], new: Sequence[ColumnInfo], *, evolve: bool
) -> tuple[ColumnInfo, ...]:
    """The dataset's columns once rows with the columns ``new`` are added to those with the columns ``old``.

    The order does not matter. A text column is let through, since a column without values reads as text. Without
    ``evolve`` these are the old ones; with it, new columns come behind them, and int64 becomes float64, date becomes
    datetime, where the new rows bring those.

    Raises:
        SchemaChanged: A column is missing, of another type, or (without ``evolve``) too many; names them.
    """
    if not evolve:
        if problems := _differences(old, new):
            ways = "bring the same columns, or replace the rows with --replace"
            if not _differences(old, new, evolve=True):
                ways = "append with --evolve to change the dataset's columns, or replace the rows with --replace"
            told = f"cannot append to the dataset {dataset!r}: the new data {'; '.join(problems)}"
            raise SchemaChanged(f"{told}. Nothing was changed; {ways}")
        return tuple(old)
    if problems := _differences(old, new, evolve=True):
        raise SchemaChanged(
            f"cannot append to the dataset {dataset!r}: the new data {'; '.join(problems)}. Nothing was changed: an "
            "evolution adds columns and widens int64 to float64, date to datetime; replace the rows with --replace"
        )
    has, names = {column.name: column.dtype for column in new}, {column.name for column in old}
    widened = (
        ColumnInfo(name=name, dtype=has[name] if (dtype, has[name]) in EVOLVES else dtype)
        for name, dtype in ((column.name, column.dtype) for column in old)
    )
    return (*widened, *(column for column in new if column.name not in names))


def require_same_columns(dataset: str, old: Sequence[ColumnInfo], new: Sequence[ColumnInfo]) -> None:
    """Check that rows which replace a dataset's could be appended to it as well.

    Raises:
        SchemaChanged: A column is missing, too many or of another type; names them.
    """
    if problems := _differences(old, new):
        raise SchemaChanged(
            f"cannot refresh the dataset {dataset!r}: its source {'; '.join(problems)}. Nothing was changed; refresh "
            "it with --evolve to take the source's columns"
        )


def _differences(old: Sequence[ColumnInfo], new: Sequence[ColumnInfo], *, evolve: bool = False) -> list[str]:
    """Why rows with the columns ``new`` cannot be rows of a dataset with the columns ``old``."""
    had, has = {column.name: column.dtype for column in old}, {column.name: column.dtype for column in new}
    missing = [name for name in had if name not in has]
    extra = [name for name in has if name not in had]
    evolves = EVOLVES if evolve else set()
    clashing = [
        name
        for name, dtype in had.items()
        if name in has and has[name] not in (dtype, Dtype.STRING)
        and (has[name], dtype) not in WIDENS and (dtype, has[name]) not in evolves
    ]  # fmt: skip
    problems = [f"lacks {_told(missing)}"] if missing else []
    problems += [f"has {_told(extra)}, which the dataset has not"] if extra and not evolve else []
    return problems + [
        f"has {name!r} as {has[name].words}, the dataset has it as {had[name].words}" for name in clashing[:SHOWN]
    ]


def told_evolution(old: Sequence[ColumnInfo], new: Sequence[ColumnInfo], rows: int) -> tuple[str, ...]:
    """What an evolution changed, one sentence each; ``rows`` were there before."""
    had = {column.name: column.dtype for column in old}
    added = [column.name for column in new if column.name not in had]
    told = [f"Added {_told(added)}: null in the {rows} rows that were there."] if added else []
    told += [
        f"The column {column.name!r} is read as {column.dtype.words} now; it was {had[column.name].words}."
        for column in new
        if column.name in had and had[column.name] is not column.dtype
    ]
    return tuple(told)


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names[:SHOWN]))}{more}"


def conform(batches: Iterable[pa.RecordBatch], columns: Sequence[ColumnInfo]) -> Iterator[pa.RecordBatch]:
    """The batches with exactly these columns, in this order and of these types; empty batches are left out.

    A column that the batches lack is null.

    Raises:
        ValueMisfit: A value does not fit its column's type; names both, and the row.
        SourceUnreadable: Likewise, where the value is not told.
    """
    schema = arrow_schema(columns)
    rows = 0
    batches = iter(batches)
    for batch in batches:
        if batch.num_rows:
            places = [batch.schema.get_field_index(column.name) for column in columns]
            try:
                arrays = [
                    pa.nulls(batch.num_rows, ARROW[column.dtype]) if place < 0 else _fit(batch.column(place), column)
                    for place, column in zip(places, columns, strict=True)
                ]
            except _TextFound as exc:
                raise _misfit(exc.column, itertools.chain([batch], batches), rows) from None
            rows += batch.num_rows
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
            fitted = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(wanted)
        else:
            fitted = values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise SourceUnreadable(
            f"column {column.name!r} is read as {column.dtype.words}, but has a value that is none: "
            f"{str(exc).splitlines()[0]}; {_say_cast(values.type, column)}"
            f"{EVOLVE_HINT if _would_widen(values.type, column) else ''}"
        ) from exc
    if column.dtype in YEARS:
        _require_years(fitted, column)
    if column.dtype is Dtype.FLOAT:
        if pa.types.is_decimal(values.type):
            require_kept(values, fitted, column.name)
        return pc.if_else(pc.is_nan(fitted), pa.scalar(None, wanted), fitted)
    return fitted


def _say_cast(found: pa.DataType, column: ColumnInfo) -> str:
    if not pa.types.is_uint64(found) or column.dtype is not Dtype.INT:
        return "cast it with a query"
    name = '"' + column.name.replace('"', '""') + '"'
    query = f"SELECT * REPLACE ({name}::VARCHAR AS {name}) FROM source"  # noqa: S608  (shown, not run)
    quoted = query.replace("'", r"'\''")  # for a shell
    declared = shlex.quote(f"{column.name}={Dtype.STRING}")
    return f"whole numbers so large are mostly ids, which a text keeps: --type {declared}, or --query '{quoted}'"


def require_kept(values: pa.Array, floats: pa.Array, name: str) -> None:
    """Check that no number beyond 2**53 became another one as a float; below that, fractions alone are rounded.

    Args:
        values: Decimals, or texts that are numbers.
        floats: The same as float64.
        name: Of their column.

    Raises:
        SourceUnreadable: One did; tells it.
    """
    large = pc.greater_equal(pc.abs(floats), pa.scalar(EXACT_WHOLE))
    for value, number in zip(values.filter(large).to_pylist(), floats.filter(large).to_pylist(), strict=True):
        if math.isfinite(number) and Decimal(value) != Decimal(number):
            raise SourceUnreadable(
                f"column {name!r} has the number {value}, which a float would round to {number:.0f}; bring it as text "
                f"where it is an id, with --type {shlex.quote(f'{name}={Dtype.STRING}')} or a query that casts it (AS "
                "VARCHAR, in Postgres AS TEXT), or round it there"
            )


def _require_years(values: pa.Array, column: ColumnInfo) -> None:
    least, most = YEARS[column.dtype]
    counts = values.view(pa.int32() if column.dtype is Dtype.DATE else pa.int64())
    found = pc.min_max(counts).as_py()
    if found["min"] is not None and not least <= found["min"] <= found["max"] <= most:
        raise SourceUnreadable(
            f"column {column.name!r} has a {column.dtype.words} beyond the years 1 to 9999; make it null or "
            "text with a query"
        )


def _would_widen(arrow: pa.DataType, column: ColumnInfo) -> bool:
    return (column.dtype, dtype_of(arrow)) in EVOLVES


def _fit_text(values: pa.Array, column: ColumnInfo) -> pa.Array:
    wanted = ARROW[column.dtype]
    if values.null_count == len(values):
        return pa.nulls(len(values), wanted)
    if column.dtype is not Dtype.STRING:
        raise _TextFound(column)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        return values.cast(wanted)
    return pa.array([None if value is None else _as_text(value) for value in values.to_pylist()], wanted)


class _TextFound(Exception):
    """A column that is not text has texts; which of them made it that is to be found."""

    def __init__(self, column: ColumnInfo) -> None:
        super().__init__(column.name)
        self.column = column


def _misfit(column: ColumnInfo, batches: Iterable[pa.RecordBatch], before: int) -> ValueMisfit:
    """The first text that is no value of the column's type: one such makes a file's whole column text."""
    first: tuple[int, str] | None = None
    found: tuple[int, str] | None = None
    for batch in batches:
        texts = batch.column(batch.schema.get_field_index(column.name)).to_pylist()
        told = [(row, str(text)) for row, text in enumerate(texts, before + 1) if text is not None]
        first = first or next(iter(told), None)
        found = next((each for each in told if not _reads_as(each[1], column.dtype)), None)
        if found is not None:
            break
        before += batch.num_rows
    row, text = found or first or (before, "")
    return ValueMisfit(
        f"column {column.name!r} is read as {column.dtype.words}, but has the text {text[:40]!r} in row {row}; mend it "
        "there, or make it null or another value with a query",
        row,
    )


def _reads_as(text: str, dtype: Dtype) -> bool:
    """Whether a text would be a value of the type: the first that would not is what made its column text."""
    read: Mapping[Dtype, Callable[[str], object]] = {
        Dtype.INT: int, Dtype.FLOAT: float, Dtype.DATE: date.fromisoformat, Dtype.DATETIME: datetime.fromisoformat,
        Dtype.BOOL: lambda word: {"true": True, "false": False}[word.lower()],
    }  # fmt: skip
    try:
        read[dtype](text)
    except (ValueError, KeyError):
        return False
    return True


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

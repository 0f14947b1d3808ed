"""How columns shall be read: what somebody chose is kept among the dataset's rules, and so holds for later ingests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import polars as pl
import pyarrow as pa

from appliance.errors import BadInput
from appliance.orders import Glance
from storage.columns import ColumnInfo, Dtype
from storage.conform import columns_of, conform, may_lose_digits
from storage.csv_checks import KEPT_DIGITS
from storage.errors import SourceUnreadable
from storage.layout import Layout
from storage.rules import ColumnRules, Rules, find_rules, put_rules
from storage.sources import Source

_SHOWN = ", ".join(Dtype)


def glance_at_source(opened: Source, rows: int) -> Glance:
    """The first rows of an open source; a column whose numbers only a text holds is text.

    Raises:
        SourceUnreadable: It has no columns, or one of these rows cannot be read.
    """
    schema, taken, left = opened.batches.schema, [], rows
    for batch in opened.batches:
        taken.append(batch.slice(0, left))
        left -= taken[-1].num_rows
        if left <= 0:
            break
    long = [column.name for column in columns_of(schema) if not _fits(taken, schema, column)]
    columns = columns_of(schema, long)
    fitted = list(conform(taken, columns))
    names = [column.name for column in columns]
    frame = pl.DataFrame(pa.Table.from_batches(fitted)) if fitted else pl.DataFrame(schema=names)
    notes = (*opened.notes, f"{KEPT_DIGITS}: {', '.join(long)}.") if long else opened.notes
    return Glance(columns=columns, rows=frame, notes=notes, sheets=opened.sheets, as_text=tuple(long))


def _fits(batches: Sequence[pa.RecordBatch], schema: pa.Schema, column: ColumnInfo) -> bool:
    """Whether the numbers of a column stay what they are; other columns do, or cannot be read at all."""
    if not may_lose_digits(schema.field(column.name).type):
        return True
    try:
        for _ in conform(batches, [column]):
            pass
    except SourceUnreadable:
        return False
    return True


def parse_types(pairs: Sequence[str]) -> dict[str, Dtype]:
    """Types by column, from texts like ``zip=string``.

    Raises:
        BadInput: One is no such text, or names no type.
    """
    found = {}
    for pair in pairs:
        name, _, dtype = pair.rpartition("=")
        if not name or dtype not in set(Dtype):
            raise BadInput(f"--type {pair!r} is no COLUMN=TYPE; a type is one of {_SHOWN}")
        found[name] = Dtype(dtype)
    return found


def with_types(rules: Rules | None, types: Mapping[str, Dtype]) -> Rules:
    """The rules with these types, and everything else that they said."""
    before = rules or Rules()
    typed = {
        name: msgspec.structs.replace(before.columns.get(name, ColumnRules()), type=dtype)
        for name, dtype in types.items()
    }
    return msgspec.structs.replace(before, columns=before.columns | typed)


def read_as_text(rules: Rules | None) -> tuple[ColumnInfo, ...]:
    """The columns that a text format must not read as numbers first: 007 would come out as 7."""
    columns = rules.columns.items() if rules else ()
    return tuple(ColumnInfo(name=name, dtype=Dtype.STRING) for name, one in columns if one.type is Dtype.STRING)


@contextmanager
def declared_types(layout: Layout, name: str, types: Mapping[str, Dtype]) -> Iterator[None]:
    """Have them among a dataset's rules from now on, unless what is done meanwhile fails.

    Raises:
        StateUnwritable: The disk is full or read-only.
        RulesWrong: The rules that are there are damaged.
    """
    before = find_rules(layout, name)
    if types:
        put_rules(layout, name, with_types(before, types))
    try:
        yield
    except BaseException:
        if types:
            put_rules(layout, name, before)
        raise

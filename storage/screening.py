"""Holds the rows of an ingest against the dataset's rules: which are taken, which are rejected and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.columns import ColumnInfo, Dtype
from storage.conform import arrow_schema, columns_of
from storage.duck import open_duckdb
from storage.errors import RulesBroken, StateUnwritable
from storage.repeats import Keys, Rows
from storage.rule_expressions import cast_of, reasons_of, repeat_name, rule_of, typed_name
from storage.rules import ColumnRules, Rules, bound
from storage.scratch import open_scratch

ROW, REASON = "_row", "_reason"
"""Columns of the rejected rows beside those of the source: the row's number in the source, from 1; why.

A column of the source that is called so, in whatever case, has ``_`` behind its name there.
"""

_WHY = "\x00why"
"""The column that has the reasons while rows are judged."""


@dataclass(slots=True)
class Screened:
    """What the rules made of an ingest so far; whole once its rows were read.

    Attributes:
        rows: Rows held against the rules.
        rejected: Rows that broke one; they are in ``file``, which is there when this is not 0.
        missing: By column with a rule, the missing values of the rows that were taken.
        first_reasons: Three at most.
    """

    file: Path
    rows: int = 0
    rejected: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    first_reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What rows are held against.

    Attributes:
        old: The Parquet files of the snapshot that the rows are appended to.
        found: Is filled in while the rows pass.
    """

    rules: Rules
    old: Sequence[str]
    found: Screened


def as_declared(schema: pa.Schema, rules: Rules | None) -> tuple[ColumnInfo, ...]:
    """What the columns of a stream become before they are held against the rules.

    Numbers of which a rule makes text are text from the first: on the way through int64 or float64 digits would be
    lost.

    Raises:
        SourceUnreadable: As ``columns_of``.
    """
    is_text = (name for name in schema.names if rules is not None and rule_of(rules, name).type is Dtype.STRING)
    return columns_of(schema, frozenset(is_text))


def typed_columns(columns: Sequence[ColumnInfo], rules: Rules) -> tuple[ColumnInfo, ...]:
    """The columns once the rules' types are applied.

    Raises:
        RulesBroken: A rule's column is missing, or a rule does not go with its column's type.
    """
    names = {column.name for column in columns}
    if missing := [name for name in rules.columns if name not in names]:
        raise RulesBroken(
            f"the rules name the column {missing[0]!r}, which the rows lack; they have {', '.join(sorted(names))[:300]}"
        )
    typed = tuple(
        ColumnInfo(name=column.name, dtype=rule_of(rules, column.name).type or column.dtype) for column in columns
    )
    for column in typed:
        _require_fitting(column, rule_of(rules, column.name))
    return typed


def as_there(columns: Sequence[ColumnInfo], there: Sequence[ColumnInfo], rules: Rules) -> tuple[ColumnInfo, ...]:
    """The columns of an append, where one that reads as text has the type of the rows that are ``there``.

    A column without values reads as text; one with texts ends in a misfit that says where. A rule's type goes first.
    """
    types = {column.name: column.dtype for column in there}
    return tuple(
        replace(column, dtype=types.get(column.name, column.dtype))
        if column.dtype is Dtype.STRING and rule_of(rules, column.name).type is None
        else column
        for column in columns
    )


def _require_fitting(column: ColumnInfo, rules: ColumnRules) -> None:
    limits = [bound(column.name, limit) for limit in (rules.min, rules.max) if limit is not None]
    numbers = column.dtype in {Dtype.INT, Dtype.FLOAT}
    times = column.dtype in {Dtype.DATE, Dtype.DATETIME}
    told = f"column {column.name!r} is read as {column.dtype.words}"
    if limits and not (numbers or times):
        raise RulesBroken(f"{told}: min and max go with numbers and dates; add a rule type, or another rule")
    if any(isinstance(limit, date) is not times for limit in limits):
        raise RulesBroken(f"{told}: its min and max must be {'dates' if times else 'numbers'}")
    if rules.regex is not None and column.dtype is not Dtype.STRING:
        raise RulesBroken(f'{told}: regex goes with text; add type = "string"')


@contextmanager
def screened(
    tmp: Path, batches: Iterable[pa.RecordBatch], columns: Sequence[ColumnInfo], ask: Screening
) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows that keep the rules, with the rules' types; the others go to ``ask.found.file``.

    Where a column is unique the rows are spooled to ``tmp`` first.

    Args:
        tmp: For the spool and for DuckDB's own.
        batches: Conformed to ``columns``.
        columns: The source's; checked by ``typed_columns``.
        ask: The rules, and where the outcome goes.

    Raises:
        RulesBroken: While the rows are read: too many were rejected, or a column has too many missing values.
        StateUnwritable: There is no room for the spool.
    """
    unique = [column for column in typed_columns(columns, ask.rules) if rule_of(ask.rules, column.name).unique]
    with ExitStack() as stack:
        if not unique:
            yield _screen(batches, columns, ask, {})
            return
        try:
            folder = open_scratch(tmp, stack)
            spool, keys = folder / "rows.parquet", Keys(folder / "keys.parquet", unique)
            judge, rows = _Judge(columns, _without_unique(ask.rules), {}), 0
            with pq.ParquetWriter(spool, arrow_schema(columns), compression="lz4") as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    judged = judge.look(pl.DataFrame(batch), rows)
                    keys.add([judged[typed_name(column.name)] for column in unique], judged[_WHY] == "")
                    rows += batch.num_rows
            with open_duckdb(folder) as connection:
                repeated = keys.find_repeats(connection, ask.old)
        except (OSError, duckdb.Error) as exc:
            raise StateUnwritable(f"cannot look for repeated values below {tmp}: {exc}; free space there") from exc
        spooled = stack.enter_context(pq.ParquetFile(spool)).iter_batches(batch_size=65_536)
        yield _screen(spooled, columns, ask, repeated)


def _without_unique(rules: Rules) -> Rules:
    columns = {name: msgspec.structs.replace(rule, unique=False) for name, rule in rules.columns.items()}
    return msgspec.structs.replace(rules, columns=columns)


def _screen(
    batches: Iterable[pa.RecordBatch], columns: Sequence[ColumnInfo], ask: Screening, repeated: Mapping[str, Rows]
) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(typed_columns(columns, ask.rules))
    names = [(typed_name(column.name), column.name) for column in columns]
    judge = _Judge(columns, ask.rules, repeated)
    found = ask.found
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for batch in batches:
            raw = pl.DataFrame(batch)
            judged = judge.look(raw, found.rows)
            is_bad = judged[_WHY] != ""
            if is_bad.any():
                bad = _rejected(raw, judged[_WHY], is_bad, found)
                writer = writer or stack.enter_context(_open(found.file, bad.schema))
                writer.write_table(bad)
            found.rows += batch.num_rows
            good = judged.filter(~is_bad).select(pl.col(typed).alias(name) for typed, name in names)
            for name in ask.rules.columns:
                found.missing[name] = found.missing.get(name, 0) + good[name].null_count()
            if good.height:
                yield from good.to_arrow().cast(schema).combine_chunks().to_batches()
    _require_kept(ask.rules, found)


class _Judge:
    """Adds to a frame its columns as the rules' types, and the reasons why each row is rejected, empty for none."""

    def __init__(self, columns: Sequence[ColumnInfo], rules: Rules, repeated: Mapping[str, Rows]) -> None:
        each = [(column, rule_of(rules, column.name)) for column in columns]
        self._casts = [cast_of(column, rule).alias(typed_name(column.name)) for column, rule in each]
        reasons = [reason for column, rule in each for reason in reasons_of(column, rule)]
        self._reason = (
            pl.concat_str(reasons, separator="; ", ignore_nulls=True) if reasons else pl.lit("")
        ).alias(_WHY)  # fmt: skip
        self._repeated = repeated

    def look(self, raw: pl.DataFrame, start: int) -> pl.DataFrame:
        """``start`` rows were looked at before."""
        marks = [pl.Series(repeat_name(name), _mark(rows, start, raw.height)) for name, rows in self._repeated.items()]
        return raw.with_columns(*self._casts, *marks).with_columns(self._reason)


def _mark(rows: Rows, start: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` rows from ``start`` on are among ``rows``."""
    marks = np.zeros(count, np.bool_)
    low, high = np.searchsorted(rows, (start, start + count))
    marks[rows[low:high] - start] = True
    return marks


def _rejected(raw: pl.DataFrame, reasons: pl.Series, is_bad: pl.Series, found: Screened) -> pa.Table:
    rows = pl.int_range(found.rows + 1, found.rows + 1 + raw.height, dtype=pl.Int64)
    bad = raw.rename(_beside(raw.columns)).with_columns(reasons.alias(REASON), rows.alias(ROW)).filter(is_bad)
    found.rejected += bad.height
    found.first_reasons += bad[REASON].head(max(0, 3 - len(found.first_reasons))).to_list()
    return bad.select(ROW, REASON, pl.exclude(ROW, REASON)).to_arrow()


def _beside(names: Sequence[str]) -> dict[str, str]:
    """Other names for the columns that are called as ours are."""
    taken = {name.lower() for name in (ROW, REASON, *names)}
    renamed = {}
    for name in names:
        if name.lower() in {ROW, REASON}:
            other = f"{name}_"
            while other.lower() in taken:
                other += "_"
            taken.add(other.lower())
            renamed[name] = other
    return renamed


def _open(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    return pq.ParquetWriter(path, schema, compression="zstd")


def _require_kept(rules: Rules, found: Screened) -> None:
    taken = found.rows - found.rejected
    for name, missing in found.missing.items():
        most = rule_of(rules, name).max_null_share
        if most is not None and missing > most * taken:
            raise RulesBroken(
                f"{missing / taken:.1%} of {name!r} are missing, the rules allow {most:.1%}; nothing was changed"
            )
    if found.rejected and (found.rejected == found.rows or found.rejected > rules.max_rejected_share * found.rows):
        raise RulesBroken(
            f"{found.rejected} of {found.rows} rows break the rules, which allow {rules.max_rejected_share:.0%}; "
            f"nothing was changed. The first: {' | '.join(found.first_reasons)}"
        )

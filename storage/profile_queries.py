"""The queries behind a profile: a sample in memory, then two passes over all rows, each for many columns at once.

A sample is all rows of a table that is small enough, and then nothing is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from storage.columns import SQL_TYPE, ColumnInfo, Dtype
from storage.duck import sql_list, sql_name, sql_text

SAMPLE_ROWS = 100_000
"""Rows of the sample, evenly spread; 0.16 percentage points is the standard error of a quantile's rank in it."""

SAMPLE_CELLS = 20_000_000
"""Rows times columns of the sample: a wide table has a shorter one."""

MIN_SAMPLE_ROWS = 1_000
COUNTED_DISTINCT = 100_000
"""Up to so many distinct values (by estimate) they are all counted; beyond, the number of them is an estimate."""

TOLD_SHARE = 0.5
"""A share of numbers or dates among the texts of the sample from which they are counted in all rows: somebody will hear
of it, and is to hear the truth."""

MOST_GAPS = 5
"""More different texts among numbers are no words for a missing one."""

CHUNK = 50
"""Columns of one query."""

BATCH_ROWS = 65_536
BINS = 20
TOP = 10
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

DATE_FORMS = (
    ("2026-01-31", r"\d{4}-\d{1,2}-\d{1,2}([ T].*)?"), ("31/01/2026", r"\d{1,2}/\d{1,2}/\d{2,4}( .*)?"),
    ("31.01.2026", r"\d{1,2}\.\d{1,2}\.\d{2,4}( .*)?"), ("31-Jan-2026", r"\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}( .*)?"),
    ("Jan 31, 2026", r"[A-Za-z]{3,9}\.? \d{1,2}, ?\d{4}( .*)?"),
)  # fmt: skip
"""Ways to write a date, and the expression that a text written so matches as a whole."""

GROUPED = r"[-+]?\d{1,3}((\.\d{3})+(,\d+)?|(,\d{3})+(\.\d+)?|('\d{3})+([.,]\d+)?)"
"""A number whose thousands are set apart, as 1.234,56, 1,234.56 and 1'234.56 are."""

_MONEY = r"(?:[$€£¥₹]|EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN)"
_DIGITS = r"[-+]?\d(?:[\d.,' ]*\d)?"
SIGNED = rf"[-+]?{_MONEY}\s*{_DIGITS}|{_DIGITS}\s*(?:{_MONEY}|%)|\(\s*{_MONEY}?\s*{_DIGITS}\s*\)"
"""A number with a sign of money or percent, or in parentheses, as accountants write what is below 0."""

UNIT = rf"^{_DIGITS}\s*([\pL°µ][\pL°µ/]{{0,9}})$"
"""A number with a unit behind it, which is the group: 12 kg."""

_NUMBER = {
    Dtype.BOOL: "{c}::INTEGER::DOUBLE", Dtype.INT: "{c}::DOUBLE", Dtype.FLOAT: "{c}", Dtype.DATE: "epoch({c})",
    Dtype.DATETIME: "epoch({c})",
}  # fmt: skip
HAS_MEAN = frozenset({Dtype.BOOL, Dtype.INT, Dtype.FLOAT})
HAS_HISTOGRAM = frozenset({Dtype.INT, Dtype.FLOAT, Dtype.DATE, Dtype.DATETIME})

Figures = dict[str, Any]
"""Figures of one column, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows as DuckDB sees them: all as ``t``, and the sample in tables ``s0``, ``s1`` … of ``CHUNK`` columns each.

    A query on a table of ten thousand columns spends its time on their names; on fifty it does not.

    Attributes:
        step: Each so many-th row is in the sample.
    """

    connection: duckdb.DuckDBPyConnection
    columns: Sequence[ColumnInfo]
    rows: int
    step: int

    @property
    def is_whole(self) -> bool:
        """Whether the sample is all rows."""
        return self.step == 1

    def chunks(self, *, whole: bool) -> Iterator[tuple[str, Sequence[ColumnInfo]]]:
        """The columns by chunk, each with the name of what holds them: of all rows, or of the sample."""
        for number, start in enumerate(range(0, len(self.columns), CHUNK)):
            yield ("t" if whole and not self.is_whole else f"s{number}"), self.columns[start : start + CHUNK]

    def one(self, sql: str) -> tuple[Any, ...]:
        """The only row of a query."""
        (row,) = self.connection.execute(sql).fetchall()  # all: an unfinished result would block the next query
        found: tuple[Any, ...] = row
        return found


def open_table(
    connection: duckdb.DuckDBPyConnection, files: Sequence[str], columns: Sequence[ColumnInfo], rows: int
) -> Table:
    """Take the sample; the connection holds it from now on."""
    most = max(MIN_SAMPLE_ROWS, min(SAMPLE_ROWS, SAMPLE_CELLS // len(columns)))
    table = Table(connection=connection, columns=columns, rows=rows, step=-(-rows // most))
    read = f"read_parquet({sql_list(files)}, hive_partitioning = false"
    connection.execute(f"CREATE TEMP VIEW t AS SELECT * FROM {read})")
    picked = f"FROM {read})"
    if not table.is_whole:
        if "file_row_number" in {column.name.lower() for column in columns}:
            picked += f" USING SAMPLE reservoir({most} ROWS) REPEATABLE (1)"
        else:
            picked = f"FROM {read}, file_row_number = true) WHERE file_row_number % {table.step} = 0"
    for name, chunk in table.chunks(whole=False):
        names = ", ".join(sql_name(column.name) for column in chunk)
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {names} {picked}")
    return table


def first_pass(table: Table) -> dict[str, Figures]:
    """Counts, extremes, means and an estimate of the distinct values, in one pass a chunk of columns."""
    return _by_chunk(table, {column.name: _first(column) for column in table.columns}, whole=True)


def sampled(table: Table) -> dict[str, Figures]:
    """Quantiles and standard deviation of the numbers, from the sample."""
    wanted = {
        column.name: {
            "quantiles": f"quantile_cont({_finite(column)}, {list(QUANTILES)})",
            "std": f"stddev_pop({_finite(column)})",
        }
        for column in table.columns
        if column.dtype in HAS_MEAN
    }  # fmt: skip
    return _by_chunk(table, wanted, whole=False)


def value_counts(table: Table, first: Mapping[str, Figures]) -> dict[str, Figures]:
    """Distinct and most frequent values of each column: counted where they are few, else candidates of the sample."""
    return {
        column.name: _counts(table, name, column, first[column.name]["estimate"])
        for name, chunk in table.chunks(whole=False)
        for column in chunk
    }


def second_pass(
    table: Table, first: Mapping[str, Figures], candidates: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[int]]]:
    """Counts of the histograms' ``bins`` and of the candidates (``top``, by place) in all rows, in one pass."""
    wanted: dict[tuple[str, str], str] = {}
    for column in table.columns:
        found = first[column.name]
        if column.dtype in HAS_HISTOGRAM and found["low"] is not None:
            wanted[column.name, "bins"] = _bin(column, found["low"], found["high"])
        if some := candidates.get(column.name):
            cases = (f"WHEN {sql_text(value)}::{SQL_TYPE[column.dtype]} THEN {i}" for i, value in enumerate(some))
            wanted[column.name, "top"] = f"CASE {sql_name(column.name)} {' '.join(cases)} END"
    counts: dict[str, dict[str, list[int]]] = {}
    for source, chunk in table.chunks(whole=True):
        names = {column.name for column in chunk}
        asked = {key: place for key, place in wanted.items() if key[0] in names}
        if not asked:
            continue
        for (name, what), found_counts in zip(asked, _count(table, source, list(asked.values())), strict=True):
            counts.setdefault(name, {})[what] = found_counts[:-1].tolist()
    return counts


def _count(table: Table, source: str, places: Sequence[str]) -> npt.NDArray[np.int64]:
    """How often each of the places 0 to 19 stands in the rows, and last the nulls; shape ``(len(places), BINS + 1)``.

    DuckDB finds the places and numpy counts them: DuckDB's own ``histogram`` takes longer.
    """
    counts = np.zeros((len(places), BINS + 1), np.int64)
    asked = ", ".join(f"coalesce({place}, {BINS})::UTINYINT AS p{i}" for i, place in enumerate(places))
    for batch in table.connection.sql(f"SELECT {asked} FROM {source}").to_arrow_reader(BATCH_ROWS):
        for i, column in enumerate(batch.columns):
            counts[i] += np.bincount(column.to_numpy(), minlength=BINS + 1)
    return counts


def count_distinct_rows(table: Table) -> int:
    """Rows that differ in any column, told apart by a 64-bit hash (with 100 M rows, one run in 3,700 is off by one)."""
    names = ", ".join(sql_name(column.name) for column in table.columns)
    return int(table.one(f"SELECT count(DISTINCT h) FROM (SELECT hash({names}) AS h FROM t)")[0])


def _by_chunk(table: Table, wanted: Mapping[str, Mapping[str, str]], *, whole: bool) -> dict[str, Figures]:
    """Evaluate named expressions for each column, ``CHUNK`` columns a query."""
    found: dict[str, Figures] = {}
    for source, chunk in table.chunks(whole=whole):
        names = [column.name for column in chunk if column.name in wanted]
        structs = ", ".join(
            "{" + ", ".join(f"{sql_text(key)}: {sql}" for key, sql in wanted[name].items()) + "}" for name in names
        )
        if names:
            found.update(zip(names, table.one(f"SELECT {structs} FROM {source}"), strict=True))
    return found


def _first(column: ColumnInfo) -> dict[str, str]:
    name, number = sql_name(column.name), _finite(column)
    asked = {"present": f"count({name})", "estimate": f"approx_count_distinct({name})"}
    if column.dtype in HAS_HISTOGRAM:
        asked |= {"low": f"min({number})", "high": f"max({number})"}
    if column.dtype in HAS_MEAN:
        asked["mean"] = f"avg({number})"
    if column.dtype is Dtype.FLOAT:
        asked["finite"] = f"count({number})"
    if column.dtype not in {Dtype.INT, Dtype.FLOAT}:
        asked |= {"first": f"min({name})::VARCHAR", "last": f"max({name})::VARCHAR"}
    return asked


def _finite(column: ColumnInfo) -> str:
    """The column as a finite number; null where it is none. A CASE is five times as fast as a FILTER here."""
    number = _NUMBER.get(column.dtype, "NULL::DOUBLE").format(c=sql_name(column.name))
    return f"CASE WHEN isfinite({number}) THEN {number} END" if column.dtype is Dtype.FLOAT else number


def _bin(column: ColumnInfo, low: float, high: float) -> str:
    width = bin_width(low, high)
    number = _NUMBER[column.dtype].format(c=sql_name(column.name))
    place = "0"
    if width is not None:
        place = f"greatest(0, least({BINS - 1}, floor({number} / {width!r} - {low / width!r})))"
    return f"CASE WHEN isfinite({number}) THEN {place} END"


def bin_width(low: float, high: float) -> float | None:
    """The width of a histogram's bins; None where the ends are equal, or so close that bins would have no width."""
    width = high / BINS - low / BINS  # divided first: the difference of two large numbers may be infinite
    return None if low + width == low or high - width == high else width


def _counts(table: Table, sample: str, column: ColumnInfo, estimate: int) -> Figures:
    name = sql_name(column.name)
    text = column.dtype is Dtype.STRING
    extra = f", {_TEXT_FIGURES}" if text else ""
    few = table.is_whole or estimate <= COUNTED_DISTINCT
    source = sample if table.is_whole or not few else "t"
    grouped = f"SELECT {name} AS v, count(*) AS n FROM {source} WHERE {name} IS NOT NULL GROUP BY 1"
    best = f"(SELECT list([v::VARCHAR, n::VARCHAR]) FROM (SELECT v, n FROM g ORDER BY n DESC, v::VARCHAR LIMIT {TOP}))"
    keys = ("distinct", "top", *(TEXT_KEYS if text else ()))
    sql = f"WITH g AS MATERIALIZED ({grouped}) SELECT count(*), {best}{extra} FROM g"
    found: Figures = dict(zip(keys, table.one(sql), strict=True))
    found["top"] = [(value, int(count)) for value, count in found["top"] or ()]
    found["exact"] = few
    if text and few:
        found |= _others(table, name, found)
    if few:
        return found
    # A value that stands in the sample twice stands in about twice as many rows as the sample leaves out between two.
    found["candidates"] = [value for value, count in found["top"] if count > 1]
    found["top"] = []
    found["distinct"] = estimate
    near_unique = column.dtype in {Dtype.INT, Dtype.STRING} and estimate > table.rows / 2
    if near_unique:
        found |= {"distinct": table.one(f"SELECT count(DISTINCT {name}) FROM t")[0], "exact": True}
    if text:
        found |= _text_figures(table, name, found)
    return found


def _text_figures(table: Table, name: str, sample: Figures) -> Figures:
    """What texts look like, where the sample does not hold all: counted where something will be said of it."""
    most = max(_count_numbers(sample), sum((sample["forms"] or {}).values()))
    if sample["padded"] or most >= TOLD_SHARE * sample["present_texts"]:
        rows = f"SELECT {name} AS v, 1 AS n FROM t WHERE {name} IS NOT NULL"
        found = dict(zip(TEXT_KEYS, table.one(f"WITH g AS ({rows}) SELECT {_TEXT_FIGURES} FROM g"), strict=True))
        return found | _others(table, name, found)
    forms = {form: count * table.step for form, count in (sample["forms"] or {}).items()}
    counts = {key: sample[key] * table.step for key in ("numeric", "signed", "units")}
    return counts | {"forms": forms}


def _count_numbers(found: Figures) -> int:
    """How many texts are numbers, plain, with a sign, or with the one unit that all have."""
    return int(found["numeric"] + found["signed"] + (found["units"] if found["unit"] else 0))


def _others(table: Table, name: str, found: Figures) -> Figures:
    """The texts that are not what most are."""
    return {"odd": _first_odd(table, name, found), "gaps": _gaps(table, name, found)}


def _gaps(table: Table, name: str, found: Figures) -> list[tuple[str, int]]:
    """The texts among numbers that are none, and how many, the most frequent first; empty if there are many such."""
    present, numbers = found["present_texts"], _count_numbers(found)
    if not TOLD_SHARE * present <= numbers < present:
        return []
    is_it = f"{_reads('v')} OR {_is_signed('v')}" + (f" OR {_unit_of('v')} <> ''" if found["unit"] else "")
    asked = (
        f"SELECT v, count(*) AS n FROM (SELECT {name} AS v FROM t) WHERE v IS NOT NULL AND NOT ({is_it}) "
        f"GROUP BY v ORDER BY n DESC, v LIMIT {MOST_GAPS + 1}"
    )
    words = [(str(word), int(count)) for word, count in table.connection.execute(asked).fetchall()]
    return words if len(words) <= MOST_GAPS else []


def _first_odd(table: Table, name: str, found: Figures) -> tuple[str, int] | None:
    """The first text that is no number among numbers, or no date among dates, and its row from 1; None if none is."""
    present, forms = found["present_texts"], found["forms"] or {}
    if TOLD_SHARE * present <= found["numeric"] < present:
        is_it = _reads("v")
    elif TOLD_SHARE * present <= sum(forms.values()) < present:
        is_it = " OR ".join(f"regexp_full_match(trim(v), {sql_text(regex)})" for _, regex in DATE_FORMS)
    else:
        return None
    rows = f"SELECT {name} AS v, row_number() OVER () AS place FROM t"  # whatever the columns of t are called
    asked = f"SELECT v, place FROM ({rows}) WHERE v IS NOT NULL AND NOT ({is_it}) LIMIT 1"
    found_rows = table.connection.execute(asked).fetchall()  # all: as in ``Table.one``
    return (str(found_rows[0][0]), int(found_rows[0][1])) if found_rows else None


def _numeric(value: str) -> str:
    return f"coalesce(sum(CASE WHEN {_reads(value)} THEN n END), 0)::BIGINT"


def _reads(value: str) -> str:
    return (
        f"(TRY_CAST(replace(trim({value}), ',', '.') AS DOUBLE) IS NOT NULL "
        f"OR regexp_full_match(trim({value}), {sql_text(GROUPED)}))"
    )


def _padded(value: str) -> str:
    return f"coalesce(sum(CASE WHEN {value} <> trim({value}) THEN n END), 0)::BIGINT"


def _forms(value: str) -> str:
    counts = ", ".join(
        f"{sql_text(form)}: coalesce(sum(CASE WHEN regexp_full_match(trim({value}), {sql_text(regex)}) THEN n END), 0)"
        "::BIGINT"
        for form, regex in DATE_FORMS
    )
    return "{" + counts + "}"


def _signed(value: str) -> str:
    return f"coalesce(sum(CASE WHEN {_is_signed(value)} THEN n END), 0)::BIGINT"


def _is_signed(value: str) -> str:
    return f"regexp_full_match(trim({value}), {sql_text(SIGNED)})"


def _units(value: str) -> str:
    """How many have a unit, and which, null where they have several or more have none: 12, 13 and 13a are names."""
    unit = f"nullif({_unit_of(value)}, '')"
    count = f"coalesce(sum(CASE WHEN {unit} IS NOT NULL THEN n END), 0)::BIGINT"
    return f"{count}, CASE WHEN min({unit}) = max({unit}) AND {count} >= {_numeric(value)} THEN min({unit}) END"


def _unit_of(value: str) -> str:
    """Empty where there is none; a sign of money or percent is none."""
    found = f"regexp_extract(trim({value}), {sql_text(UNIT)}, 1)"
    return f"CASE WHEN {_is_signed(value)} THEN '' ELSE {found} END"


TEXT_KEYS = ("numeric", "forms", "padded", "signed", "units", "unit", "present_texts")
_TEXT_FIGURES = (
    f"{_numeric('v')}, {_forms('v')}, {_padded('v')}, {_signed('v')}, {_units('v')}, coalesce(sum(n), 0)::BIGINT"
)
"""Of values ``v`` that stand ``n`` times each: how many are numbers, dates, have spaces around them, are numbers with a
sign, with a unit (and which), are there."""

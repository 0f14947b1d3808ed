"""Looks at the values of a CSV file's columns: which are times, and which are numbers that DuckDB would not read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from storage.csv_checks import BECOMES, KEPT_DIGITS, NULL_WORDS, TIMES, WRITTEN, Writing
from storage.csv_lines import GLIMPSE
from storage.csv_reading import Dialect
from storage.duck import sql_list, sql_name, sql_text

ASKED = 200
"""Questions about columns in one query: DuckDB's time grows with their number times that of the file's columns."""


_WORDS = ", ".join(word for word in NULL_WORDS if word)

LONG_WHOLE = frozenset({"UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM"})
"""What DuckDB calls whole numbers beyond 64 bits: ids, mostly, which a float would make equal."""

Key = TypeVar("Key")


def day_part(form: str) -> str:
    """A format without its clock; blanks may stand between day, month and year, too."""
    return re.split(r"[ T]?%[HI]", form, maxsplit=1)[0]


def told_format(form: str) -> str:
    """The days of a format in words, like day/month/year."""
    words = {"%d": "day", "%m": "month", "%Y": "year", "%y": "year of two digits"}
    told = day_part(form)
    for mark, word in words.items():
        told = told.replace(mark, word)
    return told


def having_values(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None,
    names: Collection[str],
) -> set[str]:  # fmt: skip
    """Those of the columns that have a value."""
    wanted = [f"count(*) FILTER (NOT contains({sql_list(NULL_WORDS)}, {sql_name(name)}))" for name in names]
    counts = answers(connection, wanted, dialect.first_rows(paths, rows))
    return {name for name, count in zip(names, counts, strict=True) if count}


def answers(connection: duckdb.DuckDBPyConnection, questions: Sequence[str], rows: str) -> list[Any]:
    """What each of the aggregates is over the rows."""
    found: list[Any] = []
    for start in range(0, len(questions), ASKED):
        asked = ", ".join(questions[start : start + ASKED])
        found += connection.execute(f"SELECT {asked} FROM ({rows})").fetchone() or ()
    return found


def unclosed(connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path]) -> list[str]:
    """Text columns in which a value begins with a quotation mark, or would end with one that was opened before."""
    texts = [name for name, type_ in dialect.types.items() if type_ == "VARCHAR" and name not in dialect.times]
    wanted = [f"bool_or(starts_with({sql_name(name)}, '\"'))" for name in texts]
    found = answers(connection, wanted, dialect.first_rows(paths, None))
    return [name for name, is_torn in zip(texts, found, strict=True) if is_torn]


def with_blank(connection: duckdb.DuckDBPyConnection, dialect: Dialect, path: Path, rows: int | None) -> Dialect:
    """The dialect, with the columns that have no value."""
    texts = [name for name, type_ in dialect.types.items() if type_ == "VARCHAR"]
    if not texts:
        return dialect
    return replace(dialect, blank=frozenset(texts) - having_values(connection, dialect, [path], rows, texts))


def refine(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None, notes: list[str]
) -> Dialect:
    """Look at the values of columns that may be more, or other, than DuckDB says; ``notes`` takes what was decided.

    Text columns may be times, or numbers with a decimal comma; floats may be thousands set apart by points, where other
    columns have decimal commas, or whole numbers that a float would round; dates may fit with the month first as well.
    """
    if dialect.nulls != ("",):
        notes.append(f"Read as missing: {_WORDS}.")
    seen = _Seen(connection, dialect, paths, rows)
    texts = [name for name, type_ in dialect.types.items() if type_ == "VARCHAR" and name not in dialect.blank]
    times = seen.times(texts)
    notes += [f"Read as times, {told_format(formats[0][0])}: {name}." for name, formats in times.items()]
    numbers = seen.numbers([name for name in texts if name not in times], notes)
    words = seen.with_words([name for name in texts if name in times or name in numbers])
    if words:
        notes.append(f"Read as missing in {', '.join(name for name in texts if name in words)}: {_WORDS}.")
    return replace(
        dialect,
        types={**dialect.types, **{name: BECOMES[how] for name, how in numbers.items()}},
        words=words,
        times={name: formats[0] for name, formats in times.items()},
        numbers=numbers,
        swapped=seen.swapped(times),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """Whether every value that is there fits, and ``some`` value more than that; expressions over ``name``."""

    name: str
    every: str
    some: str | None = None


class _Seen:
    """Rows that are looked at, as text: the first ones of each file, or all."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._paths = paths
        self._rows = rows

    def times(self, texts: Sequence[str]) -> dict[str, list[tuple[str, ...]]]:
        """The text columns whose every value is a time of the same formats, with all groups of formats that fit."""
        asked = {
            (name, formats): _Ask(name=name, every=f"try_strptime({sql_name(name)}, {sql_list(formats)}) IS NOT NULL")
            for name in texts
            for formats in TIMES
        }
        found: dict[str, list[tuple[str, ...]]] = {}
        for name, formats in self._fitting(asked):
            found.setdefault(name, []).append(formats)
        return found

    def numbers(self, texts: Sequence[str], notes: list[str]) -> dict[str, Writing]:
        """Columns whose numbers DuckDB would not read, or would change."""
        floats = [name for name, type_ in self._dialect.types.items() if type_ == "DOUBLE"]
        digits = [name for name, type_ in self._dialect.types.items() if type_ in LONG_WHOLE]
        pairs = [(name, Writing.THOUSANDS) for name in (*texts, *floats)] + [(name, Writing.COMMA) for name in texts]
        if self._dialect.delimiter == ",":
            pairs = []
        found = self._fitting({(name, how): _ask(name, how) for name, how in pairs})
        commas = [name for name, how in found if how is Writing.COMMA]
        points = [name for name, how in found if how is Writing.THOUSANDS]
        if commas:
            notes.append(f"Read with a decimal comma: {', '.join(commas)}.")
        if points and commas:
            notes.append(f"Read as whole numbers whose thousands are set apart by points: {', '.join(points)}.")
        elif self._dialect.delimiter == ";" and (doubtful := [name for name in points if name in floats]):
            name = sql_name(doubtful[0])
            notes.append(
                f"Read with a decimal point, so that 1.100 is 1.1: {', '.join(doubtful)}. If the points set thousands "
                f'apart, add it again with --prepare "SELECT * REPLACE (round({name} * 1000)::BIGINT AS {name}) FROM '
                'source".'
            )
        if digits:
            notes.append(f"{KEPT_DIGITS}: {', '.join(digits)}.")
        return (dict(found) if commas else {}) | dict.fromkeys(digits, Writing.DIGITS)

    def swapped(self, times: dict[str, list[tuple[str, ...]]]) -> dict[str, str]:
        """Dates and times with the day first that fit with the month first as well, with the format of the first."""
        found = {
            name: formats[0][0]
            for name, formats in times.items()
            if any(_month_first(formats[0][0]) in each for each in formats[1:])
        }
        formats = {"DATE": self._dialect.date_format, "TIMESTAMP": self._dialect.time_format}
        told = {name: formats.get(type_) for name, type_ in self._dialect.types.items()}
        asked = {
            name: _Ask(name=name, every=f"try_strptime({sql_name(name)}, {sql_text(_month_first(form))}) IS NOT NULL")
            for name, form in told.items()
            if form and form.startswith("%d") and "." not in form[:6]  # with points the day is first everywhere
        }
        return found | {name: str(told[name]) for name in self._fitting(asked)}

    def _fitting(self, asked: Mapping[Key, _Ask]) -> list[Key]:
        """Those that fit; few values show most that do not, so that all rows are mostly not read for this."""
        left = dict(asked)
        for most in (GLIMPSE, self._rows):
            if not left:
                break
            is_last = most == self._rows
            wanted = [
                f"bool_and({ask.every}) FILTER (NOT contains({sql_list(NULL_WORDS)}, {sql_name(ask.name)}))"
                + (f" AND bool_or({ask.some})" if is_last and ask.some else "")
                for ask in left.values()
            ]
            fits = answers(self._connection, wanted, self._dialect.first_rows(self._paths, most))
            left = {
                key: ask
                for (key, ask), is_it in zip(left.items(), fits, strict=True)
                if (not is_last if is_it is None else is_it)
            }
        return list(left)

    def with_words(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the columns in which a word says that there is no value."""
        if not names:
            return frozenset()
        wanted = [f"bool_or(contains({sql_list(NULL_WORDS)}, {sql_name(name)}))" for name in names]
        found = answers(self._connection, wanted, self._dialect.first_rows(self._paths, self._rows))
        return frozenset(name for name, is_it in zip(names, found, strict=True) if is_it)


def _ask(name: str, how: Writing) -> _Ask:
    column = sql_name(name)
    some = {Writing.COMMA: f"contains({column}, ',')", Writing.THOUSANDS: f"contains({column}, '.')"}
    return _Ask(name=name, every=f"regexp_full_match({column}, {sql_text(WRITTEN[how])})", some=some[how])


def _month_first(form: str) -> str:
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def told_swapped(swapped: Mapping[str, str]) -> list[str]:
    """A note for dates and times that fit with the month first as well."""
    notes = []
    for name, form in swapped.items():
        column, is_day = sql_name(name), "%H" not in form and "%I" not in form
        clock = "" if is_day else " %H:%M:%S.%f"
        day = day_part(form)
        other = f"strptime(strftime({column}, '{day}{clock}'), '{_month_first(day)}{clock}')" + "::DATE" * is_day
        notes.append(
            f"{name} was read as {told_format(form)}, but {told_format(_month_first(form))} fits every value, too. If "
            f'that is meant, add it again with --prepare "SELECT * REPLACE ({other} AS {column}) FROM source".'
        )
    return notes
